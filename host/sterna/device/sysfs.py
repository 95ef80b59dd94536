"""BAR 0 of a PCIe device, mapped from sysfs, and what can go wrong with it in words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from pathlib import Path

from sterna.errors import InputError
from sterna.spec.pcie import BAR_BYTES, DEVICE, VENDOR

__all__ = ["DEVICES", "BarWords", "MappedBar", "candidates", "check_kind", "check_size"]

DEVICES = Path("/sys/bus/pci/devices")
"""Where Linux shows all devices on PCIe, each in a folder named by its address."""

_OURS = f"{VENDOR:04x}:{DEVICE:04x}"


def _kind(folder: Path) -> str:
    """Vendor and device ID, as lspci writes them."""
    vendor, device = (int((folder / name).read_text(), 16) for name in ("vendor", "device"))
    return f"{vendor:04x}:{device:04x}"


def candidates() -> str:
    """Say which devices may be a Sterna."""
    found = []
    for folder in sorted(DEVICES.glob("*")):
        with contextlib.suppress(OSError, ValueError):
            if _kind(folder) == _OURS:
                found.append(folder.name)
    return f"devices with the ID {_OURS}: {', '.join(found) or 'none'}"


def check_kind(address: str) -> None:
    """Refuse an address where there is nothing, or another device."""
    try:
        kind = _kind(DEVICES / address)
    except FileNotFoundError:
        raise InputError(f"there is no device at {address}; {candidates()}") from None
    # Reading another device's registers may be enough to upset it.
    if kind != _OURS:
        raise InputError(f"the device at {address} is {kind}, no Sterna ({_OURS})")


def check_size(address: str, size: int) -> None:
    """Refuse a BAR 0 that is none of ours."""
    if size != BAR_BYTES:
        raise InputError(
            f"BAR 0 of the device at {address} has {size} bytes, not {BAR_BYTES}; its "
            "bitstream is no Sterna"
        )


class BarWords:
    """The words of a BAR that is mapped, however that came about."""

    def __init__(self, bar: mmap.mmap) -> None:
        self._map = bar
        # Items of a memoryview are read and written by one access of their size each.
        self._words = memoryview(bar).cast("I")

    def read(self, offset: int) -> int:
        """Read the word at a byte offset."""
        return self._words[offset // 4]

    def write(self, offset: int, word: int) -> None:
        """Write the word at a byte offset; the device may get it later."""
        self._words[offset // 4] = word

    def close(self) -> None:
        """Free the mapping."""
        self._words.release()
        self._map.close()


class MappedBar(BarWords):
    """The words of a device's BAR 0; nobody else may have it.

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
        folder = DEVICES / address
        check_kind(address)
        if (folder / "driver").exists():
            driver = (folder / "driver").resolve().name
            raise InputError(
                f"the kernel's driver {driver} has the device at {address}; as root: "
                f"echo {address} > {folder}/driver/unbind"
            )
        _enable(folder)
        self._file = _open(folder / "resource0")
        try:
            super().__init__(_map(self._file, folder / "resource0"))
        except BaseException:
            os.close(self._file)
            raise

    def lend(self, size: int, written: bool = False) -> None:
        """Lend nothing: pages that sysfs knows of are neither pinned nor the device's alone."""

    def close(self) -> None:
        """Free the device."""
        super().close()
        os.close(self._file)


def _enable(folder: Path) -> None:
    """See that the device answers to its addresses."""
    switch = folder / "enable"
    if int(switch.read_text()):
        return
    try:
        switch.write_text("1")
    except OSError as error:
        raise InputError(
            f"the device at {folder.name} is not enabled; as root: echo 1 > {switch}"
        ) from error


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"the device at {path.parent.name} has no BAR 0") from None
    except OSError as error:
        raise InputError(
            f"{path} may not be opened by you ({error.strerror}); as root: chown $USER {path}, "
            "or a udev rule that does it"
        ) from error


def _map(file: int, path: Path) -> mmap.mmap:
    check_size(path.parent.name, os.fstat(file).st_size)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(
            f"the device at {path.parent.name} is in use by another program; end that first"
        ) from error
    try:
        return mmap.mmap(file, BAR_BYTES)
    except OSError as error:
        why = " (Secure Boot forbids it)" if error.errno == errno.EPERM else ""
        raise InputError(f"{path} cannot be mapped: {error.strerror}{why}") from error
