"""sterna convert: checkpoint to model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sterna.cli.options import check_output
from sterna.model import container
from sterna.model.convert import convert

__all__ = ["convert_command"]


def convert_command(
    checkpoint: Annotated[Path, typer.Argument(help="directory with config.json and safetensors")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .sterna file to write")],
    calibrate: Annotated[
        Path | None, typer.Option(help="text from which binary points are chosen")
    ] = None,
) -> None:
    """Convert a Hugging Face checkpoint of a MatMul-free model (hgrn_bit)."""
    check_output(output)
    console = Console(stderr=True)
    with console.status("") as status:
        model = convert(checkpoint, calibrate, lambda stage: status.update(stage))
        status.update(f"writing {output}")
        container.save(model, output)
    weights = model.shape.ternary_weights
    size = output.stat().st_size
    console.print(f"{output}: {weights:,} ternary weights, {size:,} bytes", soft_wrap=True)
