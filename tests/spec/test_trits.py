"""Packings: round trips, codes that are never written, and what the decoder builds on."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sterna.errors import InputError
from sterna.spec.trits import FIVE_THIRDS_PATTERNS, Packing, pack, pattern_of, unpack

packings = st.sampled_from(Packing)


def code_bits(code, packing):
    """One word of one group."""
    return np.array([[code >> bit & 1 for bit in range(packing.bits)]], dtype=np.uint8)


def code_of(group, packing):
    bits = pack(np.array([group], dtype=np.int8), packing)[0]
    return sum(int(bit) << place for place, bit in enumerate(bits))


def groups(packing):
    return list(product((-1, 0, 1), repeat=packing.trits))


@given(packings, st.integers(1, 9), st.integers(1, 100), st.data())
def test_words_come_back(packing, words, lanes, data):
    trits = data.draw(arrays(np.int8, (words, lanes), elements=st.integers(-1, 1)))
    bits = pack(trits, packing)
    assert bits.shape == (words, packing.word_bits(lanes))
    assert set(np.unique(bits)) <= {0, 1}
    assert np.array_equal(unpack(bits, lanes, packing), trits)


@pytest.mark.parametrize("packing", list(Packing))
def test_every_group_has_a_code_of_its_own(packing):
    codes = {code_of(group, packing) for group in groups(packing)}
    assert len(codes) == 3**packing.trits


@pytest.mark.parametrize("packing", list(Packing))
def test_every_other_code_is_refused(packing):
    written = {code_of(group, packing) for group in groups(packing)}
    others = set(range(1 << packing.bits)) - written
    assert len(others) == (1 << packing.bits) - 3**packing.trits
    for code in others:
        with pytest.raises(InputError, match=f"word 0 is not a {packing.name} word"):
            unpack(code_bits(code, packing), packing.trits, packing)


def test_bad_word_is_named():
    bits = pack(np.zeros((7, 5), dtype=np.int8), Packing.FIVE_THIRDS)
    bits[4, 5:] = code_bits(16, Packing.FIVE_THIRDS)
    with pytest.raises(InputError, match="tape word 4 is not a FIVE_THIRDS word of 5 trits"):
        unpack(bits, 5, Packing.FIVE_THIRDS)


@pytest.mark.parametrize("packing", [Packing.FIVE_THIRDS, Packing.EIGHT_FIFTHS])
@pytest.mark.parametrize("lanes", [1, 2, 4, 5, 64])
def test_padding_that_is_not_zero_is_refused(lanes, packing):
    padded = -(-lanes // packing.trits) * packing.trits
    for lane, trit in product(range(lanes, padded), (-1, 1)):
        trits = np.zeros((1, padded), dtype=np.int8)
        trits[0, lane] = trit
        with pytest.raises(InputError, match=f"of {lanes} trits"):
            unpack(pack(trits, packing), lanes, packing)


@given(packings, st.sampled_from([-128, -3, -2, 2, 3, 127]), st.integers(0, 11))
def test_numbers_that_are_no_trits_are_refused(packing, number, place):
    trits = np.zeros((3, 4), dtype=np.int8)
    trits.flat[place] = number
    with pytest.raises(InputError, match="trits must be -1, 0 or 1, not"):
        pack(trits, packing)


def test_two_bits_are_not_zero_and_sign():
    assert [code_of((trit,), Packing.TWO_BITS) for trit in (0, 1, -1)] == [0b00, 0b01, 0b11]


def test_five_thirds_gives_signs_without_a_table():
    """Bit 4 is the first sign; those of trits 1 and 2 need one gate each, wherever they matter."""
    for triple in groups(Packing.FIVE_THIRDS):
        code = code_of(triple, Packing.FIVE_THIRDS)
        sign = code >> 4
        signs = (sign, sign ^ ~code & 1, sign ^ ~(code >> 1) & 1)
        for trit, negative in zip(triple, signs, strict=True):
            assert trit == 0 or negative == (trit < 0)


def test_five_thirds_patterns_begin_with_plus():
    """And "not zero" of each trit depends on bits 3 to 0 alone: a four-input table."""
    for triple in groups(Packing.FIVE_THIRDS):
        pattern = FIVE_THIRDS_PATTERNS[code_of(triple, Packing.FIVE_THIRDS) & 15]
        assert [abs(trit) for trit in pattern] == [abs(trit) for trit in triple]
        assert next((trit for trit in pattern if trit), 1) == 1


def test_eight_fifths_is_sign_and_magnitude():
    """Of the number in balanced ternary: written out here digit by digit."""
    for group in groups(Packing.EIGHT_FIFTHS):
        number = 0
        for trit in group:
            number = 3 * number + trit
        assert code_of(group, Packing.EIGHT_FIFTHS) == abs(number) + 128 * (number < 0)
        first = next((trit for trit in group if trit), 1)
        assert pattern_of(abs(number)) == tuple(first * trit for trit in group)
    assert [pattern_of(number) for number in range(122, 128)] == [None] * 6


@pytest.mark.parametrize(
    ("packing", "lanes", "bits"),
    [
        (Packing.TWO_BITS, 256, 512),
        (Packing.FIVE_THIRDS, 256, 430),
        (Packing.FIVE_THIRDS, 3, 5),
        (Packing.FIVE_THIRDS, 1, 5),
        (Packing.EIGHT_FIFTHS, 1280, 2048),
        (Packing.EIGHT_FIFTHS, 6, 16),
    ],
)
def test_word_bits(packing, lanes, bits):
    assert packing.word_bits(lanes) == bits
