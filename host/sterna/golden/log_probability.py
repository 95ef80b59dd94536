"""Log-probability of a token: its logit less the logarithm of the sum of all exponentials.

All in octaves (powers of two). The sum is exact in an order that does not matter: each exponential
is a mantissa that is added to the sum of its pair of octaves, and the sums of pairs are joined from
the lowest to the highest. So every chip configuration gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sterna.errors import InputError
from sterna.spec import tables
from sterna.spec.fixed import LOG_SCALE_BITS, LOG_SCALE_FRACTION
from sterna.spec.tables import MANTISSA_FRACTION, OCTAVE_FRACTION

__all__ = ["GUARD", "PAIRS", "REST_BITS", "log_probability", "log_scale", "of_targets"]

PAIRS = 16
"""Pairs of octaves, down from the largest logit's, that count: what lies below is lost."""

GUARD = 3
"""Bits kept below the mantissas' last while the sums are joined."""

REST_BITS = 10
"""Bits of the position within a segment of the exponential's table."""

_EXP2, _EXP2_RISE = (np.array(column, dtype=np.int64) for column in tables.exp2())
_LOG2, _LOG2_RISE = tables.log2()
_LOG2_REST_BITS = OCTAVE_FRACTION - (tables.LOG2_SEGMENTS - 1).bit_length()


def log_scale(fraction: int) -> int:
    """Factor that makes octaves of logits with so many fraction bits."""
    scale = round(math.log2(math.e) * 2.0 ** (LOG_SCALE_FRACTION - fraction))
    if scale >= 1 << LOG_SCALE_BITS:
        raise InputError(
            f"the logits of this model have {fraction} fraction bits; log-probabilities on the "
            f"device need at least {LOG_SCALE_FRACTION - LOG_SCALE_BITS + 1}"
        )
    return scale


def log_probability(logits: np.ndarray, target: int, scale: int) -> int:
    """Return log2 of the softmax of logits [V] at `target`, `OCTAVE_FRACTION` fraction bits."""
    octaves = logits.astype(np.int64) * scale >> LOG_SCALE_FRACTION - OCTAVE_FRACTION
    pairs = octaves >> OCTAVE_FRACTION + 1
    segment = octaves >> REST_BITS & tables.EXP2_SEGMENTS - 1
    rest = octaves & (1 << REST_BITS) - 1
    mantissas = _EXP2[segment] + (_EXP2_RISE[segment] * rest >> REST_BITS)
    terms = mantissas << (octaves >> OCTAVE_FRACTION & 1)
    top = int(pairs.max())
    total = 0
    for pair in range(top - PAIRS + 1, top + 1):
        total = (total >> 2) + (int(terms[pairs == pair].sum()) << GUARD)
    exponent = total.bit_length() - 1
    position = (total << OCTAVE_FRACTION >> exponent) - (1 << OCTAVE_FRACTION)
    segment, rest = position >> _LOG2_REST_BITS, position & (1 << _LOG2_REST_BITS) - 1
    logarithm = _LOG2[segment] + (_LOG2_RISE[segment] * rest >> _LOG2_REST_BITS)
    exponent += 2 * top - MANTISSA_FRACTION - GUARD
    return int(octaves[target]) - (exponent << OCTAVE_FRACTION) - logarithm


def of_targets(rows: np.ndarray, targets: Sequence[int], scale: int) -> np.ndarray:
    """Return the log-probability of each row's target, int64 [T], from logits [T, V]."""
    pairs = zip(rows, targets, strict=True)
    return np.array([log_probability(row, target, scale) for row, target in pairs])
