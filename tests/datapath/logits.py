"""Chips and logits for the tests of the sampler's units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sterna.spec.chip import REFERENCE, ChipConfig

__all__ = ["LARGEST", "chip", "logits_of"]

LARGEST = 32767


def chip(rows: int, elements: int, max_vocab: int = 1024, **fields: Any) -> ChipConfig:
    """Return a chip with the lanes given."""
    return replace(
        REFERENCE,
        rows=rows,
        columns=8 * elements,
        elements=elements,
        max_vocab=max_vocab,
        **fields,
    )


def logits_of(kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Logits that are hard in some way."""
    match kind:
        case "ties":
            return rng.integers(-2, 3, count)
        case "equal":
            return np.full(count, -LARGEST)
        case "extreme":
            return rng.choice([-LARGEST, LARGEST], count)
        case "rising":
            return np.arange(count) - count
        case "falling":
            return count - np.arange(count)
        case "close":
            return rng.integers(-200, 200, count)
        case _:
            return rng.integers(-LARGEST, LARGEST + 1, count)
