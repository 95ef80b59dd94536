"""TernaryEngine: row sums of int8 activations selected by trits (no multiplier in gateware)."""

from __future__ import annotations

import numpy as np

from sterna.model import ternary

__all__ = ["row_sums"]


def row_sums(activations: np.ndarray, trits: np.ndarray) -> np.ndarray:
    """Sum of activations [T, columns] over each row of trits [rows, columns], int64 [T, rows].

    The same numbers as ``activations @ trits.T`` in int64, which NumPy has no fast way for.
    """
    return ternary.row_sums(activations, trits).astype(np.int64)
