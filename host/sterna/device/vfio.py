"""BAR 0 of a PCIe device through VFIO, and memory that the device may read."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path

from sterna.device import sysfs
from sterna.errors import InputError
from sterna.spec.dma import LARGE_PAGE_BYTES
from sterna.spec.pcie import BAR_BYTES

__all__ = ["VFIO", "Mapped", "VfioBar", "has_vfio"]

VFIO = Path("/dev/vfio")
"""Where Linux shows the container and the groups of devices that VFIO has."""

# Numbers of the kernel's linux/vfio.h.
_IOCTL = ord(";") << 8
_GET_API_VERSION, _CHECK_EXTENSION, _SET_IOMMU = (_IOCTL + 100 + n for n in range(3))
_GROUP_GET_STATUS, _GROUP_SET_CONTAINER = _IOCTL + 103, _IOCTL + 104
_GROUP_GET_DEVICE_FD, _DEVICE_GET_REGION_INFO = _IOCTL + 106, _IOCTL + 108
_IOMMU_MAP_DMA = _IOCTL + 113
_API_VERSION, _TYPE1_V2 = 0, 3
_VIABLE, _DMA_READ, _DMA_WRITE = 1, 1, 2
_BAR_0, _CONFIG = 0, 7
_COMMAND, _MEMORY_AND_MASTER = 4, 0b110

_GROUP_STATUS = struct.Struct("=II")
_REGION = struct.Struct("=IIIIQQ")
_MAP = struct.Struct("=IIQQQ")

_FIRST_ADDRESS = 1 << 32
"""Where a device finds what it is lent: above 4 GiB, where no window for interrupts lies."""


def has_vfio(address: str) -> bool:
    """Whether the kernel's vfio-pci has a device."""
    driver = sysfs.DEVICES / address / "driver"
    return driver.exists() and driver.resolve().name == "vfio-pci"


class Mapped:
    """Memory of this process behind the IOMMU; see `Lent`."""

    page_bytes = LARGE_PAGE_BYTES

    def __init__(self, size: int, address: int) -> None:
        count = -(-size // LARGE_PAGE_BYTES)
        self.addresses = [address + n * LARGE_PAGE_BYTES for n in range(count)]
        self.memory = mmap.mmap(-1, count * LARGE_PAGE_BYTES)
        # Items of a memoryview are read and written by one access of their size each.
        self._entries = memoryview(self.memory).cast("Q")

    def fill(self, data: bytes) -> None:
        """Write what the device is to read."""
        self.memory[: len(data)] = data

    def take(self, place: int) -> int:
        """Return the eight bytes at a place, and leave zeros."""
        entry = self._entries[place]
        if entry:
            self._entries[place] = 0
        return entry


class VfioBar(sysfs.BarWords):
    """The words of a device's BAR 0; see `sterna.device.sysfs.MappedBar`.

    What is lent to the device is mapped, for reading alone unless it is to be written, and nothing
    else is: the IOMMU refuses all other reads and writes. The addresses that the device sees are
    one behind the other, wherever the pages are, so that large pages do for all.

    Parameters
    ----------
    address : str
        Such as ``0000:01:00.0``.

    Raises
    ------
    InputError
        If it cannot be opened.
    """

    def __init__(self, address: str) -> None:
        self.name = f"card at {address}"
        self._files: list[int] = []
        self._lent: list[Mapped] = []
        self._next = _FIRST_ADDRESS
        sysfs.check_kind(address)
        try:
            self._container = self._open(VFIO / "vfio")
            number = (sysfs.DEVICES / address / "iommu_group").resolve().name
            group = self._open(VFIO / number)
            self._join(group)
            # Of an array, not of bytes, the number that the kernel returns comes back.
            name = bytearray(address.encode() + b"\0")
            self._device = fcntl.ioctl(group, _GROUP_GET_DEVICE_FD, name)
            self._files.append(self._device)
            size, offset = self._region(_BAR_0)
            sysfs.check_size(address, size)
            self._become_master()
            super().__init__(mmap.mmap(self._device, BAR_BYTES, offset=offset))
        except BaseException as error:
            self._close_files()
            if isinstance(error, OSError):
                raise InputError(f"VFIO: the device at {address}: {error.strerror}") from error
            raise

    def lend(self, size: int, written: bool = False) -> Mapped:
        """Pin memory, and let the device read it; or write it too."""
        lent = Mapped(size, self._next)
        length = len(lent.memory)
        place = ctypes.addressof(ctypes.c_char.from_buffer(lent.memory))
        flags = _DMA_READ | (_DMA_WRITE if written else 0)
        request = _MAP.pack(_MAP.size, flags, place, lent.addresses[0], length)
        try:
            fcntl.ioctl(self._container, _IOMMU_MAP_DMA, request)
        except OSError as error:
            why = error.strerror
            if error.errno in (errno.ENOMEM, errno.EPERM):
                why = f"{why}; raise the limit of locked memory (ulimit -l)"
            raise InputError(f"{length >> 20} MiB cannot be pinned: {why}") from error
        self._next += length
        self._lent.append(lent)
        return lent

    def close(self) -> None:
        """Free the device; with the container ends what it may read."""
        super().close()
        self._close_files()
        self._lent.clear()

    def _open(self, path: Path) -> int:
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise InputError(f"{path} is in use by another program; end that first") from error
            raise InputError(
                f"{path} may not be opened by you ({error.strerror}); as root: chown $USER {path}"
            ) from error
        self._files.append(file)
        return file

    def _close_files(self) -> None:
        """Close the device before its group, and that before the container."""
        while self._files:
            os.close(self._files.pop())

    def _join(self, group: int) -> None:
        """Put the group into the container, and that behind the IOMMU."""
        container = self._container
        version = fcntl.ioctl(container, _GET_API_VERSION)
        if version != _API_VERSION or not fcntl.ioctl(container, _CHECK_EXTENSION, _TYPE1_V2):
            raise InputError("the kernel's VFIO has no IOMMU of the kind that is needed (type 1)")
        answer = fcntl.ioctl(group, _GROUP_GET_STATUS, _GROUP_STATUS.pack(_GROUP_STATUS.size, 0))
        if not _GROUP_STATUS.unpack(answer)[1] & _VIABLE:
            raise InputError(
                "another device of the same IOMMU group has a driver; bind all of them to vfio-pci"
            )
        fcntl.ioctl(group, _GROUP_SET_CONTAINER, struct.pack("=i", container))
        fcntl.ioctl(container, _SET_IOMMU, _TYPE1_V2)

    def _region(self, number: int) -> tuple[int, int]:
        """Size of one of the device's regions, and where it lies in its file."""
        request = _REGION.pack(_REGION.size, 0, number, 0, 0, 0)
        *_, size, offset = _REGION.unpack(
            fcntl.ioctl(self._device, _DEVICE_GET_REGION_INFO, request)
        )
        return size, offset

    def _become_master(self) -> None:
        """Let the device answer to its addresses and read memory."""
        _, offset = self._region(_CONFIG)
        (command,) = struct.unpack("<H", os.pread(self._device, 2, offset + _COMMAND))
        command |= _MEMORY_AND_MASTER
        os.pwrite(self._device, struct.pack("<H", command), offset + _COMMAND)
