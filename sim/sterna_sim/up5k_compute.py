"""The compute part of a small chip on an iCE40 UP5K: what it takes, and how fast it is.

    python -m sterna_sim.up5k_compute

maps it, places and routes it with three seeds, and prints the figures of docs/architecture.md.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import median

from amaranth import *

from sterna_rtl.compact.compute import Compute
from sterna_sim.kit.ports import Ports
from sterna_sim.tools import BUILD, run_tool
from sterna_sim.up5k import print_table, synthesise, units

__all__ = ["ComputeAlone", "compute_units", "main"]

FOLDER = BUILD / "up5k" / "compute"

MHZ = 20
"""Asked for."""

SEEDS = 1, 2, 3

PARTS = {"finish", "largest", "multiplier", "rom", "sigmoid", "total"}


class ComputeAlone(Elaboratable):
    """The compute part between two shift registers of one pin each.

    All that goes into it comes from one, all that comes out is XORed into the other, so that
    nothing can be optimised away and no pin is on a path that counts.
    """

    def __init__(self) -> None:
        self.clk, self.i, self.o = Signal(), Signal(), Signal()
        self.ports = [self.clk, self.i, self.o]

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        m.submodules.compute = compute = Compute()
        ports = Ports.of(compute)
        inputs = Cat(value for name, value in ports.signals.items() if name in ports.driven)
        outputs = Cat(value for name, value in ports.signals.items() if name not in ports.driven)
        shift, held = (Signal(len(inputs), name=name) for name in ("shift", "held"))
        seen, fold = (Signal(len(outputs), name=name) for name in ("seen", "fold"))
        m.d.sync += [
            shift.eq(Cat(self.i, shift)),
            held.eq(shift),
            seen.eq(outputs),
            fold.eq(Cat(self.i, fold) ^ seen),
            self.o.eq(fold[-1]),
        ]
        m.d.comb += inputs.eq(held)
        return m


def compute_units() -> dict[str, Counter[str]]:
    """Map the compute part; count the cells of its parts."""
    top = ComputeAlone()
    found = units(synthesise(FOLDER, top, top.ports), _part_of)
    del found["pins"]
    return found


def _part_of(cell: str) -> str:
    """Return the part that a cell is in by its path."""
    path = [re.sub(r"\$.*", "", name) for name in cell.split(".")]
    if path[0] != "compute":
        return "pins"
    match path[1:-1]:
        case ["core", "arithmetic", name, *_] if name in PARTS:
            return name
        case ["core", "arithmetic", *_]:
            return "passes"
        case ["core", *_]:
            return "memories"
        case [name, *_]:
            return name
    return "sums from outside"


def place(seed: int) -> float:
    """Place and route what was mapped; return the clock's frequency in MHz."""
    report = FOLDER / f"seed-{seed}.json"
    run_tool(
        ["nextpnr-ice40", "-q", "--up5k", "--package", "sg48", "--json", "mapped.json",
         "--freq", str(MHZ), "--seed", str(seed), "--asc", "compute.asc", "--report", report.name],
        FOLDER,
    )  # fmt: skip
    clocks = json.loads(report.read_text())["fmax"]
    return min(clock["achieved"] for clock in clocks.values())


def main() -> None:
    """Print what the parts take and how fast all of it is."""
    print("compute part, iCE40 UP5K (Yosys)")
    print_table(compute_units())
    reached = [place(seed) for seed in SEEDS]
    print(
        f"placed and routed for {MHZ} MHz, seeds {', '.join(map(str, SEEDS))}: "
        f"{', '.join(f'{mhz:.1f}' for mhz in reached)} MHz, median {median(reached):.1f}"
    )


if __name__ == "__main__":
    main()
