"""sterna convert: checkpoint to model file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sterna.cli.options import JsonOption, check_output, print_json
from sterna.model import container
from sterna.model.convert import convert

__all__ = ["convert_command"]


def convert_command(
    checkpoint: Annotated[Path, typer.Argument(help="directory with config.json and safetensors")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .sterna file to write")],
    calibrate: Annotated[
        Path | None, typer.Option(help="text from which binary points are chosen")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="tokens of that text to use, 0: all; time grows with them")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Convert a Hugging Face checkpoint of a MatMul-free model (hgrn_bit)."""
    check_output(output)
    console = Console(stderr=True)
    times = _Times()
    with console.status("") as status:

        def progress(stage: str) -> None:
            times.begin(stage)
            status.update(stage)

        model = convert(checkpoint, calibrate, progress, limit)
        progress(f"writing {output}")
        container.save(model, output)
    weights, near = model.shape.ternary_weights, model.meta["near_threshold"]
    size = output.stat().st_size
    if json:
        facts = {"output": str(output), "ternary_weights": weights, "bytes": size}
        print_json({**facts, "seconds": times.known(), "near_threshold": near})
        return
    console.print(f"{output}: {weights:,} ternary weights, {size:,} bytes", soft_wrap=True)
    console.print(times.words(), soft_wrap=True)
    worst = max(near, key=near.__getitem__)
    console.print(
        f"{near[worst]:.2%} of the weights of {worst}, and no larger share of another matrix, lie "
        "within a hundredth of the ternary threshold",
        soft_wrap=True,
    )


class _Times:
    """Seconds of each stage; a stage is named by what stands before the comma."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.stage, self.since = "", time.monotonic()

    def begin(self, stage: str) -> None:
        """End the stage before, if this is another one."""
        now = time.monotonic()
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self.since
        self.stage, self.since = stage.partition(",")[0], now

    def known(self) -> dict[str, float]:
        """Seconds by the first word of each stage."""
        self.begin("")
        return {stage.split()[0]: took for stage, took in self.seconds.items() if stage}

    def words(self) -> str:
        """Stages that took time, in words."""
        parts = [f"{stage} {took:.1f} s" for stage, took in self.known().items() if took >= 0.05]
        return ", ".join([*parts, f"in all {sum(self.seconds.values()):.1f} s"])
