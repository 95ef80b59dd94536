"""The k largest logits, in order."""

from __future__ import annotations

import numpy as np

__all__ = ["best"]


def best(logits: np.ndarray, k: int) -> np.ndarray:
    """Tokens of the `k` largest logits [V], the largest first; of equals the lower number first."""
    return np.argsort(-logits, kind="stable")[:k]
