"""Place and route the demo's chip for LFE5U-85F with open tools: area per unit, Fmax, block RAM.

`make pnr` runs it. Yosys keeps the hierarchy, so that every cell of the placed design carries its
unit's name. The pins of clock and UART have no place: the figures are the chip's, not a board's.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from amaranth.back import rtlil

from sterna.spec.chip import REFERENCE, ChipConfig
from sterna_rtl.serial_chip import SerialChip
from sterna_sim.tools import BUILD, tool_environment

__all__ = ["main"]

CLOCK_HZ = 48_000_000
"""Sets the UART's divisor after reset."""

KINDS = {
    "TRELLIS_COMB": "comb",
    "TRELLIS_FF": "ff",
    "TRELLIS_RAMW": "ramw",
    "MULT18X18D": "dsp",
    "DP16KD": "ebr",
}
"""Cells of the placed design that are counted, and their column."""

# Without the purge Yosys 0.70 trips over the aliases that Amaranth gives to parts of arrays.
SYNTHESIS = """
read_rtlil chip.il
hierarchy -top chip
proc
opt_clean -purge
synth_ecp5 -noflatten -top chip -json chip.json
tee -o cells.txt stat
"""


def synthesise(config: ChipConfig, folder: Path) -> None:
    """RTLIL to a netlist of ECP5 cells in `folder`."""
    (folder / "chip.il").write_text(
        rtlil.convert(SerialChip(config, CLOCK_HZ), name="chip", emit_src=False)
    )
    (folder / "synth.ys").write_text(SYNTHESIS)
    _run(["yosys", "-q", "-s", "synth.ys"], folder)


def place(folder: Path, seed: int, frequency: float) -> None:
    """Netlist to a placed and routed design with its report."""
    _run(
        [
            "nextpnr-ecp5", "--85k", "--package", "CABGA381", "--speed", "6",
            "--json", "chip.json", "--write", "placed.json", "--report", "report.json",
            "--textcfg", "chip.config", "--lpf-allow-unconstrained",
            "--router", "router2", "--freq", str(frequency), "--seed", str(seed),
            "--log", "nextpnr.log", "-q",
        ],
        folder,
    )  # fmt: skip


def area(folder: Path) -> dict[str, Counter[str]]:
    """Cells of each unit after packing."""
    cells = json.loads((folder / "placed.json").read_text())["modules"]["chip"]["cells"]
    units: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        kind = KINDS.get(cell["type"])
        if kind:
            unit = re.split(r"[./]", name)[0] if re.search(r"[./]", name) else "chip"
            units.setdefault(unit, Counter())[kind] += 1
    return units


def _run(command: list[str], folder: Path) -> None:
    run = subprocess.run(
        command, cwd=folder, env=tool_environment(), capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(run.stdout + run.stderr)[-3000:]}")


def main() -> None:
    """Implement the reference configuration and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--freq", type=float, default=100.0, help="target in MHz")
    options = parser.parse_args()
    folder = BUILD / "pnr" / REFERENCE.digest
    folder.mkdir(parents=True, exist_ok=True)
    print(f"configuration {REFERENCE.digest}, LFE5U-85F-6", flush=True)
    synthesise(REFERENCE, folder)
    print("synthesised; placing", flush=True)
    place(folder, options.seed, options.freq)
    report = json.loads((folder / "report.json").read_text())
    units = area(folder)
    columns = list(KINDS.values())
    print(f"{'unit':12}" + "".join(f"{column:>8}" for column in columns))
    for unit, counts in sorted(units.items()):
        print(f"{unit:12}" + "".join(f"{counts[column]:8}" for column in columns))
    total = sum(units.values(), Counter())
    print(f"{'total':12}" + "".join(f"{total[column]:8}" for column in columns))
    for clock, figures in report["fmax"].items():
        print(f"Fmax {clock}: {figures['achieved']:.1f} MHz (pnr, seed {options.seed})")
    sys.exit(0)


if __name__ == "__main__":
    main()
