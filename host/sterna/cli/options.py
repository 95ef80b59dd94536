"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.cli.progress import showing
from sterna.device.device import Device, check_tokens
from sterna.device.names import open_device
from sterna.device.recording import Recorder
from sterna.errors import InputError
from sterna.files import whole_file
from sterna.model import container
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer

__all__ = [
    "DeviceOption",
    "JsonOption",
    "ModelOption",
    "RecordOption",
    "check_output",
    "load_model",
    "opened",
    "parse_tokens",
    "print_json",
    "prompt_tokens",
]

ModelOption = Annotated[Path, typer.Option("--model", help="a .sterna file, see `sterna convert`")]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device", help="golden, sim, sim:direct, uart:PORT[@BAUD], pcie:ADDRESS or replay:FILE"
    ),
]
RecordOption = Annotated[
    Path | None, typer.Option("--record", help="file for a recording, see replay:FILE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of words")]


def load_model(path: Path) -> Model:
    """Read a model file."""
    with showing(f"reading {path}"):
        return container.load(path)


@contextmanager
def opened(name: str, model: Model, record: Path | None = None) -> Iterator[Device]:
    """Open a device and close it at the end; a recording is there if all went well."""
    with ExitStack() as stack:
        file = None
        if record is not None:
            check_output(record)
            file = stack.enter_context(whole_file(record))
        with showing(f"opening {name}") as tell:
            device = open_device(name, model, tell)
        stack.callback(device.close)
        yield device if file is None else Recorder(device, model, file)


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written before the work for it begins."""
    if path.exists() and not path.is_file():
        raise InputError(f"cannot write {path}: it is there and not a file")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no directory {path.parent}")


def parse_tokens(model: Model, text: str) -> list[int]:
    """Token ids separated by commas or spaces, at least one, all of which the model has."""
    try:
        ids = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"tokens must be numbers separated by commas, not {text!r}") from None
    check_tokens(ids, model)
    return ids


def prompt_tokens(
    model: Model, text: str | None, tokens: str | None, begins: bool = True
) -> list[int]:
    """Tokens of a prompt given as text or as ids; `begins` if nothing stands before it."""
    if (text is None) == (tokens is None):
        raise InputError("give either a prompt or --tokens, not both")
    if tokens is not None:
        return parse_tokens(model, tokens)
    tokenizer = Tokenizer.of(model)
    if tokenizer is None:
        raise InputError("the model has no tokenizer; give token ids with --tokens")
    text = text or ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the prompt is not UTF-8 text: {error}") from error
    ids = tokenizer.encode(text, begins)
    if begins:
        check_tokens(ids, model)
    return ids


def print_json(values: Any) -> None:
    """Print a dictionary or dataclass as one JSON object."""
    if is_dataclass(values) and not isinstance(values, type):
        values = asdict(values)
    json.dump(values, sys.stdout, indent=2)
    print()
