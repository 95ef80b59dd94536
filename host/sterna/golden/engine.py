"""TernaryEngine: row sums of int8 activations selected by trits (no multiplier in gateware)."""

from __future__ import annotations

import numpy as np

from sterna.spec.fixed import ACTIVATION_MAX

__all__ = ["prepare", "row_sums"]


def prepare(trits: np.ndarray) -> np.ndarray:
    """Copy trits [rows, columns] into a float type whose integers hold every partial sum."""
    exact_in_float32 = ACTIVATION_MAX * trits.shape[1] < 1 << 24
    return trits.T.astype(np.float32 if exact_in_float32 else np.float64)


def row_sums(activations: np.ndarray, prepared: np.ndarray) -> np.ndarray:
    """Sum of activations [T, columns] over each row's trits, exact, int64 [T, rows]."""
    return (activations.astype(prepared.dtype) @ prepared).astype(np.int64)
