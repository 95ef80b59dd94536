"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sterna.errors import InputError
from sterna.model import container
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer

__all__ = ["DeviceOption", "JsonOption", "ModelOption", "load_model", "print_json", "prompt_tokens"]

ModelOption = Annotated[Path, typer.Option("--model", help="a .sterna file, see `sterna convert`")]
DeviceOption = Annotated[str, typer.Option("--device", help="golden or sim")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of words")]


def load_model(path: Path) -> Model:
    """Read a model file."""
    return container.load(path)


def parse_tokens(text: str) -> list[int]:
    """Token ids separated by commas or spaces."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"tokens must be numbers separated by commas, not {text!r}") from None


def prompt_tokens(model: Model, text: str | None, tokens: str | None) -> list[int]:
    """Tokens of a prompt given as text or as ids."""
    if (text is None) == (tokens is None):
        raise InputError("give either a prompt or --tokens")
    if tokens is not None:
        return parse_tokens(tokens)
    tokenizer = Tokenizer.of(model)
    if tokenizer is None:
        raise InputError("the model has no tokenizer; give token ids with --tokens")
    return tokenizer.encode(text or "")


def print_json(values: Any) -> None:
    """Print a dictionary or dataclass as one JSON object."""
    if is_dataclass(values) and not isinstance(values, type):
        values = asdict(values)
    json.dump(values, sys.stdout, indent=2)
    print()
