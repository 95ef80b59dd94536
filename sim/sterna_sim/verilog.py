"""Write the reference chip as one Verilog file and print its hash.

`make verilog` runs it. The same source gives the same bytes: a change that should change nothing in
the gateware can be seen to.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from amaranth.back import verilog

from sterna.files import whole_file
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna_rtl.axi4_chip import Axi4Chip
from sterna_rtl.pcie_chip import PcieChip
from sterna_rtl.serial_chip import SerialChip
from sterna_sim.drop_in import write_beside
from sterna_sim.pcie_card import write_card
from sterna_sim.tools import BUILD

__all__ = ["main", "write_verilog"]

CLOCK_HZ = 48_000_000
"""Sets the UART's divisor after reset."""


def write_verilog(path: Path, config: ChipConfig, clock_hz: int, pcie: int | None = None) -> str:
    """Write a chip with a UART as one Verilog file; return its SHA-256.

    Ports are `clk`, `rst`, `rx` and `tx`, see `sterna_rtl.serial_chip.SerialChip`. With `pcie`,
    bits of a beat, those of `sterna_rtl.pcie_chip.PcieChip` instead, and if there is no memory a
    card's top and a Vivado script beside the file, see `sterna_sim.pcie_card`. A chip with a memory
    behind AXI4 has those of `sterna_rtl.axi4_chip.Axi4Chip`, and a description and a Vivado script
    beside the file, with the suffixes ``.json`` and ``.tcl``.
    """
    if pcie:
        chip = PcieChip(config, pcie, clock_hz)
    elif config.memory in AXI4:
        chip = Axi4Chip(config, clock_hz)
    else:
        chip = SerialChip(config, clock_hz)
    text = verilog.convert(chip, name="sterna", emit_src=False, strip_internal_attrs=True)
    with whole_file(path) as file:
        file.write(text.encode())
    digest = hashlib.sha256(text.encode()).hexdigest()
    if isinstance(chip, PcieChip) and not config.memory:
        write_card(path, chip, chip.width)
    if isinstance(chip, Axi4Chip):
        write_beside(path, chip, clock_hz, digest)
    return digest


def main() -> None:
    """Write `build/verilog/sterna.v`."""
    path = BUILD / "verilog" / "sterna.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = write_verilog(path, REFERENCE, CLOCK_HZ)
    print(f"{path}: configuration {REFERENCE.digest}, SHA-256 {digest}")


if __name__ == "__main__":
    main()
