"""Fixed-point formats and the three rules that every unit follows.

Rounding is to nearest with halves upwards, `floor(x / 2**s + 1/2)`: one adder in gateware.
Saturation is symmetric, so that negation and absolute value never overflow. A number with `f`
fraction bits stands for `n * 2**-f`.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

__all__ = [
    "ACTIVATION_MAX",
    "DENOMINATOR_BITS",
    "LOG_PROBABILITY_BITS",
    "LOG_SCALE_BITS",
    "LOG_SCALE_FRACTION",
    "PRE_BITS",
    "RESIDUAL_BITS",
    "SCALE_BITS",
    "SCRATCH_BITS",
    "STATE_BITS",
    "SUM_BITS",
    "SUM_SHIFT",
    "TEMPERATURE_BITS",
    "VECTOR_BITS",
    "fraction_bits",
    "normalise",
    "round_shift",
    "saturate",
    "to_float_parts",
]

Number = TypeVar("Number", int, np.ndarray)

ACTIVATION_MAX = 127
"""Largest magnitude of a quantised activation (int8, symmetric)."""

RESIDUAL_BITS = 16
"""Residual stream x, signed."""

STATE_BITS = 16
"""Recurrent state h and silu(i), signed."""

LOG_PROBABILITY_BITS = 26
"""Log-probabilities in octaves, signed, `OCTAVE_FRACTION` fraction bits."""

LOG_SCALE_BITS = 21
"""Factor from logits to octaves, unsigned."""

LOG_SCALE_FRACTION = 26
"""The factor is log2(e) * 2**(this less the fraction bits of the logits), rounded."""

PRE_BITS = 16
"""Pre-activation y: a row sum after its output scale, signed. Logits too."""

SCRATCH_BITS = 18
"""Products that wait in the scratch bank, signed: one operand of an 18 x 18 multiplier."""

TEMPERATURE_BITS = 16
"""Temperature in units of the logits' last place, unsigned."""

VECTOR_BITS = 16
"""Elements of norm weights (signed), lower bounds and embedding scales (unsigned)."""

SCALE_BITS = 16
"""Mantissas of scales, unsigned and normalised: in [2**15, 2**16)."""

SUM_BITS = 50
"""Sums of squares over at most 2**16 elements, unsigned."""

SUM_SHIFT = 15
"""x * w1 is rounded by this many bits before it is squared (w1 fills 16 bits)."""

DENOMINATOR_BITS = 52
"""Sum of squares plus both eps terms, unsigned."""


def round_shift(x: Number, shift: int) -> Number:
    """Divide by ``2**shift`` and round to nearest, halves upwards."""
    return (x + ((1 << shift) >> 1)) >> shift


def saturate(x: np.ndarray, bits: int) -> tuple[np.ndarray, int]:
    """Clamp to ``+-(2**(bits-1) - 1)``; return the result and how many elements were clamped."""
    limit = (1 << (bits - 1)) - 1
    clamped = np.clip(x, -limit, limit)
    return clamped, int(np.count_nonzero(clamped != x))


def normalise(value: int, bits: int) -> tuple[int, int]:
    """Write an unsigned integer as ``mantissa * 2**exponent``, truncating the mantissa.

    Returns
    -------
    mantissa : int
        In ``[2**(bits-1), 2**bits)``, or 0 for 0.
    exponent : int
        Bit length of the value less `bits`; negative if the value was shifted up.
    """
    exponent = value.bit_length() - bits
    if value == 0:
        return 0, exponent
    return (value >> exponent if exponent >= 0 else value << -exponent), exponent


def to_float_parts(value: float, bits: int = SCALE_BITS) -> tuple[int, int]:
    """Write a positive real as ``mantissa * 2**exponent``, rounded to `bits` bits; 0 is (0, 0)."""
    if value <= 0:
        return 0, 0
    exponent = int(np.floor(np.log2(value))) - bits + 1
    mantissa = round(value * 2.0**-exponent)
    if mantissa >= 1 << bits:
        mantissa, exponent = mantissa >> 1, exponent + 1
    return mantissa, exponent


def fraction_bits(largest: float, bits: int, headroom: float = 2.0) -> int:
    """Fraction bits at which `headroom` times the largest magnitude still fits in `bits` bits."""
    limit = (1 << (bits - 1)) - 1
    return int(np.floor(np.log2(limit / (headroom * max(largest, 2.0**-24)))))
