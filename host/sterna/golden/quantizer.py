"""Quantizer: absmax quantisation to int8.

With v = x * w12 (both norm weights folded), q = round(127 v / max|v|): the RMS factors cancel. They
come back in the output scale (`sterna.golden.scale`). Source: HGRNBit's FusedBitLinear; paper
section 3.3.
"""

from __future__ import annotations

import numpy as np

from sterna.golden.curve import curve
from sterna.spec import tables
from sterna.spec.fixed import normalise, round_shift

__all__ = ["quantise", "reciprocal"]

MAXIMUM_BITS = 17
"""Mantissa of the largest product, the divisor of the reciprocal."""

RECIPROCAL_SHIFT = 26
"""The reciprocal is 127 * 2**26 / mantissa: 17 bits. 127 is the largest activation."""


def reciprocal(mantissa: int) -> int:
    """127 * 2**26 / mantissa, within 1, for a mantissa in [2**16, 2**17): 17 bits.

    That of 0 is of no account, as all products are 0.
    """
    bits = MAXIMUM_BITS - 1  # below the leading one
    return curve(tables.reciprocal(), mantissa & ((1 << bits) - 1), bits)


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
