"""Headers survive the tape, nothing that does not fit gets on it, every flipped bit is noticed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sterna.errors import InputError
from sterna.spec.program import Op, Stats
from sterna.spec.tape import (
    HEADER_BITS,
    HEADER_FIELDS,
    HEADER_MAGIC,
    Header,
    checksum,
    header_words,
)

USED_BITS = sum(bits for _, bits, _, _ in HEADER_FIELDS)
HEADER = Header(op=Op.SILU, last=0, stats=Stats.KEEP, rows=1, groups=1, blocks=1, source_words=1)


def limits(bits, signed):
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def values(name, bits, signed):
    """Everything that a field may hold."""
    if name == "magic":
        return st.just(HEADER_MAGIC)
    if name in ("op", "stats"):
        return st.sampled_from({"op": Op, "stats": Stats}[name])
    return st.integers(*limits(bits, signed))


headers = st.builds(
    Header, **{name: values(name, bits, signed) for name, bits, signed, _ in HEADER_FIELDS}
)


@given(headers)
def test_headers_come_back(header):
    word = header.encode()
    assert 0 <= word < 1 << USED_BITS
    assert Header.decode(word) == header


def test_fields_lie_side_by_side():
    """The largest value of one field sets all of its bits and no other."""
    position, seen = 0, 0
    for name, bits, signed, _ in HEADER_FIELDS:
        base = HEADER.encode() & ~(((1 << bits) - 1) << position)
        if name not in ("magic", "op", "stats"):
            value = -1 if signed else (1 << bits) - 1
            word = dataclasses.replace(HEADER, **{name: value}).encode()
            assert word ^ base == ((1 << bits) - 1) << position
        seen |= ((1 << bits) - 1) << position
        position += bits
    assert seen == (1 << USED_BITS) - 1
    assert USED_BITS <= HEADER_BITS


@pytest.mark.parametrize(("name", "bits", "signed"), [field[:3] for field in HEADER_FIELDS])
def test_values_that_do_not_fit_are_refused_by_name(name, bits, signed):
    low, high = limits(bits, signed)
    for value in (low - 1, high + 1):
        with pytest.raises(InputError, match=f"field {name} must be {low} to {high}, not {value}"):
            dataclasses.replace(HEADER, **{name: value}).encode()


@given(st.integers(0, 255).filter(lambda magic: magic != HEADER_MAGIC))
def test_other_magic_is_refused(magic):
    word = dataclasses.replace(HEADER, magic=magic).encode()
    with pytest.raises(InputError, match=f"not a segment header: magic {magic:#x}"):
        Header.decode(word)


@pytest.mark.parametrize("position", range(USED_BITS, HEADER_BITS))
def test_bits_beyond_the_fields_are_refused(position):
    with pytest.raises(InputError, match="not a segment header"):
        Header.decode(HEADER.encode() | 1 << position)


@pytest.mark.parametrize(("name", "kind"), [("op", Op), ("stats", Stats)])
def test_unknown_members_are_refused(name, kind):
    bits = next(field[1] for field in HEADER_FIELDS if field[0] == name)
    unknown = set(range(1 << bits)) - {int(member) for member in kind}
    assert unknown
    for number in unknown:
        word = dataclasses.replace(HEADER, **{name: number}).encode()
        with pytest.raises(InputError, match=f"no {name} has the number {number}"):
            Header.decode(word)


@given(st.integers(1, 2 * HEADER_BITS))
def test_header_words_hold_a_header_and_no_more(word_bits):
    assert (header_words(word_bits) - 1) * word_bits < HEADER_BITS
    assert header_words(word_bits) * word_bits >= HEADER_BITS


words = arrays(np.uint32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))


@given(words, st.data())
def test_checksum_notices_one_flipped_bit(tape, data):
    damaged = tape.copy()
    word, piece = (data.draw(st.integers(0, side - 1)) for side in tape.shape)
    damaged[word, piece] ^= np.uint32(1) << np.uint32(data.draw(st.integers(0, 31)))
    assert checksum(damaged) != checksum(tape)


@given(st.integers(2, 32), st.integers(0, 31), st.data())
def test_checksum_notices_the_same_flip_in_two_pieces_of_a_word(pieces, bit, data):
    one, other = data.draw(st.sets(st.integers(0, pieces - 1), min_size=2, max_size=2))
    tape = np.zeros((3, pieces), dtype=np.uint32)
    tape[1, [one, other]] = 1 << bit
    assert checksum(tape) != 0


def test_checksum_notices_two_words_that_changed_places():
    tape = np.random.default_rng(0).integers(0, 1 << 32, (9, 3), dtype=np.uint32)
    swapped = tape.copy()
    swapped[[3, 4]] = tape[[4, 3]]
    assert checksum(swapped) != checksum(tape)


@given(words)
def test_checksum_is_the_documented_sum(tape):
    """In single steps of Python integers."""

    def rotate(value, by):
        by %= 32
        return (value << by | value >> 32 - by) & 0xFFFFFFFF

    total = 0
    for word in tape.tolist():
        total = rotate(total, 1)
        for number, piece in enumerate(word):
            total ^= rotate(piece, number)
    assert checksum(tape) == total


def test_checksum_of_nothing_is_zero():
    assert checksum(np.zeros((0, 4), dtype=np.uint32)) == 0
