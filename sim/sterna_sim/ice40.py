"""Place and route of the compact chip for an iCEBreaker, by Yosys, nextpnr and icepack.

Yosys keeps the hierarchy while it maps cells, so that every cell carries its unit's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth_boards.icebreaker import ICEBreakerPlatform

from sterna.spec.chip import ChipConfig
from sterna_rtl.boards.icebreaker import Icebreaker
from sterna_sim.pnr import Implementation
from sterna_sim.tools import run_tool
from sterna_sim.up5k import SYNTHESIS, units

__all__ = ["implement", "prepare", "unit_of", "ways_through_multipliers"]

AIM_HZ = 24_000_000
"""What the chip is placed for: more than it runs at."""

MULTIPLIER_NS = 9.0
"""From an operand that has no register to the product, or to its register: at most, by icestorm's
data (icefuzz/timings_up5k.txt, SB_MAC16)."""

_NO_CLOCK = "$PACKER_GND_NET"
"""What nextpnr calls the clock of a multiplier that has none."""

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
    through = ways_through_multipliers(report["detailed_net_timings"], cells)
    return Implementation(
        folder=folder,
        units=units(cells, unit_of),
        fmax_mhz={"sync": clock, "through multipliers": 1000 / through},
    )


def ways_through_multipliers(nets: list[dict[str, Any]], cells: Mapping[str, Any]) -> float:
    """Return ns of the longest way through a multiplier of which an operand has no register.

    nextpnr takes the ports of all multipliers for registers. So the way to an operand and the one
    from a product are each in its report, but not what is between them. Of multipliers without a
    clock the longest way behind any of them is taken.

    Parameters
    ----------
    nets : list of dict
        `detailed_net_timings` of nextpnr's report: ns to each end of a net.
    cells : dict
        Of the netlist that was placed.
    """
    behind, before = 0.0, {True: 0.0, False: 0.0}
    for net in nets:
        for end in net["endpoints"]:
            ns = max(end["delay"])
            if _NO_CLOCK in net["event"]:
                behind = max(behind, ns)
            cell = cells.get(end["cell"].removesuffix("_DSP"))
            operand = end["port"].split("_")[0]
            if cell and cell["parameters"].get(f"{operand}_REG") == "0":
                clocked = _NO_CLOCK not in end["event"]
                before[clocked] = max(before[clocked], ns)
    return MULTIPLIER_NS + max(before[True], before[False] + behind)


def unit_of(cell: str) -> str:
    """Return the unit that a cell is in by its path."""
    path = [re.sub(r"\$.*", "", name) for name in re.split(r"[./]", cell)]
    match path[:-1]:
        case ["chip", "control", "compute", name, *_] | ["chip", "control", name, *_]:
            return name
        case ["chip", name, *_]:
            return "link" if name != "control" else "control"
    return "top"
