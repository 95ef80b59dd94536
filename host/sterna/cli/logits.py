"""sterna logits: logits after each of some tokens, as an array."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sterna.cli.options import (
    DeviceOption,
    JsonOption,
    ModelOption,
    RecordOption,
    check_output,
    load_model,
    opened,
    parse_tokens,
    print_json,
)
from sterna.cli.progress import showing
from sterna.files import whole_file

__all__ = ["logits_command"]

_CHUNK = 16
"""Tokens between two reports of progress."""


def logits_command(
    model: ModelOption,
    tokens: Annotated[str, typer.Option(help="token ids, such as 5,9,12")],
    output: Annotated[Path, typer.Option("-o", "--output", help="the .npy file to write")],
    device: DeviceOption = "golden",
    record: RecordOption = None,
    json: JsonOption = False,
) -> None:
    """Write float32 logits [T, V], one row after each token."""
    check_output(output)
    loaded = load_model(model)
    ids = parse_tokens(loaded, tokens)
    rows = []
    with opened(device, loaded, record) as chip, showing("tokens") as tell:
        for start in range(0, len(ids), _CHUNK):
            tell("tokens", start, len(ids))
            rows.append(chip.logits(ids[start : start + _CHUNK]))
    logits = (np.concatenate(rows) * 2.0 ** -loaded.steps[-1].fraction).astype(np.float32)
    with whole_file(output) as file:
        np.save(file, logits)
    if json:
        print_json({"output": str(output), "dtype": "float32", "shape": list(logits.shape)})
    else:
        print(f"{output}: float32 {list(logits.shape)}")
