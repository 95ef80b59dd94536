"""Place and route of the compact chip for an iCEBreaker, by Yosys, nextpnr and icepack.

Yosys keeps the hierarchy while it maps cells, so that every cell carries its unit's name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from amaranth_boards.icebreaker import ICEBreakerPlatform

from sterna.spec.chip import ChipConfig
from sterna_rtl.boards.icebreaker import Icebreaker
from sterna_sim.pnr import Implementation
from sterna_sim.tools import run_tool
from sterna_sim.up5k import SYNTHESIS, units

__all__ = ["implement", "prepare", "unit_of"]

AIM_HZ = 24_000_000
"""What the chip is placed for: more than it runs at, for nextpnr knows no delay of multipliers."""

NEXTPNR = [
    "nextpnr-ice40", "--up5k", "--package", "sg48", "--json", "mapped.json", "--pcf", "top.pcf",
    "--freq", str(AIM_HZ / 1e6), "--timing-allow-fail", "--asc", "chip.asc", "--write",
    "placed.json", "--report", "report.json", "--detailed-timing-report", "--log", "nextpnr.log",
    "-q",
]  # fmt: skip


def prepare(folder: Path, _fpga: str, config: ChipConfig, clock_hz: int) -> None:
    """Synthesise the chip into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = ICEBreakerPlatform().prepare(Icebreaker(config, clock_hz), "top")
    for name in ("top.il", "top.pcf"):
        (folder / name).write_text(plan.files[name])
    (folder / "synth.ys").write_text(SYNTHESIS)
    run_tool(["yosys", "-q", "-s", "synth.ys"], folder)


def implement(folder: Path, _fpga: str, seed: int, _clock_hz: int) -> Implementation:
    """Place, route and pack what was prepared, to `chip.bit`."""
    run_tool([*NEXTPNR, "--seed", str(seed)], folder)
    run_tool(["icepack", "chip.asc", "chip.bit"], folder)
    report = json.loads((folder / "report.json").read_text())
    clock = min(figures["achieved"] for figures in report["fmax"].values())
    cells = json.loads((folder / "mapped.json").read_text())["modules"]["top"]["cells"]
    return Implementation(folder=folder, units=units(cells, unit_of), fmax_mhz={"sync": clock})


def unit_of(cell: str) -> str:
    """Return the unit that a cell is in by its path."""
    path = [re.sub(r"\$.*", "", name) for name in re.split(r"[./]", cell)]
    match path[:-1]:
        case ["chip", "control", "compute", name, *_] | ["chip", "control", name, *_]:
            return name
        case ["chip", name, *_]:
            return "link" if name != "control" else "control"
    return "top"
