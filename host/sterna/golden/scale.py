"""Output scale of a quantised vector: what turns its row sums into pre-activations.

With the denominator ``sum1 + eps * sum2 + eps_constant`` the scale is ``largest * constant /
sqrt(denominator)``. All mantissas are truncated, so that a chain of small products computes it.
"""

from __future__ import annotations

from sterna.golden.curve import curve
from sterna.spec import tables
from sterna.spec.fixed import DENOMINATOR_BITS, SCALE_BITS, normalise

__all__ = ["ROOT_BITS", "denominator", "inverse_root", "output_scale", "rsqrt"]

ROOT_BITS = 21
"""Bits of a normalised denominator that its root depends on."""


def denominator(sum1: int, sum2: int, eps: tuple[int, int], eps_constant: int) -> int:
    """sum1 + eps * sum2 + eps_constant, the second sum truncated to 16 bits before its product."""
    mantissa, exponent = normalise(sum2, SCALE_BITS)
    product, shift = mantissa * eps[0], exponent + eps[1]
    term = product << min(shift, 15) if shift >= 0 else product >> -shift
    return min(sum1 + term + eps_constant, (1 << DENOMINATOR_BITS) - 1)


def rsqrt(mantissa: int) -> int:
    """2**31 / sqrt(mantissa), within 1, for a mantissa in [2**30, 2**32): 16 bits. 0 gives 0."""
    return curve(tables.inverse_root(), mantissa >> 32 - ROOT_BITS, ROOT_BITS)


def inverse_root(denominator: int) -> tuple[int, int]:
    """1 / sqrt(denominator) as ``(mantissa, exponent)``; 0 gives (0, 0)."""
    if denominator == 0:
        return 0, 0
    exponent = denominator.bit_length() - 32
    exponent += exponent & 1
    mantissa = denominator >> exponent if exponent >= 0 else denominator << -exponent
    return rsqrt(mantissa), -31 - exponent // 2


def _multiply(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Product of two normalised 16-bit mantissas with exponents, truncated to 16 bits."""
    product = a[0] * b[0]
    mantissa, exponent = normalise(product, SCALE_BITS)
    return mantissa, exponent + a[1] + b[1]


def output_scale(largest: int, root: tuple[int, int], constant: tuple[int, int]) -> tuple[int, int]:
    """Scale of the row sums: ``largest * root * constant`` as ``(mantissa, shift)``.

    The pre-activation is ``round_shift(row_sum * mantissa, shift)``; the shift is clamped to 0..63.
    """
    mantissa, exponent = normalise(largest, SCALE_BITS)
    if mantissa == 0 or root[0] == 0 or constant[0] == 0:
        return 0, 0
    scale = _multiply(_multiply((mantissa, exponent), root), constant)
    return scale[0], min(max(-scale[1], 0), 63)
