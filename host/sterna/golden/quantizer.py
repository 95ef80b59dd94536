"""Quantizer: absmax quantisation to int8 and the scale that undoes it.

With v = x * w12 (both norm weights folded), q = round(127 v / max|v|): the RMS factors cancel. They
come back in the output scale, which needs the sum of squares of x * w1 (the first norm's weight
only) and a second sum for the eps term. Source: HGRNBit's FusedBitLinear; paper section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from sterna.spec.fixed import (
    ACTIVATION_MAX,
    DENOMINATOR_BITS,
    SCALE_BITS,
    SUM_SHIFT,
    normalise,
    round_shift,
)

__all__ = ["Statistics", "output_scale", "quantise", "reciprocal", "rsqrt", "statistics"]

MAXIMUM_BITS = 17
"""Mantissa of the largest product, the divisor of the reciprocal."""

RECIPROCAL_SHIFT = 26
"""The reciprocal is 127 * 2**26 / mantissa: 17 bits."""


@dataclass
class Statistics:
    """What one pass over a quantiser input yields, a list entry per token position.

    Attributes
    ----------
    largest : list of int
        max |x * w12|.
    sum1 : list of int
        Sum of (x * w1 / 2**15, rounded)**2; of x**2 where there is no w1.
    sum2 : list of int
        Sum of squares of the values that the eps term refers to.
    """

    largest: list[int]
    sum1: list[int]
    sum2: list[int]


def largest_product(source: np.ndarray, w12: np.ndarray) -> list[int]:
    """Max |x * w12| over each row of `source` [T, N]."""
    return np.abs(source * w12).max(axis=1).tolist()


def statistics(
    source: np.ndarray, w1: np.ndarray | None, w12: np.ndarray, second: np.ndarray | None
) -> Statistics:
    """Gather the statistics of a quantiser input.

    Parameters
    ----------
    source : numpy.ndarray
        [T, N], at most 18 bits.
    w1, w12 : numpy.ndarray
        [N], 16 bits; `w1` None stands for one.
    second : numpy.ndarray or None
        [T, N], values whose squares make the second sum; None for zero.
    """
    t = source if w1 is None else round_shift(source * w1, SUM_SHIFT)
    sum2 = [0] * len(source) if second is None else (second * second).sum(axis=1).tolist()
    return Statistics(largest_product(source, w12), (t * t).sum(axis=1).tolist(), sum2)


def reciprocal(mantissa: int) -> int:
    """floor(127 * 2**26 / mantissa) for a mantissa in [2**16, 2**17): 17 bits. 0 gives 0."""
    return (ACTIVATION_MAX << RECIPROCAL_SHIFT) // mantissa if mantissa else 0


def rsqrt(mantissa: int) -> int:
    """floor(2**31 / sqrt(mantissa)) for a mantissa in [2**30, 2**32), at most 65535: 16 bits."""
    return min(isqrt((1 << 62) // mantissa), (1 << SCALE_BITS) - 1)


def _multiply(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Product of two normalised 16-bit mantissas with exponents, truncated to 16 bits."""
    product = a[0] * b[0]
    mantissa, exponent = normalise(product, SCALE_BITS)
    return mantissa, exponent + a[1] + b[1]


def denominator(sum1: int, sum2: int, eps: tuple[int, int], eps_constant: int) -> int:
    """sum1 + eps * sum2 + eps_constant, the second sum truncated to 16 bits before its product."""
    mantissa, exponent = normalise(sum2, SCALE_BITS)
    product, shift = mantissa * eps[0], exponent + eps[1]
    term = product << min(shift, 15) if shift >= 0 else product >> -shift
    return min(sum1 + term + eps_constant, (1 << DENOMINATOR_BITS) - 1)


def output_scale(largest: int, root: tuple[int, int], constant: tuple[int, int]) -> tuple[int, int]:
    """Scale of the row sums: ``largest * root * constant`` as ``(mantissa, shift)``.

    The pre-activation is ``round_shift(row_sum * mantissa, shift)``; the shift is clamped to 0..63.
    """
    mantissa, exponent = normalise(largest, SCALE_BITS)
    if mantissa == 0 or root[0] == 0 or constant[0] == 0:
        return 0, 0
    scale = _multiply(_multiply((mantissa, exponent), root), constant)
    return scale[0], min(max(-scale[1], 0), 63)


def inverse_root(denominator: int) -> tuple[int, int]:
    """1 / sqrt(denominator) as ``(mantissa, exponent)``; 0 gives (0, 0)."""
    if denominator == 0:
        return 0, 0
    exponent = denominator.bit_length() - 32
    exponent += exponent & 1
    mantissa = denominator >> exponent if exponent >= 0 else denominator << -exponent
    return rsqrt(mantissa), -31 - exponent // 2


def quantise(source: np.ndarray, w12: np.ndarray, largest: list[int]) -> np.ndarray:
    """round(127 * x * w12 / largest), int64 in -127..127, [T, N]; zeros where `largest` is 0.

    The product is cut to 18 bits (17 significant ones) by the position of the largest's leading
    one, then multiplied by the reciprocal.
    """
    product = source * w12
    result = np.empty_like(product)
    for row, peak in enumerate(largest):
        mantissa, exponent = normalise(peak, MAXIMUM_BITS)
        v = product[row] >> exponent if exponent >= 0 else product[row] << -exponent
        result[row] = round_shift(v * reciprocal(mantissa), RECIPROCAL_SHIFT)
    return result
