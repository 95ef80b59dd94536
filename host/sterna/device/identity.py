"""Whether what answers is a chip that this package can talk to."""

from __future__ import annotations

from sterna.errors import DeviceError
from sterna.spec.registers import INTERFACE_VERSION, MAGIC

__all__ = ["check_identity"]


def check_identity(name: str, magic: int, version: int) -> None:
    """Refuse a device for what its registers MAGIC and VERSION say."""
    if magic != MAGIC:
        raise DeviceError(f"{name}: what answers is no Sterna (magic {magic:#010x})")
    if version != INTERFACE_VERSION:
        raise DeviceError(
            f"{name}: the device speaks version {version} of the interface, this "
            f"package {INTERFACE_VERSION}; install the package that came with its bitstream"
        )
