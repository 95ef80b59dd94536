"""Tables of the functions that units interpolate, the same on every machine.

They are computed in decimal arithmetic.

Each table is piecewise linear: entry `i` holds the value at the start of segment `i` and the rise
over the segment; between them the units interpolate.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise

__all__ = [
    "CURVE_FRACTION",
    "CURVE_SEGMENTS",
    "EXP2_SEGMENTS",
    "GUMBEL_FRACTION",
    "LOG2_SEGMENTS",
    "MANTISSA_FRACTION",
    "OCTAVE_FRACTION",
    "SEGMENTS",
    "exp2",
    "gumbel_correction",
    "inverse_root",
    "log2",
    "log_mantissa",
    "reciprocal",
    "sigmoid",
]

SEGMENTS = 64
"""Segments of the tables of sigmoid and Gumbel noise."""

CURVE_SEGMENTS = 512
"""Segments of `inverse_root` and `reciprocal`: words of a block RAM."""

CURVE_FRACTION = 2
"""Fraction bits of their rows, which the results don't have."""

EXP2_SEGMENTS = 16
"""Segments of `exp2`."""

LOG2_SEGMENTS = 32
"""Segments of `log2`."""

OCTAVE_FRACTION = 14
"""Fraction bits of logits and log-probabilities in octaves, and of `log2`."""

MANTISSA_FRACTION = 13
"""Fraction bits of `exp2`."""

GUMBEL_FRACTION = 12
"""Fraction bits of logarithms and Gumbel noise."""

Table = tuple[tuple[int, ...], tuple[int, ...]]


def _round(value: Decimal) -> int:
    return int((value + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR"))


def _table(points: list[int]) -> Table:
    return tuple(points[:-1]), tuple(b - a for a, b in pairwise(points))


@cache
def sigmoid() -> Table:
    """Sigmoid over [0, 8) in segments of 1/8, 16 fraction bits (0.5 is 32768)."""
    with localcontext() as context:
        context.prec = 30
        points = [_round(65536 / (1 + (-Decimal(i) / 8).exp())) for i in range(SEGMENTS + 1)]
    return _table(points)


@cache
def log_mantissa() -> Table:
    """Natural logarithm of 1 + i/64 for i in 0..63, `GUMBEL_FRACTION` fraction bits."""
    with localcontext() as context:
        context.prec = 30
        one = 1 << GUMBEL_FRACTION
        points = [_round((1 + Decimal(i) / SEGMENTS).ln() * one) for i in range(SEGMENTS + 1)]
    return _table(points)


@cache
def gumbel_correction() -> Table:
    """c(w) = ln(-ln(1-w) / w) over [0, 1), `GUMBEL_FRACTION` fraction bits.

    -ln(-ln(1-w)) = -ln(w) - c(w), and c is smooth where the other terms are not. It has a pole at
    1, so that the last segment's end is chosen to keep that segment's mean (1.633): the smallest
    1/64 of the draws, which hardly ever win, are off by 0.05 on average.
    """
    with localcontext() as context:
        context.prec = 30
        one = 1 << GUMBEL_FRACTION
        points = [0]
        for i in range(1, SEGMENTS):
            w = Decimal(i) / SEGMENTS
            points.append(_round((-(1 - w).ln() / w).ln() * one))
        points.append(2 * _round(Decimal("1.633") * one) - points[-1])
    return _table(points)


@cache
def exp2() -> Table:
    """2**x over [0, 1), `MANTISSA_FRACTION` fraction bits.

    A chord lies above the curve: all points are lowered by half of the largest distance, so that
    errors of both signs are as large. Half of a unit is added, as the units round down.
    """
    with localcontext() as context:
        context.prec = 30
        half = (Decimal(2).ln() / EXP2_SEGMENTS) ** 2 / 16
        one = (1 << MANTISSA_FRACTION) * (1 - half)
        points = [
            _round(2 ** (Decimal(i) / EXP2_SEGMENTS) * one + Decimal("0.5"))
            for i in range(EXP2_SEGMENTS + 1)
        ]
    return _table(points)


@cache
def log2() -> Table:
    """log2(1 + x) over [0, 1), `OCTAVE_FRACTION` fraction bits; raised as `exp2` is lowered."""
    with localcontext() as context:
        context.prec = 30
        one, ln2 = 1 << OCTAVE_FRACTION, Decimal(2).ln()
        points = []
        for i in range(LOG2_SEGMENTS + 1):
            x = 1 + Decimal(i) / LOG2_SEGMENTS
            half = (1 / (x * LOG2_SEGMENTS)) ** 2 / 16
            points.append(_round((x.ln() + half) / ln2 * one + Decimal("0.5")))
    return _table(points)


@cache
def inverse_root() -> Table:
    """2**16 / sqrt(x) at x = i/128 for i in 128..511, falls instead of rises; 0 below.

    Lowered by half of the largest distance from the chord, as `exp2`. At 1 it is cut to what 16
    bits can hold.
    """
    one = 1 << 16
    with localcontext() as context:
        context.prec = 30
        points = []
        for i in range(CURVE_SEGMENTS // 4, CURVE_SEGMENTS + 1):
            x = Decimal(4 * i) / CURVE_SEGMENTS
            half = 3 / (64 * x * x) * (Decimal(4) / CURVE_SEGMENTS) ** 2
            points.append(_curve_point((1 - half) / x.sqrt() * one))
    limit = (one << CURVE_FRACTION) - 1
    starts, falls = _falls([min(point, limit) for point in points])
    below = (0,) * (CURVE_SEGMENTS // 4)
    return below + starts, below + falls


@cache
def reciprocal() -> Table:
    """127 * 2**10 / x at x = 1 + i/512, falls instead of rises; lowered as `exp2`."""
    with localcontext() as context:
        context.prec = 30
        points = []
        for i in range(CURVE_SEGMENTS + 1):
            x = 1 + Decimal(i) / CURVE_SEGMENTS
            half = (1 / (x * CURVE_SEGMENTS)) ** 2 / 8
            points.append(_curve_point((1 - half) / x * (127 << 10)))
    return _falls(points)


def _falls(points: list[int]) -> Table:
    starts, rises = _table(points)
    return starts, tuple(-rise for rise in rises)


def _curve_point(value: Decimal) -> int:
    """Row of a curve: a quarter more, so that errors of both signs are as large.

    Half a unit because the unit rounds down, less half of a row's unit for the product, which is
    rounded down before it is taken off, and another for the row itself.
    """
    return _round((value + Decimal("0.25")) * (1 << CURVE_FRACTION))
