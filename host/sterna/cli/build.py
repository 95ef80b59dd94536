"""sterna build: a bitstream for a board, with open tools."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna import bitstream
from sterna.cli.options import JsonOption, print_json
from sterna.cli.progress import showing
from sterna.errors import InputError
from sterna.model.checkpoint import read_json
from sterna.spec.boards import TARGETS, target_of
from sterna.spec.chip import ChipConfig

__all__ = ["build_command"]

BUILDERS = "sterna.build"
"""Entry point of the gateware package, see `sterna_sim.build.build_board`."""

STEP_MHZ, LEAST_MHZ, MOST_MHZ = 2.5, 12.5, 160.0
"""Clocks that the board's PLL makes of 25 MHz: multiples of the first, in this range."""


def build_command(
    board: Annotated[str, typer.Option(help=", ".join(TARGETS))],
    config: Annotated[
        Path | None, typer.Option(help="JSON of a chip configuration instead of the board's own")
    ] = None,
    clock: Annotated[
        float | None, typer.Option(help="of the chip, in MHz: a multiple of 2.5")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=1, help="of the placer, the first one to try; by default the board's own"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="how many to try at most")] = 8,
    folder: Annotated[
        Path | None, typer.Option(help="for what is made; by default bitstreams/BOARD")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Synthesise, place and route a chip for a board: some minutes, or an hour for each seed."""
    target = target_of(board)
    first = seed or target.seed
    kept = folder or Path("bitstreams") / board
    if kept.exists() and not kept.is_dir():
        raise InputError(f"{kept} is a file; --folder names a folder for several")
    if clock is not None and not (LEAST_MHZ <= clock <= MOST_MHZ and clock % STEP_MHZ == 0):
        raise InputError(
            f"--clock must be a multiple of {STEP_MHZ} from {LEAST_MHZ:g} to {MOST_MHZ:g} MHz,"
            f" not {clock:g}"
        )
    chosen = ChipConfig.from_dict(read_json(config)) if config else None
    builders = list(entry_points(group=BUILDERS))
    try:
        build = builders[0].load()
    except (ImportError, IndexError) as error:
        raise InputError(
            "a bitstream needs gateware and tools: `pip install sterna[sim,build]`"
        ) from error
    clock_hz = None if clock is None else round(clock * 1e6)
    with showing(f"building for {board}") as tell:
        made = build(board, kept, tell, chosen, clock_hz, range(first, first + seeds))
    if json:
        print_json(made)
    else:
        _print(kept, made["manifest"], made["report"])
        print(
            f"after {made['seconds'] / 60:.0f} minutes; now `sterna flash --board {board}` loads it"
        )


def _print(kept: Path, manifest: dict[str, Any], report: dict[str, Any]) -> None:
    columns = list(report["have"])
    print(f"{'unit':12}" + "".join(f"{column:>8}" for column in [*columns, "MHz"]))
    units = dict(report["units"])
    for last in ("total", "have"):
        sums = {column: sum(one.get(column, 0) for one in units.values()) for column in columns}
        units[last] = report["have"] if last == "have" else sums
    for unit, counts in units.items():
        mhz = report["unit_fmax_mhz"].get(unit, "")
        print(f"{unit:12}" + "".join(f"{counts.get(c, 0):8}" for c in columns) + f"{mhz:>8}")
    for clock, mhz in manifest["fmax_mhz"].items():
        print(f"Fmax {clock}: {mhz:.1f} MHz (pnr), seed {manifest['seed']}")
    watts = report["power"]
    print(
        f"power {watts['static_watts']:.2f} + {watts['dynamic_watts']:.2f} W (model of assumed "
        "constants), static + dynamic"
    )
    for way in report["slowest"]:
        steps = ", ".join(
            f"{step['unit']} {step['logic']:.1f} + {step['wires']:.1f}" for step in way["steps"]
        )
        print(f"slowest way from {way['from']} to {way['to']}: {way['ns']:.1f} ns")
        print(f"  logic + wires: {steps}")
    print(f"{kept / bitstream.NAME}: configuration {manifest['digest']}")
    print(f"SHA-256 of the bitstream: {manifest['sha256']}")
