"""The k largest logits, in order."""

from __future__ import annotations

import numpy as np

__all__ = ["best", "best_of"]


def best(logits: np.ndarray, k: int) -> np.ndarray:
    """Tokens of the `k` largest logits [V], the largest first; of equals the lower number first."""
    return np.argsort(-logits, kind="stable")[:k]


def best_of(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the largest logits of each row [T, V], and these logits."""
    found = np.array([best(row, k) for row in rows])
    return found, np.take_along_axis(rows, found, axis=1)
