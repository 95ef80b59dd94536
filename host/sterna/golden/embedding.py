"""Embedding fetch: an int8 row and its scale take the place of row sums and output scale."""

from __future__ import annotations

import numpy as np

from sterna.spec.fixed import SCALE_BITS

__all__ = ["row"]


def row(table: np.ndarray, scale: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows [T, H] (int64) and their 16-bit scale mantissas [T, 1] for tokens [T]."""
    assert scale.max(initial=0) < 1 << SCALE_BITS
    return table[tokens].astype(np.int64), scale[tokens].astype(np.int64)[:, None]
