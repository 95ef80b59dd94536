"""A bitstream for a board: seeds until the timing is met, and what there is to say of the result.

`sterna build` calls it. Bitstream and manifest are what `sterna flash` takes; `report.json` has
each unit's cells and the slowest way of each clock, `floorplan.svg` shows where the units lie. All
of them follow from the sources, the configuration, clock, seed and the versions of the tools.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sterna import bitstream
from sterna.errors import InputError
from sterna.files import whole_file
from sterna.plan.power import power
from sterna.spec.boards import target_of
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.registers import INTERFACE_VERSION
from sterna_sim.flow import flow_of
from sterna_sim.netlist import KEPT_FREE
from sterna_sim.picture import floor_plan
from sterna_sim.pnr import Implementation
from sterna_sim.router import NotRoutedError
from sterna_sim.tools import BUILD, ROOT
from sterna_sim.ways import place_of

__all__ = ["build_board", "config_of", "report_of"]

Tell = Callable[[str, int, int], None]


def config_of(board: str) -> ChipConfig:
    """Return the configuration of a board's chip."""
    name = target_of(board).config
    return ChipConfig.from_dict(json.loads((ROOT / name).read_text())) if name else REFERENCE


def build_board(
    board: str,
    kept: Path,
    tell: Tell,
    config: ChipConfig | None = None,
    clock_hz: int | None = None,
    seeds: range | None = None,
    work: Path | None = None,
) -> dict[str, Any]:
    """Make a bitstream; return its manifest, its report and how many seconds it took.

    Parameters
    ----------
    board : str
        One of `sterna.spec.boards.TARGETS`.
    kept : Path
        Folder for the packed bitstream, `manifest.json`, `report.json` and `floorplan.svg`. They
        are written when the timing is met, the manifest last; before that nothing is.
    tell : callable
        Told what is being done, how much has been and how much there is at most.
    config : ChipConfig, optional
    clock_hz : int, optional
    seeds : range
        Of the placer; the first with which the timing is met is taken. By default eight, from the
        board's own on.
    work : Path, optional
        Folder for what is made on the way, below `build` if not given.

    Raises
    ------
    InputError
        If no seed is fast enough, with what each gave; if the chip does not fit.
    SternaError
        If a tool fails.
    """
    start = time.monotonic()
    target, config = target_of(board), config or config_of(board)
    clock_hz, flow = clock_hz or target.clock_hz, flow_of(config)
    seeds = seeds or range(target.seed, target.seed + 8)
    work = work or BUILD / "boards" / f"{board}-{config.digest}"
    tell("synthesis", 0, 1 + len(seeds))
    flow.prepare(work, target.fpga, config, clock_hz)
    tried: dict[int, float] = {}
    for seed in seeds:
        tell(f"place and route, seed {seed}", 1 + len(tried), 1 + len(seeds))
        try:
            result = flow.implement(work, target.fpga, seed, clock_hz)
        except NotRoutedError:
            tried[seed] = 0.0
            continue
        tried[seed] = round(min(result.fmax_mhz.values()), 2)
        if tried[seed] * 1e6 >= clock_hz:
            break
    else:
        found = ", ".join(
            f"{f'{mhz:g} MHz' if mhz else 'not routed'} (seed {seed})"
            for seed, mhz in tried.items()
        )
        raise InputError(
            f"too slow for {clock_hz / 1e6:g} MHz: {found}; ask for a lower --clock or more --seeds"
        )
    bits = (work / "chip.bit").read_bytes()
    manifest = {
        "board": board,
        "fpga": target.fpga,
        "configuration": config.to_dict(),
        "digest": config.digest,
        "interface_version": INTERFACE_VERSION,
        "clock_hz": clock_hz,
        "fmax_mhz": {clock: round(mhz, 2) for clock, mhz in result.fmax_mhz.items()},
        "seed": seed,
        "tools": {tool: version(tool) for tool in flow.tools},
        "sha256": hashlib.sha256(bits).hexdigest(),
    }
    report = report_of(result, flow.have[target.fpga], flow.unit_of)
    drawn = power(flow.draws(result.units), target.fpga, clock_hz)
    report |= {"power": drawn, "seeds": tried}
    kept.mkdir(parents=True, exist_ok=True)
    for name, data in (
        (bitstream.NAME, bitstream.pack(bits)),
        ("report.json", _json(report)),
        ("floorplan.svg", _picture(work, flow.unit_of).encode()),
        ("manifest.json", _json(manifest)),
    ):
        with whole_file(kept / name) as file:
            file.write(data)
    return {
        "manifest": manifest,
        "report": report,
        "seconds": round(time.monotonic() - start),
    }


def report_of(
    result: Implementation, have: dict[str, int], unit_of: Callable[[str], str]
) -> dict[str, Any]:
    """Cells of each unit and its own frequency, and the slowest way of each clock, unit by unit.

    A unit's frequency is that of the slowest way from a clock that ends in it, wherever it begins.
    """
    routed = json.loads((result.folder / "report.json").read_text())
    return {
        "units": {unit: dict(counts) for unit, counts in sorted(result.units.items())},
        "have": have,
        "fmax_mhz": {clock: round(mhz, 2) for clock, mhz in result.fmax_mhz.items()},
        "unit_fmax_mhz": {
            unit: round(1000 / ns, 1)
            for unit, ns in sorted(_longest(routed["detailed_net_timings"], unit_of).items())
        },
        "slowest": [_way(path, unit_of) for path in routed["critical_paths"]],
    }


def _longest(nets: list[dict[str, Any]], unit_of: Callable[[str], str]) -> dict[str, float]:
    """Return the ns of the longest way from clock to clock that ends in each unit."""
    longest: dict[str, float] = {}
    for net in nets:
        for end in net["endpoints"]:
            if net["event"].startswith("posedge") and end["event"].startswith("posedge"):
                unit, ns = unit_of(end["cell"]), max(end["delay"])
                longest[unit] = max(longest.get(unit, 0.0), ns)
    return longest


def _way(path: dict[str, Any], unit_of: Callable[[str], str]) -> dict[str, Any]:
    """Return a path's clocks, and how long it is in which unit: ns of logic and of wires."""
    steps: list[dict[str, Any]] = []
    for part in path["path"]:
        kind = "wires" if part["type"] == "routing" else "logic"
        unit, ns = unit_of(part["to"]["cell"]), part["delay"]
        if not steps or steps[-1]["unit"] != unit:
            steps.append({"unit": unit, "logic": 0.0, "wires": 0.0})
        steps[-1][kind] = round(steps[-1][kind] + ns, 3)
    return {
        "from": path["from"],
        "to": path["to"],
        "begins": path["path"][0]["from"]["cell"],
        "ends": path["path"][-1]["to"]["cell"],
        "ns": round(sum(part["delay"] for part in path["path"]), 3),
        "steps": steps,
    }


def _picture(work: Path, unit_of: Callable[[str], str]) -> str:
    cells = json.loads((work / "placed.json").read_text())["modules"]["top"]["cells"]
    return floor_plan(
        (place, unit_of(name))
        for name, cell in cells.items()
        if not name.startswith(KEPT_FREE) and (place := place_of(cell))
    )


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()
