"""What the chip for iCEBreaker costs on its iCE40 UP5K, unit by unit, as Yosys maps it.

    python -m sterna_sim.up5k

prints the tables of docs/architecture.md, the chip's and that of a compact chip's compute part; it
takes some minutes. `python -m sterna_sim.up5k_compute` maps the latter alone, and places it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amaranth import Elaboratable, Value
from amaranth.back import rtlil

from sterna.spec.chip import ICEBREAKER, ChipConfig
from sterna_rtl.family.ice40 import ICE40
from sterna_rtl.lib.ram import STARTS_ANYHOW
from sterna_rtl.serial_chip import SerialChip
from sterna_sim.pnr import unit_of
from sterna_sim.tools import BUILD, run_tool

__all__ = ["HAVE", "SYNTHESIS", "main", "mapped", "print_table", "synthesise", "units"]

HAVE = {"cells": 5280, "mac16": 8, "ebr": 30, "spram": 4}
"""What an UP5K has (Lattice FPGA-DS-02008): logic cells, each a LUT4 with a carry and a flip-flop,
multipliers of 16 x 16 bits, RAMs of 4 Kbit and of 256 Kbit."""

KINDS = {"SB_LUT4": "lut4", "SB_MAC16": "mac16", "SB_RAM40_4K": "ebr", "SB_SPRAM256KA": "spram"}

COLUMNS = ("cells", "lut4", "ff", "mac16", "ebr", "spram")

CLOCK_HZ = 20_000_000

SYNTHESIS = f"""
read_rtlil top.il
hierarchy -top top
proc
opt_clean -purge
setattr -unset init a:{STARTS_ANYHOW}
synth_ice40 -device u -dsp -abc9 -noflatten -top top
flatten
opt_clean -purge
write_json mapped.json
"""


def mapped(config: ChipConfig) -> dict[str, Any]:
    """Map a chip with its UART; return the netlist's cells by their paths."""
    top = SerialChip(config, CLOCK_HZ)
    return synthesise(BUILD / "up5k" / config.digest, top, [top.rx, top.tx])


def synthesise(folder: Path, top: Elaboratable, ports: Sequence[Value]) -> dict[str, Any]:
    """Map a design in a folder, to `mapped.json`; return the netlist's cells by their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    text = rtlil.convert(top, platform=ICE40, ports=ports, name="top", emit_src=False)
    (folder / "top.il").write_text(text)
    (folder / "synth.ys").write_text(SYNTHESIS)
    run_tool(["yosys", "-q", "-s", "synth.ys"], folder)
    return json.loads((folder / "mapped.json").read_text())["modules"]["top"]["cells"]


def units(
    cells: Mapping[str, Any], unit_of: Callable[[str], str] = unit_of
) -> dict[str, Counter[str]]:
    """Count cells by unit and the names of `COLUMNS`; `unit_of` says which by a cell's path.

    A flip-flop goes into the logic cell of the table before it, if nothing else hangs on that
    table, and otherwise into one of its own: `cells` are the logic cells without those of carry
    chains that have no table.
    """
    tables = {c["connections"]["O"][0] for c in cells.values() if c["type"] == "SB_LUT4"}
    loads = Counter(
        bit
        for cell in cells.values()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "input"
        for bit in bits
    )
    found: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        unit = found.setdefault(unit_of(name), Counter())
        if cell["type"].startswith("SB_DFF"):
            (source,) = cell["connections"]["D"]
            unit["ff"] += 1
            unit["cells"] += not (source in tables and loads[source] == 1)
        elif kind := KINDS.get(cell["type"]):
            unit[kind] += 1
            unit["cells"] += kind == "lut4"
    return found


def print_table(found: Mapping[str, Counter[str]]) -> None:
    """Print what units take, the largest first, their sum and what there is."""
    total = sum(found.values(), Counter())
    rows = sorted(found.items(), key=lambda row: -row[1]["cells"])
    print("| unit | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, counts in [*rows, ("**total**", total), ("UP5K has", Counter(HAVE))]:
        figures = (f"{counts[column]:,}".replace(",", " ") for column in COLUMNS)
        print(f"| {name} | " + " | ".join(figures) + " |")


def main() -> None:
    """Print the table."""
    print(f"configuration {ICEBREAKER.digest}, iCE40 UP5K (Yosys)")
    print_table(units(mapped(ICEBREAKER)))


if __name__ == "__main__":
    main()
