"""A card through VFIO, before a kernel that is played: files, and ioctls as in linux/vfio.h."""

import errno
import mmap
import os
import struct

import pytest

from sterna.device import pcie, sysfs, vfio
from sterna.device.pcie import open_pcie
from sterna.device.vfio import VfioBar
from sterna.errors import InputError
from sterna.spec.dma import LARGE_PAGE_BYTES
from sterna.spec.pcie import BAR_BYTES
from sterna.spec.registers import INTERFACE_VERSION, MAGIC
from tests.pcie.test_sysfs import ADDRESS, add

PAGE = mmap.PAGESIZE
BAR_AT, CONFIG_AT = PAGE, 2 * PAGE
BASE = 0x3B64  # _IO(';', 100)


class Kernel:
    """Answers ioctls in the order in which they must come, and keeps what was mapped."""

    def __init__(self, device):
        self.device = device
        self.asked, self.mapped, self.flags = [], [], []
        self.version, self.extension, self.viable, self.full = 0, 1, 1, None
        self.bar_bytes = BAR_BYTES

    def ioctl(self, file, request, argument=0):
        path, number = os.readlink(f"/proc/self/fd/{file}"), request - BASE
        name = os.path.basename(path)
        self.asked.append((name, number))
        if name == "vfio":
            return self._container(number, argument)
        if name == "7":
            return self._group(number, argument)
        assert (name, number) == ("device", 8)
        size, flags, index, cap, *_ = struct.unpack("=IIIIQQ", argument)
        assert (size, flags, cap) == (32, 0, 0)
        length, offset = {0: (self.bar_bytes, BAR_AT), 7: (PAGE, CONFIG_AT)}[index]
        return struct.pack("=IIIIQQ", 32, 7, index, 0, length, offset)

    def _container(self, number, argument):
        if number == 0:
            return self.version
        if number == 1:
            assert argument == 3
            return self.extension
        if number == 2:
            assert argument == 3
            assert ("7", 4) in self.asked, "a group comes first"
            return 0
        assert number == 13
        size, flags, place, address, length = struct.unpack("=IIQQQ", argument)
        assert size == 32
        assert flags in (1, 3), "the device may read, or write too"
        self.flags.append(flags)
        assert place % PAGE == address % LARGE_PAGE_BYTES == length % LARGE_PAGE_BYTES == 0
        if self.full:
            raise OSError(self.full, os.strerror(self.full))
        self.mapped.append((address, length))
        return argument

    def _group(self, number, argument):
        if number == 3:
            assert argument == struct.pack("=II", 8, 0)
            return struct.pack("=II", 8, self.viable)
        if number == 4:
            (container,) = struct.unpack("=i", argument)
            assert os.readlink(f"/proc/self/fd/{container}").endswith("/vfio/vfio")
            return argument
        assert number == 6
        assert isinstance(argument, bytearray), "else the number would be lost"
        assert bytes(argument) == ADDRESS.encode() + b"\0"
        assert ("vfio", 2) in self.asked, "a container behind the IOMMU comes first"
        return os.open(self.device, os.O_RDWR)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A computer whose vfio-pci has a Sterna, alone in group 7."""
    devices, files = tmp_path / "devices", tmp_path / "vfio"
    devices.mkdir()
    add(devices / ADDRESS)
    for name, target in (("driver", "vfio-pci"), ("iommu_group", "7")):
        (tmp_path / target).mkdir()
        (devices / ADDRESS / name).symlink_to(tmp_path / target)
    files.mkdir()
    for name in ("vfio", "7"):
        (files / name).write_bytes(b"")
    data = bytearray(3 * PAGE)
    struct.pack_into("<II", data, BAR_AT, MAGIC, INTERFACE_VERSION)
    struct.pack_into("<H", data, CONFIG_AT + 4, 0x0401)
    (tmp_path / "device").write_bytes(data)
    monkeypatch.setattr(sysfs, "DEVICES", devices)
    monkeypatch.setattr(vfio, "VFIO", files)
    kernel = Kernel(tmp_path / "device")
    monkeypatch.setattr(vfio.fcntl, "ioctl", kernel.ioctl)
    return kernel


def test_words(kernel):
    """Words of BAR 0; the device may answer and read memory, and what else it may is kept."""
    bar = VfioBar(ADDRESS)
    assert bar.read(0) == MAGIC
    bar.write(8, 0x12345678)
    data = kernel.device.read_bytes()
    assert struct.unpack_from("<I", data, BAR_AT + 8) == (0x12345678,)
    assert struct.unpack_from("<H", data, CONFIG_AT + 4) == (0x0407,)
    before = len(os.listdir("/proc/self/fd"))
    bar.close()
    assert len(os.listdir("/proc/self/fd")) == before - 4  # the mapping has one of its own


def test_lent_memory(kernel):
    """Pages one behind the other for the device, each size its own, none over another."""
    bar = VfioBar(ADDRESS)
    first, second = bar.lend(5, written=True), bar.lend(LARGE_PAGE_BYTES + 1)
    assert kernel.flags == [3, 1], "what is not to be written is not"
    assert len(first.addresses) == 1
    assert len(second.addresses) == 2
    assert first.page_bytes == LARGE_PAGE_BYTES
    starts = [*first.addresses, *second.addresses]
    assert starts == [starts[0] + n * LARGE_PAGE_BYTES for n in range(3)]
    assert kernel.mapped == [
        (starts[0], LARGE_PAGE_BYTES),
        (starts[1], 2 * LARGE_PAGE_BYTES),
    ]
    second.fill(b"abc")
    assert second.memory[:4] == b"abc\0"
    first.fill(bytes(8) + (5 << 32 | 7).to_bytes(8, "little"))
    assert [first.take(0), first.take(1), first.take(1)] == [0, 5 << 32 | 7, 0]
    bar.close()


def test_through_the_name(kernel, monkeypatch):
    """VFIO if it has the card, sysfs else."""
    opened = []
    for name in ("VfioBar", "MappedBar"):
        monkeypatch.setattr(pcie, name, lambda address, name=name: opened.append(name))
    monkeypatch.setattr(pcie, "PcieLink", lambda bar: bar)
    open_pcie(ADDRESS)
    (sysfs.DEVICES / ADDRESS / "driver").unlink()
    open_pcie(ADDRESS)
    assert opened == ["VfioBar", "MappedBar"]


def refused(*words):
    """The error names all of the words; nothing stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError) as caught:
        VfioBar(ADDRESS)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_status == 2
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "change, words",
    [
        ({"version": 1}, "type 1"),
        ({"extension": 0}, "type 1"),
        ({"viable": 0}, "another device of the same IOMMU group"),
        ({"bar_bytes": 65536}, "65536 bytes, not 4096"),
    ],
)
def test_kernel_refuses(kernel, change, words):
    vars(kernel).update(change)
    refused(words)


def test_no_vfio(kernel):
    (vfio.VFIO / "vfio").unlink()
    refused("may not be opened by you", "chown")


def test_in_use(kernel, monkeypatch):
    def busy(*_):
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(vfio.os, "open", busy)
    with pytest.raises(InputError, match="in use by another program"):
        VfioBar(ADDRESS)


def test_kernel_has_an_error(kernel, monkeypatch):
    def broken(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(vfio.fcntl, "ioctl", broken)
    refused("VFIO", ADDRESS, "Invalid argument")


@pytest.mark.parametrize("number, hint", [(errno.ENOMEM, "ulimit"), (errno.EINVAL, "")])
def test_cannot_be_pinned(kernel, number, hint):
    bar = VfioBar(ADDRESS)
    kernel.full = number
    with pytest.raises(InputError, match=f"2 MiB cannot be pinned.*{hint}"):
        bar.lend(1)
    bar.close()


def test_other_device(kernel):
    (sysfs.DEVICES / ADDRESS / "vendor").write_text("0x8086\n")
    refused("no Sterna")
    assert not kernel.asked
