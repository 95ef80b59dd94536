"""Passes of logits as the sampler hands them to its units, in parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from sterna.spec.chip import ChipConfig

__all__ = ["parts"]


def parts(
    logits: np.ndarray, noise: np.ndarray | int, config: ChipConfig, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return a pass; in the lanes beyond the vocabulary there is anything."""
    lanes = min(config.rows, config.elements)
    count = -(-len(logits) // lanes) + int(rng.integers(2))  # the last beat may have empty parts
    values = rng.integers(-32767, 32768, count * lanes)
    values[: len(logits)] = logits
    noises = rng.integers(-7475, 70976, count * lanes)
    noises[: len(logits)] = noise
    exists = np.arange(count * lanes) < len(logits)
    return [
        {
            "values": values[first : first + lanes],
            "noise": noises[first : first + lanes],
            "mask": sum(1 << n for n in np.flatnonzero(exists[first : first + lanes]).tolist()),
            "last": first + lanes == count * lanes,
        }
        for first in range(0, count * lanes, lanes)
    ]
