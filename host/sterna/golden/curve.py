"""Reciprocal and reciprocal root by table and linear interpolation."""

from __future__ import annotations

from sterna.spec.tables import CURVE_FRACTION, CURVE_SEGMENTS, Table

__all__ = ["curve"]


def curve(table: Table, position: int, bits: int) -> int:
    """Interpolate in a table of falls (`sterna.spec.tables.reciprocal`, `inverse_root`).

    Parameters
    ----------
    table : tuple of tuples
        Value at the start of each segment, and its fall over the segment.
    position : int
        Unsigned, of `bits` bits: the segment, and the place within it.
    bits : int
        At least those that choose a segment.

    Returns
    -------
    int
        Within one of the function's value; the product of fall and place is rounded downwards, and
        the difference too.
    """
    rest_bits = bits - CURVE_SEGMENTS.bit_length() + 1
    starts, falls = table
    segment, rest = position >> rest_bits, position & ((1 << rest_bits) - 1)
    return (starts[segment] - (falls[segment] * rest >> rest_bits)) >> CURVE_FRACTION
