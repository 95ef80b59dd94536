"""sterna plan: the best chip for a model on a board, before there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.options import JsonOption, print_json
from sterna.cli.progress import showing
from sterna.errors import InputError
from sterna.model import container
from sterna.model.model import Shape
from sterna.model.outline import PUBLISHED, Outline
from sterna.plan.boards import BOARDS, Board, Outside
from sterna.plan.plan import Plan, plan
from sterna.spec.chip import MAX_SLOTS

__all__ = ["plan_command"]

MAX_SIZE, MAX_LAYERS = 65535, 1000
"""Of a shape given by numbers; headers of the tape have 16 bits for a size."""

UNLIMITED = 1 << 62
"""What a board made of options has of that which no option sets."""


def plan_command(
    model: Annotated[
        Path | None, typer.Option("--model", help="a .sterna file, see `sterna convert`")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            help=f"instead of a file: {', '.join(PUBLISHED)}, or vocabulary, hidden size, layers, "
            "intermediate size as in 4096,512,8,1536"
        ),
    ] = None,
    board: Annotated[str | None, typer.Option(help=", ".join(BOARDS))] = None,
    luts: Annotated[int | None, typer.Option(min=1, help="LUTs that may be used")] = None,
    ram: Annotated[int | None, typer.Option(min=1, help="block RAM in KiB")] = None,
    bandwidth: Annotated[
        float | None, typer.Option(min=1e-6, help="of memory beside the FPGA, in GB/s")
    ] = None,
    clock: Annotated[
        float | None, typer.Option(min=1e-3, max=1e4, help="clock of the chip in MHz")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, max=MAX_SLOTS, help="sequences side by side")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose a chip for a model and a board and say what to expect of it.

    Without --board, --luts, --ram and --clock describe one; with it they change it. All figures are
    calculated, none is measured on a board.
    """
    outline = _outline(model, shape)
    chosen = _board(board, luts, ram, bandwidth, clock)
    with showing("comparing configurations"):
        found = plan(outline, chosen, slots)
    facts = _facts(found, outline, chosen, board)
    if json:
        print_json(facts)
    else:
        print(_words(facts))


def _outline(model: Path | None, shape: str | None) -> Outline:
    if (model is None) == (shape is None):
        raise InputError("give either --model or --shape")
    if model is not None:
        return container.load_outline(model)
    if shape in PUBLISHED:
        return Outline.of_shape(PUBLISHED[shape])
    try:
        vocab, hidden, layers, intermediate = (int(part) for part in str(shape).split(","))
    except ValueError:
        names = ", ".join(PUBLISHED)
        raise InputError(
            f"shape must be one of {names}, or four numbers as in 4096,512,8,1536, not {shape!r}"
        ) from None
    sizes = (vocab, hidden, intermediate)
    if min(*sizes, layers) < 1 or max(sizes) > MAX_SIZE or layers > MAX_LAYERS:
        raise InputError(
            f"a shape has sizes of 1 to {MAX_SIZE} and 1 to {MAX_LAYERS} layers, not {shape}"
        )
    return Outline.of_shape(Shape(vocab, hidden, hidden, intermediate, layers))


def _board(
    name: str | None,
    luts: int | None,
    ram: int | None,
    bandwidth: float | None,
    clock: float | None,
) -> Board:
    """Return a known board with changes, or one made of the options alone."""
    if name is not None and name not in BOARDS:
        raise InputError(f"board must be one of {', '.join(BOARDS)}, not {name!r}")
    if name is None and None in (luts, ram, clock):
        raise InputError("give --board, or --luts, --ram and --clock")
    board = BOARDS[name] if name else Board(0, 1, UNLIMITED, 0, 0)
    if luts is not None:
        board = replace(board, luts=luts, usable=1)
    if ram is not None:
        board = replace(board, block_rams=ram * 1024 * 8 // (18 * 1024))
    if clock is not None:
        board = replace(board, clock_hz=clock * 1e6)
    if bandwidth is not None:
        memory = board.memory or Outside(UNLIMITED, 0, 0, 0)
        rate = bandwidth * 1e9
        board = replace(board, memory=replace(memory, bytes_per_second=rate, part=""))
    return board


def _facts(found: Plan, outline: Outline, board: Board, name: str | None) -> dict[str, Any]:
    config, weights = found.config, outline.shape.ternary_weights
    return {
        "kind": "model",
        "board": name,
        "clock_hz": board.clock_hz,
        "ternary_weights": weights,
        "rows": config.rows,
        "columns": config.columns,
        "elements": config.elements,
        "slots": config.slots,
        "packing": config.packing.name,
        "configuration": config.digest,
        "chip": config.to_dict(),
        "tape": "memory" if config.ring_words else "chip",
        "tape_bytes": found.tape_bytes,
        "embedding": "memory" if found.embedding_outside else "chip",
        "clocks_per_token": found.clocks_per_token,
        "clocks_alone": found.clocks_alone,
        "device_tokens_per_second": board.clock_hz / found.clocks_per_token,
        "lane_use": weights / (config.lanes * found.clocks_per_token),
        "roofline_fraction": found.roofline,
        "roofline": "memory" if found.memory_bound else "lanes",
        "luts": found.luts,
        "luts_usable": board.usable_luts,
        "multipliers": found.multipliers,
        "multipliers_usable": board.multipliers if board.multipliers < UNLIMITED else None,
        "block_rams": found.block_rams,
        "block_rams_usable": board.block_rams,
    }


def _words(facts: dict[str, Any]) -> str:
    limit = facts["multipliers_usable"]
    multipliers = f"{facts['multipliers']:,}" + (f" of {limit:,}" if limit else "")
    lines = [
        f"R = {facts['rows']}, C = {facts['columns']}, E = {facts['elements']}, "
        f"slots: {facts['slots']}, {facts['packing']}, configuration {facts['configuration']}",
        f"tape: {facts['tape_bytes']:,} bytes, in the {facts['tape']}; embedding in the "
        f"{facts['embedding']}",
        f"{facts['luts']:,} LUTs of {facts['luts_usable']:,}, {multipliers} multipliers, "
        f"{facts['block_rams']:,} block RAMs of {facts['block_rams_usable']:,}",
        f"{facts['clocks_per_token']:,.0f} clocks per token with all slots busy, "
        f"{facts['clocks_alone']:,.0f} with one",
        f"{facts['device_tokens_per_second']:,.0f} tokens/s if the clock is "
        f"{facts['clock_hz'] / 1e6:g} MHz",
        f"{facts['lane_use']:.1%} of the lanes busy, {facts['roofline_fraction']:.1%} of what the "
        f"{facts['roofline']} would allow",
    ]
    if facts["embedding"] == "memory" and not facts["chip"]["memory"]:
        lines.append(
            "today's gateware has the embedding on the chip or in an SDR SDRAM: this chip can't be "
            "built yet"
        )
    return "\n".join([*lines, "all figures are of kind model: calculated, not measured"])
