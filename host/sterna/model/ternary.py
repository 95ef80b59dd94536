"""Ternarise latent weights exactly as the reference does at run time.

Trits are decided in float32, because a weight on the threshold falls to the side to which float32
arithmetic sends it; the scale is taken in float64, because it only multiplies. The trits and the
scale are what is stored: quantising dequantised trits again would shrink the scale by the share of
zeros.
"""

from __future__ import annotations

import numpy as np

__all__ = ["SMALLEST_MEAN", "near_threshold", "ternarise"]

SMALLEST_MEAN = 1e-5
"""Lower limit of the mean magnitude: a matrix of zeros has trits 0 and this scale."""


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
