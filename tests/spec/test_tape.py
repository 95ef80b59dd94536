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
    HEADERS_IN_WORD,
    Header,
    checksum,
    decode_headers,
    encode_headers,
    header_words,
    headers_in_word,
)

FIELDS = HEADER_FIELDS[1:]  # all but the check, which is no one's to choose
USED_BITS = sum(bits for _, bits, _, _ in HEADER_FIELDS)
HEADER = Header(op=Op.SILU, last=0, stats=Stats.KEEP, rows=1, groups=1, blocks=1, source_words=1)
WIDTHS = 1, 8, 16, 24, 30, 31, 32, 33, 48, 63, 64, 80, 96, 319, 320, 430, 4096


def limits(bits, signed):
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def values(name, bits, signed):
    """Everything that a field may hold."""
    if name in ("op", "stats"):
        return st.sampled_from({"op": Op, "stats": Stats}[name])
    return st.integers(*limits(bits, signed))


headers = st.builds(
    Header, **{name: values(name, bits, signed) for name, bits, signed, _ in FIELDS}
)
widths = st.integers(1, 2 * HEADER_BITS)


def whole(header, word_bits=HEADER_BITS):
    """The bits of a header's words, one word after the other, the check left out."""
    words = encode_headers([header], word_bits)
    number = sum(
        int.from_bytes(w.tobytes(), "little") << n * word_bits for n, w in enumerate(words)
    )
    return number >> 32


@given(headers, widths)
def test_headers_come_back(header, word_bits):
    words = encode_headers([header], word_bits)
    assert words.shape == (header_words(word_bits), -(-word_bits // 32))
    assert whole(header, word_bits) == whole(header) < 1 << USED_BITS - 32
    assert checksum(words, word_bits) == HEADER_MAGIC
    assert decode_headers(words, word_bits) == [header]


@given(st.lists(headers, min_size=1, max_size=HEADERS_IN_WORD), st.integers(0, 700))
def test_headers_that_share_a_word_come_back(several, more):
    word_bits = len(several) * HEADER_BITS + more
    words = encode_headers(several, word_bits)
    assert words.shape == (1, -(-word_bits // 32))
    assert checksum(words, word_bits) == HEADER_MAGIC
    assert decode_headers(words, word_bits, len(several)) == several
    if len(several) > 1:
        with pytest.raises(InputError, match="bits beyond its fields"):
            decode_headers(words, word_bits, len(several) - 1)


def test_only_as_many_share_a_word_as_it_has_room_for():
    assert [headers_in_word(bits) for bits in (1, 319, 639, 640, 959, 960, 8192, 16384)] == [
        1, 1, 1, 2, 2, 3, 8, 8,
    ]  # fmt: skip
    for count, word_bits in ((0, 320), (2, 639), (9, 8192)):
        with pytest.raises(ValueError, match=f"{count} headers in words of {word_bits} bits"):
            encode_headers([HEADER] * count, word_bits)


def test_only_the_first_of_a_word_has_a_check():
    words = encode_headers([HEADER, HEADER], 2 * HEADER_BITS).copy()
    words[0, HEADER_BITS // 32] ^= np.uint32(1)
    off = checksum(words, 2 * HEADER_BITS) ^ HEADER_MAGIC
    words[0, 0] ^= np.uint32(off)
    with pytest.raises(InputError, match="bits beyond its fields"):
        decode_headers(words, 2 * HEADER_BITS, 2)


def test_fields_lie_side_by_side():
    """The largest value of one field sets all of its bits and no other."""
    position, seen = 0, 0
    for name, bits, signed, _ in FIELDS:
        base = whole(HEADER) & ~(((1 << bits) - 1) << position)
        if name not in ("op", "stats"):
            value = -1 if signed else (1 << bits) - 1
            word = whole(dataclasses.replace(HEADER, **{name: value}))
            assert word ^ base == ((1 << bits) - 1) << position
        seen |= ((1 << bits) - 1) << position
        position += bits
    assert seen == (1 << USED_BITS - 32) - 1
    assert USED_BITS <= HEADER_BITS


@pytest.mark.parametrize(("name", "bits", "signed"), [field[:3] for field in FIELDS])
def test_values_that_do_not_fit_are_refused_by_name(name, bits, signed):
    low, high = limits(bits, signed)
    for value in (low - 1, high + 1):
        with pytest.raises(InputError, match=f"field {name} must be {low} to {high}, not {value}"):
            encode_headers([dataclasses.replace(HEADER, **{name: value})], 64)


@pytest.mark.parametrize("word_bits", WIDTHS)
def test_each_flipped_bit_of_a_header_is_noticed(word_bits):
    """Those of a word's padding too."""
    words = encode_headers([HEADER], word_bits)
    for word, piece in np.ndindex(words.shape):
        for bit in range(min(word_bits - 32 * piece, 32)):
            damaged = words.copy()
            damaged[word, piece] ^= np.uint32(1) << np.uint32(bit)
            with pytest.raises(InputError, match="not a segment header"):
                decode_headers(damaged, word_bits)


@pytest.mark.parametrize("word_bits", WIDTHS)
@given(st.integers(1, (1 << 32) - 1))
def test_no_other_check_will_do(word_bits, flips):
    """So that a header has one check, which `encode_headers` need not search for."""
    words = encode_headers([HEADER], word_bits).copy()
    for bit in range(32):
        word, place = divmod(bit, word_bits)
        words[word, place // 32] ^= np.uint32(flips >> bit & 1) << np.uint32(place % 32)
    assert checksum(words, word_bits) != HEADER_MAGIC


def with_bits(header, bits, word_bits=64):
    """Words of a header with other bits behind the check, which is right."""
    words = encode_headers([header], word_bits).copy()
    count = len(words)
    for bit in range(32, HEADER_BITS):
        word, place = divmod(bit, word_bits)
        flip = (bits ^ whole(header)) >> bit - 32 & 1
        words[word, place // 32] ^= np.uint32(flip) << np.uint32(place % 32)
    off = checksum(words, word_bits) ^ HEADER_MAGIC
    turned = count - 1
    words[0, 0] ^= np.uint32((off >> turned | off << 32 - turned) & 0xFFFFFFFF)
    return words


@pytest.mark.parametrize("position", range(USED_BITS - 32, HEADER_BITS - 32))
def test_bits_beyond_the_fields_are_refused(position):
    with pytest.raises(InputError, match="bits beyond its fields"):
        decode_headers(with_bits(HEADER, whole(HEADER) | 1 << position), 64)


@pytest.mark.parametrize(("name", "kind"), [("op", Op), ("stats", Stats)])
def test_unknown_members_are_refused(name, kind):
    bits = next(field[1] for field in HEADER_FIELDS if field[0] == name)
    unknown = set(range(1 << bits)) - {int(member) for member in kind}
    assert unknown
    for number in unknown:
        words = encode_headers([dataclasses.replace(HEADER, **{name: number})], 80)
        with pytest.raises(InputError, match=f"no {name} has the number {number}"):
            decode_headers(words, 80)


@given(widths)
def test_header_words_hold_a_header_and_no_more(word_bits):
    assert (header_words(word_bits) - 1) * word_bits < HEADER_BITS
    assert header_words(word_bits) * word_bits >= HEADER_BITS


words = arrays(np.uint32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))


def width(tape):
    """Bits of a word of which every piece is full."""
    return 32 * tape.shape[1]


@given(words, st.data())
def test_checksum_notices_one_flipped_bit(tape, data):
    damaged = tape.copy()
    word, piece = (data.draw(st.integers(0, side - 1)) for side in tape.shape)
    damaged[word, piece] ^= np.uint32(1) << np.uint32(data.draw(st.integers(0, 31)))
    assert checksum(damaged, width(damaged)) != checksum(tape, width(tape))


@given(st.integers(2, 32), st.integers(0, 31), st.data())
def test_checksum_notices_the_same_flip_in_two_pieces_of_a_word(pieces, bit, data):
    one, other = data.draw(st.sets(st.integers(0, pieces - 1), min_size=2, max_size=2))
    tape = np.zeros((3, pieces), dtype=np.uint32)
    tape[1, [one, other]] = 1 << bit
    assert checksum(tape, width(tape)) != 0


def test_checksum_notices_two_words_that_changed_places():
    tape = np.random.default_rng(0).integers(0, 1 << 32, (9, 3), dtype=np.uint32)
    swapped = tape.copy()
    swapped[[3, 4]] = tape[[4, 3]]
    assert checksum(swapped, width(swapped)) != checksum(tape, width(tape))


@given(words, widths)
def test_checksum_is_the_documented_sum(tape, word_bits):
    """In single steps of Python integers."""

    def rotate(value, by):
        by %= 32
        return (value << by | value >> 32 - by) & 0xFFFFFFFF

    total = 0
    for word in tape.tolist():
        total = rotate(total, 1 if word_bits > 30 else 32 - word_bits)
        for number, piece in enumerate(word):
            total ^= rotate(piece, number)
    assert checksum(tape, word_bits) == total


def test_checksum_of_nothing_is_zero():
    assert checksum(np.zeros((0, 4), dtype=np.uint32), 128) == 0
