"""Epilogue: from row sums to the banks. One function per operation of `sterna.spec.program.Op`.

Every function takes and returns int64 arrays [T, rows] and adds the elements that it clamped to a
`Counters` object. Source: model-spec sections 3 and 4 in docs/model.md; paper equations 3.2 and
3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterna.golden.sigmoid import sigmoid
from sterna.spec.fixed import (
    PRE_BITS,
    RESIDUAL_BITS,
    SCRATCH_BITS,
    STATE_BITS,
    round_shift,
    saturate,
)

__all__ = ["Counters", "gate", "pre_activation", "product", "residual", "silu", "state"]


@dataclass
class Counters:
    """Events of a run: equal on golden and gateware.

    Attributes
    ----------
    tokens, segments : int
        Tokens stepped and segments executed.
    saturations : int
        Elements clamped, in pre-activations and in results.
    """

    tokens: int = 0
    segments: int = 0
    saturations: int = 0

    def clamp(self, x: np.ndarray, bits: int) -> np.ndarray:
        """Saturate and count."""
        clamped, count = saturate(x, bits)
        self.saturations += count
        return clamped


def pre_activation(
    row_sum: np.ndarray, mantissa: np.ndarray, shift: np.ndarray, counters: Counters
) -> np.ndarray:
    """Y = row sum * scale; `mantissa` and `shift` are [T, 1]."""
    product = row_sum * mantissa
    # Unsigned, as the shift may be 63.
    half = (np.uint64(1) << shift.astype(np.uint64) >> np.uint64(1)).astype(np.int64)
    return counters.clamp((product + half) >> shift, PRE_BITS)


def silu(y: np.ndarray, sigmoid_shift: int, out_shift: int, counters: Counters) -> np.ndarray:
    """silu(y) = y * sigmoid(y), to the scratch bank."""
    return counters.clamp(round_shift(y * sigmoid(y, sigmoid_shift), out_shift), SCRATCH_BITS)


def state(
    y: np.ndarray,
    h: np.ndarray,
    candidate: np.ndarray,
    lower_bound: np.ndarray | int,
    sigmoid_shift: int,
    out_shift: int,
    counters: Counters,
) -> np.ndarray:
    """MLGRU recurrence h' = f h + (1 - f) c, position after position.

    Parameters
    ----------
    y : numpy.ndarray
        Pre-activations of the forget gate [T, D].
    h : numpy.ndarray
        State before the first position [D].
    candidate : numpy.ndarray
        silu(i) from the scratch bank [T, D].
    lower_bound : numpy.ndarray or int
        [D], 16 fraction bits, or 0.
    sigmoid_shift, out_shift : int
        `out_shift` brings (1 - f) c to the state's binary point.

    Returns
    -------
    numpy.ndarray
        States after each position [T, D].
    """
    f = lower_bound + round_shift((65536 - lower_bound) * sigmoid(y, sigmoid_shift), 16)
    new = round_shift((65536 - f) * candidate, out_shift)
    states = np.empty_like(y)
    for t in range(len(y)):
        h = counters.clamp(round_shift(f[t] * h, 16) + new[t], STATE_BITS)
        states[t] = h
    return states


def gate(
    y: np.ndarray, h: np.ndarray, sigmoid_shift: int, out_shift: int, counters: Counters
) -> np.ndarray:
    """Y * silu(h), to the scratch bank. silu(h) is rounded to the state's format first."""
    swish = round_shift(h * sigmoid(h, sigmoid_shift), 16)
    return counters.clamp(round_shift(y * swish, out_shift), SCRATCH_BITS)


def product(y: np.ndarray, scratch: np.ndarray, out_shift: int, counters: Counters) -> np.ndarray:
    """Y * scratch, back to the scratch bank."""
    return counters.clamp(round_shift(y * scratch, out_shift), SCRATCH_BITS)


def residual(y: np.ndarray, x: np.ndarray, residual_shift: int, counters: Counters) -> np.ndarray:
    """X + y, the old residual brought to the new binary point first."""
    return counters.clamp(round_shift(x, residual_shift) + y, RESIDUAL_BITS)
