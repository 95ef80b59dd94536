"""Small random models for tests, made through the whole import path."""

from __future__ import annotations

import tempfile
from functools import cache

from sterna.model.convert import convert
from sterna.model.model import Model
from tests.synthetic import write_checkpoint

__all__ = ["tiny_model"]


@cache
def tiny_model(**options: object) -> Model:
    """Convert a random checkpoint; `options` are those of `write_checkpoint`."""
    with tempfile.TemporaryDirectory() as directory:
        return convert(write_checkpoint(directory, **options))  # type: ignore[arg-type]
