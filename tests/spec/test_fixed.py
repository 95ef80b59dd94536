"""The helpers of fixed-point arithmetic against exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.spec.fixed import fraction_bits, normalise, round_shift, saturate, to_float_parts

numbers = st.integers(-(1 << 61), 1 << 61)
magnitudes = st.floats(1e-200, 1e200)


@given(numbers, st.integers(0, 61))
def test_round_shift_is_to_nearest_with_halves_upwards(number, shift):
    expected = floor(Fraction(number, 1 << shift) + Fraction(1, 2))
    assert round_shift(number, shift) == expected
    assert round_shift(np.array([number]), shift).tolist() == [expected]


@given(st.integers(0, 1 << 300), st.integers(0, 310))
def test_round_shift_of_large_integers(number, shift):
    assert round_shift(number, shift) == floor(Fraction(number, 1 << shift) + Fraction(1, 2))


@given(st.lists(numbers, max_size=20), st.integers(2, 60))
def test_saturate_is_symmetric_and_counts(values, bits):
    limit = (1 << bits - 1) - 1
    result, count = saturate(np.array(values, dtype=np.int64), bits)
    assert result.tolist() == [max(-limit, min(limit, value)) for value in values]
    assert count == sum(abs(value) > limit for value in values)


@given(st.integers(1, 1 << 80), st.integers(1, 40))
def test_normalise_keeps_the_leading_bits(value, bits):
    mantissa, exponent = normalise(value, bits)
    assert 1 << bits - 1 <= mantissa < 1 << bits
    unit = Fraction(2) ** exponent
    assert mantissa * unit <= value < (mantissa + 1) * unit


@pytest.mark.parametrize("bits", [1, 16, 40])
def test_normalise_of_nothing(bits):
    assert normalise(0, bits) == (0, -bits)


@given(magnitudes, st.integers(2, 50))
def test_float_parts_are_within_half_a_unit(value, bits):
    mantissa, exponent = to_float_parts(value, bits)
    assert 1 << bits - 1 <= mantissa < 1 << bits
    unit = Fraction(2) ** exponent
    assert abs(mantissa * unit - Fraction(value)) <= unit / 2


@pytest.mark.parametrize("value", [0.0, -0.0, -1.5])
def test_float_parts_of_what_is_not_positive(value):
    assert to_float_parts(value) == (0, 0)


@given(st.integers(-600, 600), st.integers(2, 50))
def test_float_parts_of_powers_of_two(exponent, bits):
    assert to_float_parts(2.0**exponent, bits) == (1 << bits - 1, exponent - bits + 1)


@given(st.floats(2.0**-24, 1e30), st.integers(8, 32), st.sampled_from([1.0, 1.5, 2.0, 4.0]))
def test_fraction_bits_are_the_most_that_fit(largest, bits, headroom):
    """Within the accuracy of one logarithm."""
    limit = (1 << bits - 1) - 1
    fraction = fraction_bits(largest, bits, headroom)
    scaled = headroom * largest * 2.0**fraction
    assert scaled <= limit * (1 + 1e-12)
    assert 2 * scaled >= limit * (1 - 1e-12)


def test_fraction_bits_of_nothing_are_bounded():
    assert fraction_bits(0.0, 16) == fraction_bits(2.0**-24, 16) == 37
