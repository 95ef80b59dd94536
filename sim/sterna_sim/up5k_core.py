"""The compact core on an iCE40 UP5K: what it takes, and how fast it is.

    python -m sterna_sim.up5k_core

maps it, places and routes it with three seeds, and prints the figures of docs/architecture.md.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from statistics import median

from amaranth import *

from sterna_rtl.compact.core import Core
from sterna_sim.kit.ports import Ports
from sterna_sim.tools import BUILD, tool_environment
from sterna_sim.up5k import print_table, synthesise, units

__all__ = ["CoreAlone", "core_units", "main"]

FOLDER = BUILD / "up5k" / "core"

MHZ = 20
"""Asked for."""

SEEDS = 1, 2, 3

PARTS = {"finish", "largest", "multiplier", "rom", "sigmoid", "total"}


class CoreAlone(Elaboratable):
    """The core between two shift registers of one pin each.

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
        m.submodules.core = core = Core()
        ports = Ports.of(core)
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


def core_units() -> dict[str, Counter[str]]:
    """Map the core; count the cells of its parts."""
    top = CoreAlone()
    found = units(synthesise(FOLDER, top, top.ports), _part_of)
    del found["pins"]
    return found


def _part_of(cell: str) -> str:
    """Return the part of the core that a cell is in by its path."""
    path = [re.sub(r"\$.*", "", name) for name in cell.split(".")]
    if path[0] != "core" or len(path) < 3:
        return "pins"
    if path[1] != "arithmetic":
        return "memories"
    return path[2] if path[2] in PARTS else "passes"


def place(seed: int) -> float:
    """Place and route what was mapped; return the clock's frequency in MHz."""
    report = FOLDER / f"seed-{seed}.json"
    run = subprocess.run(
        ["nextpnr-ice40", "-q", "--up5k", "--package", "sg48", "--json", "mapped.json",
         "--freq", str(MHZ), "--seed", str(seed), "--asc", "core.asc", "--report", report.name],
        cwd=FOLDER, env=tool_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"nextpnr-ice40 failed:\n{run.stderr[-3000:]}")
    clocks = json.loads(report.read_text())["fmax"]
    return min(clock["achieved"] for clock in clocks.values())


def main() -> None:
    """Print what the parts take and how fast the core is."""
    print("compact core, iCE40 UP5K (Yosys)")
    print_table(core_units())
    reached = [place(seed) for seed in SEEDS]
    print(
        f"placed and routed for {MHZ} MHz, seeds {', '.join(map(str, SEEDS))}: "
        f"{', '.join(f'{mhz:.1f}' for mhz in reached)} MHz, median {median(reached):.1f}"
    )


if __name__ == "__main__":
    main()
