"""sterna eval: perplexity of a text, and the distance to the float64 reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from sterna.cli.options import DeviceOption, JsonOption, ModelOption, load_model, opened, print_json
from sterna.errors import InputError
from sterna.evaluate import evaluate
from sterna.model.checkpoint import Checkpoint
from sterna.model.convert import read_text
from sterna.model.float64 import Float64Model
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer

__all__ = ["evaluate_command"]


def evaluate_command(
    model: ModelOption,
    text: Annotated[Path, typer.Option(help="UTF-8 text")],
    reference: Annotated[
        Path | None, typer.Option(help="checkpoint directory to compare with in float64")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="tokens of the text to use, 0: all")] = 4096,
    device: DeviceOption = "golden",
    json: JsonOption = False,
) -> None:
    """Measure a model on a text."""
    loaded = load_model(model)
    tokenizer = Tokenizer.of(loaded)
    if tokenizer is None:
        raise InputError(f"{model} has no tokenizer, so that a text cannot be read")
    tokens = tokenizer.encode(read_text(text))[: limit or None]
    if len(tokens) < 2:
        raise InputError(f"{text} has {len(tokens)} tokens; at least 2 are needed")
    floats = _reference(reference, loaded) if reference else None
    with (
        opened(device, loaded) as chip,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("tokens", total=len(tokens))
        quality = evaluate(
            chip, loaded, tokens, floats, lambda done: bar.update(task, completed=done)
        )
    if json:
        print_json(quality)
        return
    for name, value in asdict(quality).items():
        if value is not None:
            print(f"{name:22} {value:.6g}" if isinstance(value, float) else f"{name:22} {value}")


def _reference(directory: Path, model: Model) -> Float64Model:
    """Open the float64 reference of a model."""
    checkpoint = Checkpoint(directory)
    if checkpoint.config.shape != model.shape:
        raise InputError(
            f"{directory} is {checkpoint.config.shape} and the model is {model.shape}; give the "
            "checkpoint that the model was made from"
        )
    return Float64Model.from_checkpoint(checkpoint)
