"""Place and route for the board ULX3S with open tools.

`sterna build` (`sterna_sim.build`) runs it for a chip; `make pnr-engine` for the engine alone, fed
from its tape RAM. Yosys keeps the hierarchy while it maps cells, so that every cell of the placed
design carries its unit's name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from amaranth.back import rtlil
from amaranth.vendor import LatticePlatform
from amaranth_boards.ulx3s import ULX3S_45F_Platform, ULX3S_85F_Platform

from sterna.errors import InputError, SternaError
from sterna.plan.memories import block_rams
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna_rtl.boards.ulx3s import Ulx3s
from sterna_rtl.family.ecp5 import ECP5
from sterna_sim.engine_alone import EngineAlone
from sterna_sim.floorplan import (
    activation_sites,
    block_ram_sites,
    free_sites,
    multiplier_sites,
    other_sites,
)
from sterna_sim.netlist import KEPT_FREE, Netlist
from sterna_sim.refine import refine
from sterna_sim.router import NotRoutedError, route
from sterna_sim.tools import BUILD, run_tool

__all__ = [
    "PARTS",
    "Implementation",
    "Part",
    "area_table",
    "check_fit",
    "count_block_rams",
    "count_tables",
    "implement",
    "implement_engine",
    "main",
    "mapped",
    "prepare",
    "prepare_engine",
    "synthesise",
    "unit_of",
]


@dataclass(frozen=True, slots=True)
class Part:
    """An FPGA that boards carry.

    Attributes
    ----------
    option : str
        What nextpnr calls it.
    platform : type
        The board with it.
    planned : bool
        Whether `sterna_sim.floorplan` knows it.
    have : dict
        Its cells, by the columns of `KINDS`.
    """

    option: str
    platform: type[LatticePlatform]
    planned: bool
    have: dict[str, int]


# Lattice FPGA-DS-02012, and nextpnr's counts of tables, flip-flops and LUTRAM's write ports.
PARTS = {
    "LFE5U-85F": Part(
        "--85k", ULX3S_85F_Platform, True,
        {"comb": 83_640, "ff": 83_640, "ramw": 10_455, "dsp": 156, "ebr": 208},
    ),
    "LFE5U-45F": Part(
        "--45k", ULX3S_45F_Platform, False,
        {"comb": 43_848, "ff": 43_848, "ramw": 5_481, "dsp": 72, "ebr": 108},
    ),
}  # fmt: skip

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

NEXTPNR = [
    "nextpnr-ecp5", "--package", "CABGA381", "--speed", "6", "--timing-allow-fail",
    "--placer-heap-timingweight", "20", "--write", "placed.json", "--report", "report.json",
    "--detailed-timing-report", "--log", "nextpnr.log", "-q",
]  # fmt: skip

AIMS = 0.75, 0.8, 0.85
"""Parts of the clock that a way may take by the estimate of its wires: the router's are longer."""

FREE_ROWS_FROM = 20_000
"""Tables from which on rows are kept free of them: fewer are routed without, and lie closer."""

ENGINE_MHZ = 150
"""What the engine alone is placed for."""

SEEDS = 1, 2, 3
"""Of its placements."""


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
    """

    folder: Path
    units: dict[str, Counter[str]]
    fmax_mhz: dict[str, float]


def prepare(folder: Path, fpga: str, config: ChipConfig, clock_hz: int) -> None:
    """Synthesise a chip for a ULX3S: `chip.json` and `top.lpf`, all that its placement needs.

    Parameters
    ----------
    folder : Path
        For all files of the way.
    fpga : str
        A key of `PARTS`.

    Raises
    ------
    InputError
        If the chip does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = PARTS[fpga].platform().prepare(Ulx3s(config, clock_hz), "top")
    for name in ("top.il", "top.lpf"):
        (folder / name).write_text(plan.files[name])
    _map(folder, config, PARTS[fpga].planned)
    check_fit(folder, fpga)


def check_fit(folder: Path, fpga: str) -> None:
    """Refuse a chip that the FPGA has no room for, or whose RAMs are not what was meant."""
    cells = json.loads((folder / "chip.json").read_text())["modules"]["top"]["cells"].values()
    kinds = Counter(cell["type"] for cell in cells)
    used = {
        "comb": ("tables", count_tables(cells)),
        "dsp": ("multipliers", kinds["MULT18X18D"]),
        "ebr": ("block RAMs", kinds["DP16KD"]),
    }
    for column, (name, count) in used.items():
        have = PARTS[fpga].have[column]
        if count > have:
            raise InputError(f"the chip needs {count} {name} and an {fpga} has {have}")
    expected = count_block_rams((folder / "top.il").read_text())
    if kinds["DP16KD"] != expected:
        raise SternaError(f"{kinds['DP16KD']} block RAMs, but the memories need {expected}")


def implement(folder: Path, fpga: str, seed: int, clock_hz: int) -> Implementation:
    """Place, route and pack what was prepared, for a clock.

    Raises
    ------
    NotRoutedError
        If the router finds no ways, or none that are fast enough.
    """
    options = [PARTS[fpga].option, "--lpf", "top.lpf"]
    _place_and_route(folder, options, seed, clock_hz / 1e6)
    run_tool(["ecppack", "chip.config", "chip.bit"], folder)
    return _result(folder)


def prepare_engine(config: ChipConfig) -> Path:
    """Synthesise the engine alone; return the folder in which `implement_engine` goes on."""
    folder = BUILD / "pnr" / f"engine-{config.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    top = EngineAlone(config)
    (folder / "top.il").write_text(
        rtlil.convert(top, platform=ECP5, ports=top.ports, name="top", emit_src=False)
    )
    _map(folder, config, planned=True)
    return folder


def implement_engine(folder: Path, seed: int) -> Implementation:
    """Place and route the engine alone; `NotRoutedError` as of `implement`."""
    options = ["--85k", "--lpf-allow-unconstrained", "--freq", str(ENGINE_MHZ)]
    _place_and_route(folder, options, seed, ENGINE_MHZ)
    return _result(folder)


def count_block_rams(rtlil: str) -> int:
    """Block RAMs that the memories of a design need; queues' rows are to lie in LUTs."""
    text = r"(ram_style \"distributed\"\n(?: +attribute .*\n)*)?^ +memory width (\d+) size (\d+) "
    shapes = re.findall(text, rtlil, re.M)
    return sum(block_rams(int(words), int(bits)) for in_luts, bits, words in shapes if not in_luts)


def count_tables(cells: Iterable[dict[str, Any]]) -> int:
    """Tables that mapped cells take."""
    kinds = Counter(cell["type"] for cell in cells)
    return kinds["LUT4"] + 2 * kinds["CCU2C"]


def synthesise(folder: Path) -> None:
    """Turn `top.il` into cells of an ECP5, `mapped.json`."""
    (folder / "synth.ys").write_text(SYNTHESIS)
    run_tool(["yosys", "-q", "-s", "synth.ys"], folder)


def mapped(folder: Path) -> dict[str, Any]:
    """Turn `top.il` into a netlist of cells with the registers of hard blocks in use."""
    synthesise(folder)
    design = json.loads((folder / "mapped.json").read_text())
    netlist = Netlist(design["modules"]["top"])
    netlist.absorb_registers()
    netlist.end_carries()
    return design


def _map(folder: Path, config: ChipConfig, planned: bool) -> None:
    """Turn `top.il` into a netlist of cells, with a floor plan some of them in their places."""
    design = mapped(folder)
    if planned:
        netlist = Netlist(design["modules"]["top"])
        sites = multiplier_sites(netlist.cells, config.elements)
        if config.tape_words:
            sites |= block_ram_sites(netlist.cells, config.word_bits // config.rows)
            sites |= other_sites(netlist.cells, sites.values())
            activations = netlist.registers("engine.activations")
            sites |= activation_sites(activations, config.columns)
        netlist.place(sites)
        if count_tables(netlist.cells.values()) > FREE_ROWS_FROM:
            netlist.keep_free(free_sites())
    (folder / "chip.json").write_text(json.dumps(design))


def _place_and_route(folder: Path, options: list[str], seed: int, clock_mhz: float) -> None:
    """Place `chip.json`, make its late ways shorter, route."""
    command = [*NEXTPNR, *options, "--seed", str(seed)]
    run_tool([*command, "--json", "chip.json", "--no-route"], folder)
    design = json.loads((folder / "placed.json").read_text())
    refine(design["modules"]["top"], [aim * 1000 / clock_mhz for aim in AIMS], seed)
    route([*command, "--textcfg", "chip.config"], folder, design, clock_mhz)


def _result(folder: Path) -> Implementation:
    report = json.loads((folder / "report.json").read_text())
    return Implementation(
        folder=folder,
        units=_area(folder),
        fmax_mhz={clock: figures["achieved"] for clock, figures in report["fmax"].items()},
    )


def _area(folder: Path) -> dict[str, Counter[str]]:
    """Cells of each unit after packing."""
    cells = json.loads((folder / "placed.json").read_text())["modules"]["top"]["cells"]
    units: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        kind = KINDS.get(cell["type"])
        if kind and not name.startswith(KEPT_FREE):
            units.setdefault(unit_of(name), Counter())[kind] += 1
    return units


def unit_of(cell: str) -> str:
    """Return the unit that a cell's path begins with."""
    path = re.split(r"[./]", cell)
    while path[:1] in (["chip"], ["serial"]):
        path = path[1:]
    return path[0] if len(path) > 1 and path[0].isidentifier() else "top"


def area_table(units: dict[str, Counter[str]]) -> str:
    """Return the cells of each unit, and of all, as a table."""
    columns = list(KINDS.values())
    lines = [f"{'unit':12}" + "".join(f"{column:>8}" for column in columns)]
    total = sum(units.values(), Counter())
    for unit, counts in [*sorted(units.items()), ("total", total)]:
        lines.append(f"{unit:12}" + "".join(f"{counts[column]:8}" for column in columns))
    return "\n".join(lines)


def main() -> None:
    """Implement the engine of the reference alone and print what a lane costs."""
    config = REFERENCE
    print(f"engine of configuration {config.digest}, LFE5U-85F-6", flush=True)
    folder = prepare_engine(config)
    fmax, units = [], {}
    for seed in SEEDS:
        try:
            result = implement_engine(folder, seed)
        except NotRoutedError:
            fmax.append(0.0)
            print(f"seed {seed}: not routed for {ENGINE_MHZ} MHz", flush=True)
            continue
        units = result.units
        fmax.append(min(result.fmax_mhz.values()))
        print(f"seed {seed}: {fmax[-1]:.1f} MHz", flush=True)
    if not units:
        raise SystemExit(1)
    engine = units["engine"]["comb"] / config.lanes
    print(area_table(units))
    figures = {
        "digest": config.digest,
        "lanes": config.lanes,
        "comb_per_lane": round(engine, 2),
        "comb_per_lane_with_unpacker": round(engine + units["unpacker"]["comb"] / config.lanes, 2),
        "fmax_mhz": [round(mhz, 1) for mhz in fmax],
        "median_fmax_mhz": round(median(fmax), 1),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
