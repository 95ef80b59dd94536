"""Sigmoid by table and linear interpolation."""

from __future__ import annotations

import numpy as np

from sterna.spec import tables
from sterna.spec.fixed import round_shift

__all__ = ["sigmoid"]

_BASE, _RISE = (np.array(column, dtype=np.int64) for column in tables.sigmoid())


def sigmoid(y: np.ndarray, shift: int) -> np.ndarray:
    """Sigmoid of fixed-point numbers.

    Parameters
    ----------
    y : numpy.ndarray
        Signed integers with ``shift + 4`` fraction bits.
    shift : int
        0 to 15.

    Returns
    -------
    numpy.ndarray
        Unsigned, 16 fraction bits, 22 to 65514: the input saturates at +-8 (4096 units of 2**-12
        per one).
    """
    magnitude = np.minimum(np.abs((y << 8) >> shift), (1 << 15) - 1)
    segment, rest = magnitude >> 9, magnitude & 511
    value = _BASE[segment] + round_shift(_RISE[segment] * rest, 9)
    return np.where(y < 0, 65536 - value, value)
