"""A card in a PCIe slot: through VFIO if that has it, else through sysfs."""

from __future__ import annotations

import re

from sterna.device.pcie_link import PcieLink
from sterna.device.sysfs import MappedBar, candidates
from sterna.device.vfio import VfioBar, has_vfio
from sterna.errors import InputError
from sterna.model.model import Model

__all__ = ["open_pcie", "parse_address"]

_ADDRESS = re.compile(r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.IGNORECASE)


def parse_address(argument: str) -> str:
    """Return the whole address for ``0000:01:00.0`` or ``01:00.0``."""
    if not argument:
        raise InputError(f"an address is missing; give pcie:0000:01:00.0; {candidates()}")
    match = _ADDRESS.fullmatch(argument)
    if not match:
        raise InputError(f"an address on PCIe is like 0000:01:00.0, not {argument!r}")
    return f"{match[1] or '0000'}:{match[2]}".lower()


def open_pcie(argument: str, model: Model | None = None) -> tuple[PcieLink, str]:
    """Open ``pcie:ADDRESS``; a card's memories hold what they hold."""
    address = parse_address(argument)
    bar = VfioBar(address) if has_vfio(address) else MappedBar(address)
    return PcieLink(bar), f"card at {address}"
