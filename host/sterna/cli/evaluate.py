"""sterna eval: how good a model is on a text, and how far from the float64 reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    check_output,
    load_model,
    opened,
    print_json,
)
from sterna.cli.picture import picture
from sterna.cli.progress import showing
from sterna.errors import InputError
from sterna.evaluate import Quality, evaluate
from sterna.files import whole_file
from sterna.model.checkpoint import Checkpoint
from sterna.model.convert import read_text
from sterna.model.float64 import Float64Model
from sterna.model.half import HalfModel
from sterna.model.limits import limits
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer

__all__ = ["evaluate_command"]

SEPARATOR = "<|endoftext|>"
"""Stands between the documents of a text file."""


def evaluate_command(
    model: ModelOption,
    text: Annotated[
        Path, typer.Option(help=f"UTF-8 text; {SEPARATOR} stands between its documents")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(help="checkpoint to compare with in float64, instead of the model file's own"),
    ] = None,
    no_reference: Annotated[
        bool,
        typer.Option(
            "--no-reference",
            help="compare nothing; then a chip that has log-probabilities computes them itself",
        ),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="run the reference in float16 too, as people do")
    ] = False,
    characters: Annotated[
        str, typer.Option(help="part of the text, such as 50000:62000", metavar="FIRST:END")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="tokens of the text to use, 0: all")] = 4096,
    output: Annotated[
        Path | None, typer.Option("--picture", help="an .svg file of the ranges to write")
    ] = None,
    device: DeviceOption = "golden",
    json: JsonOption = False,
) -> None:
    """Measure a model on a text: perplexity, bits per character, distance from the reference."""
    if no_reference and (reference or half or output):
        raise InputError(
            "--reference, --half and --picture need the reference; drop --no-reference"
        )
    if output:
        check_output(output)
    loaded = load_model(model)
    tokenizer = Tokenizer.of(loaded)
    if tokenizer is None:
        raise InputError(f"{model} has no tokenizer, so that a text cannot be read")
    part = _part(read_text(text), characters)
    documents, measured = _documents(tokenizer, part, limit)
    if max(map(len, documents), default=0) < 2:
        raise InputError(f"{text} has {sum(map(len, documents))} tokens; at least 2 are needed")
    with showing("reading the reference"):
        floats = None if no_reference else _floats(Float64Model, reference, loaded)
        halves = _floats(HalfModel, reference, loaded) if half else None
    if floats:
        floats.ranges = {}
    total = sum(map(len, documents))
    with opened(device, loaded) as chip, showing("tokens") as tell:
        quality = evaluate(
            chip,
            documents,
            measured,
            loaded,
            floats,
            halves,
            lambda done: tell("tokens", done, total),
        )
    ranges = _ranges(loaded, floats)
    if output:
        title = f"{loaded.meta.get('source', model.name)}, {text.name}"
        with whole_file(output) as file:
            file.write(picture(title, ranges).encode())
    if json:
        print_json({**asdict(quality), "ranges": ranges})
    else:
        _print(quality, ranges)


def _part(text: str, characters: str) -> str:
    """Cut a text as ``FIRST:END`` says."""
    first, colon, end = characters.partition(":")
    if not characters:
        return text
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end) <= len(text)):
        raise InputError(
            f"--characters must be FIRST:END, two numbers up to {len(text)}, not {characters!r}"
        )
    return text[int(first) : int(end)]


def _documents(tokenizer: Tokenizer, text: str, limit: int) -> tuple[list[list[int]], int]:
    """Tokens of each document, at most `limit` in all, and the characters that they stand for."""
    documents, characters, left = [], 0, limit or len(text) + len(text.split(SEPARATOR))
    for document in text.split(SEPARATOR):
        if document.strip() and left > 0:
            ids, ends = tokenizer.encode_with_ends(document.strip())
            ids = ids[:left]
            documents.append(ids)
            characters += ends[len(ids) - 1]
            left -= len(ids)
    return documents, characters


def _floats(kind: type[Float64Model], directory: Path | None, model: Model) -> Float64Model:
    """Open a reference: that of the model file, or of a checkpoint of the same shape."""
    if directory is None:
        return kind.from_model(model)
    checkpoint = Checkpoint(directory)
    if checkpoint.config.shape != model.shape:
        raise InputError(
            f"{directory} is {checkpoint.config.shape} and the model is {model.shape}; give the "
            "checkpoint that the model was made from"
        )
    return kind.from_checkpoint(checkpoint)


def _ranges(model: Model, floats: Float64Model | None) -> dict[str, dict[str, float]]:
    """Largest magnitudes in the reference, and the share of the format that they use."""
    if floats is None or floats.ranges is None:
        return {}
    largest = floats.ranges
    return {
        name: {"largest": largest[name], "share_of_format": largest[name] / limit}
        for name, limit in limits(model).items()
    }


def _print(quality: Quality, ranges: dict[str, dict[str, float]]) -> None:
    for name, value in asdict(quality).items():
        if value is not None:
            print(f"{name:28} {value:.6g}" if isinstance(value, float) else f"{name:28} {value}")
    for name, row in ranges.items():
        share = f"{row['share_of_format']:.0%} of its format"
        print(f"{'largest ' + name:36} {row['largest']:<10.4g} {share}")
