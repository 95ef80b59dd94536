"""Finding and mapping a card, on a tree of files like the one that Linux shows."""

import mmap
import os
import struct

import pytest

from sterna.device import sysfs
from sterna.device.pcie import open_pcie, parse_address
from sterna.device.sysfs import MappedBar, candidates
from sterna.errors import InputError
from sterna.spec.pcie import BAR_BYTES, DEVICE, LINK, VENDOR
from sterna.spec.registers import INTERFACE_VERSION, MAGIC

ADDRESS = "0000:01:00.0"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A computer with a network card and a Sterna."""
    monkeypatch.setattr(sysfs, "DEVICES", tmp_path)
    add(tmp_path / "0000:00:1f.6", vendor=0x8086, device=0x15BC)
    add(tmp_path / ADDRESS)
    return tmp_path / ADDRESS


def add(folder, vendor=VENDOR, device=DEVICE, size=BAR_BYTES, enabled=1):
    folder.mkdir()
    (folder / "vendor").write_text(f"{vendor:#06x}\n")
    (folder / "device").write_text(f"{device:#06x}\n")
    (folder / "enable").write_text(f"{enabled}\n")
    (folder / "resource0").write_bytes(bytes(size))


def test_words(tree):
    """32-bit words at their places, in both directions, little-endian."""
    bar = MappedBar(ADDRESS)
    bar.write(0, 0x12345678)
    bar.write(LINK, 0xFFFFFFFE)
    data = (tree / "resource0").read_bytes()
    assert data[:8] == bytes([0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0])
    assert struct.unpack_from("<I", data, LINK) == (0xFFFFFFFE,)
    with (tree / "resource0").open("r+b") as file:
        file.seek(8)
        file.write(b"\x01\x02\x03\x04")
    assert bar.read(8) == 0x04030201
    bar.close()
    MappedBar(ADDRESS).close()  # it is free again


def test_through_the_name(tree):
    """What a regular file can do: it remembers, so LINK is clear and MAGIC right."""
    data = bytearray(BAR_BYTES)
    struct.pack_into("<II", data, 0, MAGIC, INTERFACE_VERSION)
    (tree / "resource0").write_bytes(data)
    link, label = open_pcie("01:00.0")
    assert label == f"card at {ADDRESS}"
    link.close()


@pytest.mark.parametrize("argument", [ADDRESS, "01:00.0", "0000:01:00.0".upper()])
def test_address(argument):
    assert parse_address(argument) == ADDRESS


@pytest.mark.parametrize("argument", ["01", "01:00", "../../etc", "0000:01:00.8", "0000:01:00.0 "])
def test_no_address(argument):
    with pytest.raises(InputError, match=r"like 0000:01:00\.0"):
        parse_address(argument)


def refused(*words):
    """The error names all of the words; nothing stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError) as caught:
        MappedBar(ADDRESS)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_status == 2
    assert len(os.listdir("/proc/self/fd")) == before


def test_candidates_are_named(tree):
    with pytest.raises(InputError, match=rf"address is missing.*{ADDRESS}$"):
        parse_address("")
    with pytest.raises(InputError, match=rf"no device at 0000:02:00\.0.*{ADDRESS}$"):
        MappedBar("0000:02:00.0")
    add(tree.parent / "0000:03:00.0")
    assert candidates() == f"devices with the ID 10ee:9038: {ADDRESS}, 0000:03:00.0"


def test_computer_without_pcie(tree, monkeypatch, tmp_path):
    monkeypatch.setattr(sysfs, "DEVICES", tmp_path / "nowhere")
    refused("no device at", "none")


def test_other_device(tree):
    """A device of another kind is not even looked at."""
    (tree / "vendor").write_text("0x8086\n")
    (tree / "resource0").unlink()
    refused("8086:9038", "no Sterna")


def test_driver_has_it(tree, tmp_path):
    (tmp_path / "xdma").mkdir()
    (tree / "driver").symlink_to(tmp_path / "xdma")
    refused("driver xdma", "unbind")


def test_not_enabled(tree):
    """A device that is not enabled is enabled, or the error says how."""
    (tree / "enable").write_text("0\n")
    MappedBar(ADDRESS).close()
    assert (tree / "enable").read_text() == "1"


def test_may_not_be_enabled(tree, monkeypatch):
    (tree / "enable").write_text("0\n")
    deny(monkeypatch, type(tree), "write_text")
    refused("not enabled", "as root: echo 1 >")


def deny(monkeypatch, owner, name):
    """Root may do everything: what others may not is played."""

    def denied(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(owner, name, denied)


def test_may_not_be_opened(tree, monkeypatch):
    deny(monkeypatch, sysfs.os, "open")
    with pytest.raises(InputError, match=r"may not be opened by you.*udev"):
        MappedBar(ADDRESS)


def test_may_not_be_mapped(tree, monkeypatch):
    deny(monkeypatch, mmap, "mmap")
    refused("cannot be mapped", "Secure Boot")


def test_no_bar(tree):
    (tree / "resource0").unlink()
    refused("no BAR 0")


def test_other_bar(tree):
    (tree / "resource0").write_bytes(bytes(65536))
    refused("65536 bytes, not 4096")


def test_in_use(tree):
    bar = MappedBar(ADDRESS)
    refused("in use by another program")
    bar.close()


def test_command(tree, sterna):
    """Exit status 2 for what a user can mend, 3 for a device that is none."""
    sterna("doctor", "--device", "pcie:0000:02:00.0").refused("no device at", ADDRESS)
    sterna("doctor", "--device", "pcie:1").refused("0000:01:00.0")
    result = sterna("doctor", "--device", f"pcie:{ADDRESS}")
    assert result.status == 3
    assert "no Sterna (magic 0x00000000)" in result.err
