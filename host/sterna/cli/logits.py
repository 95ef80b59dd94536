"""sterna logits: logits after each of some tokens, as an array."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sterna.cli.options import (
    DeviceOption,
    ModelOption,
    RecordOption,
    check_output,
    load_model,
    opened,
    parse_tokens,
)
from sterna.errors import InputError

__all__ = ["logits_command"]


def logits_command(
    model: ModelOption,
    tokens: Annotated[str, typer.Option(help="token ids, such as 5,9,12")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .npy file to write")],
    device: DeviceOption = "golden",
    record: RecordOption = None,
) -> None:
    """Write float32 logits [T, V], one row after each token."""
    check_output(output)
    loaded = load_model(model)
    ids = parse_tokens(loaded, tokens)
    with opened(device, loaded, record) as chip:
        integers = chip.logits(ids)
    logits = (integers * 2.0 ** -loaded.steps[-1].fraction).astype(np.float32)
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        try:
            with partial.open("wb") as file:
                np.save(file, logits)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    print(f"{output}: float32 {list(logits.shape)}")
