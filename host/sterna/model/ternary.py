"""Ternarise latent weights exactly as the reference does at run time.

Trits are decided in float32, because a weight on the threshold falls to the side to which float32
arithmetic sends it; the scale is taken in float64, because it only multiplies. The trits and the
scale are what is stored: quantising dequantised trits again would shrink the scale by the share of
zeros.

A product of trits and int8 activations is a sum of whole numbers. While 128 times the columns is
below 2**24, float32 holds every partial sum exactly, whatever the order of the additions, so that
the matrix products of a float library can be used; beyond that float64 does.
"""

from __future__ import annotations

import numpy as np

__all__ = ["SMALLEST_MEAN", "near_threshold", "row_sums", "ternarise"]

SMALLEST_MEAN = 1e-5
"""Lower limit of the mean magnitude: a matrix of zeros has trits 0 and this scale."""

_ACTIVATION_LIMIT = 128
_BLOCK = 1 << 18
"""Trits that are made floats at once. They stay in the cache, so that a token reads one byte a
weight from memory: on one core, measured twice as fast as a matrix kept in float32."""


def ternarise(weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Quantise a weight matrix to trits and one scale.

    Parameters
    ----------
    weight : numpy.ndarray
        float32 [out, in], finite.

    Returns
    -------
    trits : numpy.ndarray
        int8 [out, in] in {-1, 0, 1}: the sign where the magnitude is above half of the mean.
    scale : float
        Mean magnitude; ``trits * scale`` stands for the weights.
    """
    magnitude = np.abs(weight)
    mean = np.maximum(magnitude.mean(dtype=np.float32), np.float32(SMALLEST_MEAN))
    levels = weight * (np.float32(1) / mean)
    np.clip(np.rint(levels, out=levels), -1, 1, out=levels)
    return levels.astype(np.int8), max(float(magnitude.mean(dtype=np.float64)), SMALLEST_MEAN)


def near_threshold(weight: np.ndarray, margin: float) -> float:
    """Share of the weights that lie so near the threshold that a small error flips their trit.

    Parameters
    ----------
    weight : numpy.ndarray
        float32 [out, in].
    margin : float
        Distance to the threshold (half of the mean magnitude), as a fraction of the mean magnitude.
    """
    magnitude = np.abs(weight)
    mean = max(float(magnitude.mean(dtype=np.float64)), SMALLEST_MEAN)
    return float(np.mean(np.abs(magnitude - mean / 2) <= margin * mean))


def row_sums(activations: np.ndarray, trits: np.ndarray) -> np.ndarray:
    """Sum of int8 activations over the trits of each row, exact.

    Parameters
    ----------
    activations : numpy.ndarray
        Whole numbers of any type [T, columns], magnitude at most 128.
    trits : numpy.ndarray
        int8 [rows, columns].

    Returns
    -------
    numpy.ndarray
        float32 or float64 [T, rows], whole numbers.
    """
    rows, columns = trits.shape
    exact = _ACTIVATION_LIMIT * columns < 1 << 24
    activations = activations.astype(np.float32 if exact else np.float64, copy=False)
    sums = np.empty((len(activations), rows), activations.dtype)
    height = max(1, _BLOCK // max(columns, 1))
    block = np.empty((min(height, rows), columns), activations.dtype)
    for first in range(0, rows, height):
        count = min(height, rows - first)
        block[:count] = trits[first : first + count]
        np.matmul(activations, block[:count].T, out=sums[:, first : first + count])
    return sums
