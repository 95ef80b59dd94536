"""The tape: segment headers and the order of everything in it.

    header 0 | header 1 | words 0 | header 2 | words 1 | ... | header n-1 | words n-2 | words n-1

Headers run one segment ahead of their weight words, so that the quantizer can begin on the next
vector while the lanes still work on this one. A header fills as many tape words as it needs, lowest
bits first. Where a word has room for several (`headers_in_word`), those of so many segments one
after the other share it, the first in the lowest bits, and it lies where the first of them would;
the pass's last such word may have fewer. One pass over the tape is one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from sterna.errors import InputError
from sterna.spec.program import Op, Stats

__all__ = [
    "HEADERS_IN_WORD",
    "HEADER_BITS",
    "HEADER_FIELDS",
    "HEADER_MAGIC",
    "Header",
    "checksum",
    "decode_headers",
    "encode_headers",
    "header_words",
    "headers_in_word",
    "sum_turn",
]

HEADER_MAGIC = int.from_bytes(b"HEAD", "big")
"""Checksum of every header's words; with another one the chip stops with an error."""

HEADER_FIELDS: tuple[tuple[str, int, bool, str], ...] = (
    ("check", 32, False, "makes its words' checksum HEADER_MAGIC; 0 but in a word's first header"),
    ("op", 3, False, "operation of the epilogue (Op)"),
    ("last", 1, False, "last segment of the token"),
    ("more", 1, False, "the matrix is cut and goes on in the next segment"),
    ("stats", 2, False, "where the quantisation's statistics come from (Stats)"),
    ("rows", 16, False, "elements of the result in this segment"),
    ("groups", 16, False, "weight words per block: rows / R, rounded up"),
    ("blocks", 12, False, "blocks of C columns; 0 for EMBED"),
    ("source_words", 16, False, "columns / E, rounded up; EMBED: rows / E"),
    ("row", 16, False, "first row of this segment; not 0 only where a matrix is cut"),
    ("vector_a", 16, False, "side RAM A: lower bound, or first norm weight of the next sums"),
    ("vector_b", 16, False, "side RAM B: folded norm weight of the segment that reads the result"),
    ("vector_q", 16, False, "side RAM B: own folded norm weight; EMBED: scales in A"),
    ("state", 16, False, "first word of the layer's state"),
    ("bounded", 1, False, "STATE: the lower bound is in side RAM A, not 0"),
    ("scale_mantissa", 16, False, "constant factor of the output scale"),
    ("scale_exponent", 8, True, "its exponent; EMBED: the shift, negated"),
    ("eps_mantissa", 16, False, "factor of the second sum of squares"),
    ("eps_exponent", 8, True, "its exponent"),
    ("eps_constant", 32, False, "constant added to the sum of squares"),
    ("sigmoid_shift", 4, False, "fraction bits of the sigmoid's input less 4"),
    ("out_shift", 5, False, "right shift of the last product"),
    ("residual_shift", 4, False, "right shift of the old residual"),
    ("checksum", 32, False, "of the segment's weight words"),
)
"""Name, bits, signed, meaning; lowest bits first."""

HEADER_BITS = 320
"""Bits of a header, unused upper ones zero."""

HEADERS_IN_WORD = 8
"""Headers that share a word at most: they wait in a register, and more gain little."""

assert sum(bits for _, bits, _, _ in HEADER_FIELDS) <= HEADER_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A segment header; see `HEADER_FIELDS` for the meaning of each field."""

    op: Op
    last: int
    stats: Stats
    rows: int
    groups: int
    blocks: int
    source_words: int
    more: int = 0
    row: int = 0
    vector_a: int = 0
    vector_b: int = 0
    vector_q: int = 0
    state: int = 0
    bounded: int = 0
    scale_mantissa: int = 0
    scale_exponent: int = 0
    eps_mantissa: int = 0
    eps_exponent: int = 0
    eps_constant: int = 0
    sigmoid_shift: int = 0
    out_shift: int = 0
    residual_shift: int = 0
    checksum: int = 0


def encode_headers(headers: Sequence[Header], word_bits: int) -> np.ndarray:
    """Pack headers that share their words; refuse a value that does not fit by its field's name.

    The check's bits each turn another bit of the sum, so that there is one check for each sum.

    Parameters
    ----------
    headers : sequence of Header
        One to `headers_in_word`.
    word_bits : int

    Returns
    -------
    numpy.ndarray
        uint32 [words, pieces].
    """
    if not 1 <= len(headers) <= headers_in_word(word_bits):
        raise ValueError(f"{len(headers)} headers in words of {word_bits} bits")
    whole = sum(_bits(header) << n * HEADER_BITS for n, header in enumerate(headers))
    off = checksum(_cut(whole, word_bits), word_bits) ^ HEADER_MAGIC
    turned = (header_words(word_bits) - 1) * sum_turn(word_bits) % 32
    check = (off >> turned | off << 32 - turned) & 0xFFFFFFFF
    return _cut(whole | check, word_bits)


def decode_headers(words: np.ndarray, word_bits: int, count: int = 1) -> list[Header]:
    """Unpack tape words; a wrong checksum, an unknown operation or a bit too many is refused.

    Parameters
    ----------
    words : numpy.ndarray
        uint32 [words, pieces], as `encode_headers` gives them.
    word_bits : int
    count : int
        Headers that share them.
    """
    found = checksum(words, word_bits)
    if found != HEADER_MAGIC:
        raise InputError(f"not a segment header: its words have the checksum {found:#x}")
    whole = 0
    for number, word in enumerate(words):
        whole |= int.from_bytes(word.astype("<u4").tobytes(), "little") << number * word_bits
    if whole >> count * HEADER_BITS:
        raise InputError("not a segment header: there are bits beyond its fields")
    mask = (1 << HEADER_BITS) - 1
    return [_header(whole >> n * HEADER_BITS & mask, checks=n == 0) for n in range(count)]


def _bits(header: Header) -> int:
    """Return the bits of a header without its check."""
    whole, position = 0, 0
    for name, bits, signed, _ in HEADER_FIELDS:
        value = int(getattr(header, name)) if name != "check" else 0
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if not low <= value <= high:
            raise InputError(f"header field {name} must be {low} to {high}, not {value}")
        whole |= (value & (1 << bits) - 1) << position
        position += bits
    return whole


def _header(whole: int, checks: bool) -> Header:
    """Return the header that has these bits; `checks` says whether its check is not 0."""
    values = {}
    for name, bits, signed, _ in HEADER_FIELDS:
        value = whole & (1 << bits) - 1
        values[name] = value - (1 << bits) if signed and value >> bits - 1 else value
        whole >>= bits
    if whole or (values.pop("check") and not checks):
        raise InputError("not a segment header: there are bits beyond its fields")
    for name, kind in (("op", Op), ("stats", Stats)):
        if values[name] not in list(kind):
            raise InputError(f"segment header: no {name} has the number {values[name]}")
        values[name] = kind(values[name])
    return Header(**values)


assert {field.name for field in fields(Header)} == {name for name, *_ in HEADER_FIELDS[1:]}


def _cut(whole: int, word_bits: int) -> np.ndarray:
    """Return the tape words of a header, uint32 [words, pieces]."""
    mask, size = (1 << word_bits) - 1, -(-word_bits // 32) * 4
    words = [whole >> n * word_bits & mask for n in range(header_words(word_bits))]
    raw = b"".join(word.to_bytes(size, "little") for word in words)
    return np.frombuffer(raw, dtype="<u4").reshape(len(words), -1)


def header_words(word_bits: int) -> int:
    """Tape words that a header fills, or that several share."""
    return -(-HEADER_BITS // word_bits)


def headers_in_word(word_bits: int) -> int:
    """Headers that share a tape word; 1 if there is no room for two."""
    return min(max(word_bits // HEADER_BITS, 1), HEADERS_IN_WORD)


def sum_turn(word_bits: int) -> int:
    """Bits by which the checksum is rotated left before each word is added.

    Words of less than a piece fill it one after the other, so that the first 32 bits of a header
    meet in no bit of the sum, however narrow its words are.
    """
    return 32 - min(word_bits, 31)


def checksum(words: np.ndarray, word_bits: int) -> int:
    """Checksum of tape words: each is folded to 32 bits, and added by XOR to the sum turned.

    Parameters
    ----------
    words : numpy.ndarray
        uint32 [words, pieces], lowest piece first. Piece k of a word is rotated left by k before
        the pieces are XORed, so that equal flips in two pieces do not cancel.
    word_bits : int
        Bits of a word; the sum is rotated left by `sum_turn` of them before a word is added.
    """
    pieces = words.astype(np.uint64)
    turns = np.arange(words.shape[1], dtype=np.uint64) % 32
    turned = (pieces << turns | pieces >> (32 - turns)) & 0xFFFFFFFF
    total, turn = 0, sum_turn(word_bits)
    for folded in np.bitwise_xor.reduce(turned, axis=1).tolist():
        total = ((total << turn | total >> 32 - turn) & 0xFFFFFFFF) ^ folded
    return total
