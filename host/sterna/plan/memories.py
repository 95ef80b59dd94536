"""The RAMs of a chip, and what they take of an FPGA."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import RESIDUAL_BITS, SCRATCH_BITS, STATE_BITS, VECTOR_BITS
from sterna.spec.link import REQUEST_BYTES, WINDOW
from sterna.spec.ram import BANK_WORDS, BANKED_CLOCKS, LUTRAM_WORDS
from sterna.spec.tables import CURVE_SEGMENTS, inverse_root, reciprocal

__all__ = ["Memory", "block_rams", "memories"]

_SHAPES = ((512, 36), (1024, 18), (2048, 9))
"""Words and bits of a block RAM of 18 Kbit; also those of other FPGAs have these shapes."""

_CHOICE = 192
"""Bits whose choice between one block RAM more behind each other weighs as much for Yosys 0.70 as a
block RAM: more than 128 and less than 256, by twelve RAMs that it mapped."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One RAM.

    Attributes
    ----------
    unit, name : str
        The unit that holds it, and what it holds.
    words, bits : int
        Depth and width.
    copies : int
        How many there are of it.
    """

    unit: str
    name: str
    words: int
    bits: int
    copies: int = 1

    @property
    def block_rams(self) -> int:
        """Block RAMs that it takes; none if it lies in LUTs."""
        return self.copies * block_rams(self.words, self.bits)

    @property
    def luts(self) -> int:
        """Tables that hold it and choose between them, none if it lies in block RAM."""
        if self.words > LUTRAM_WORDS:
            return 0
        parts = -(-self.words // 16)
        held, chosen = 4 * parts * -(-self.bits // 4), self.bits * (0, 1, 2, 2)[parts - 1]
        return self.copies * (held + chosen)


def block_rams(words: int, bits: int) -> int:
    """Block RAMs of 18 Kbit that a RAM takes in the shape that Yosys chooses for it."""
    if words <= LUTRAM_WORDS:
        return 0
    counts = [(-(-words // depth), -(-bits // width)) for depth, width in _SHAPES]
    deep, wide = min(counts, key=lambda at: _CHOICE * at[0] * at[1] + bits * (at[0] - 1))
    return deep * wide


def memories(config: ChipConfig, embedding: bool = True) -> Iterator[Memory]:
    """All RAMs of a chip with its UART; `embedding` says whether that table lies on it."""
    elements, slots = config.elements, config.slots
    if config.ring_words:
        yield Memory("ring", "tape", config.ring_words, config.word_bits)
    for words, copies in _tape_banks(config.tape_words):
        yield Memory("reader", "tape", words, config.word_bits, copies)
    table = config.embedding_words if embedding else 0
    for words, copies in _banks(table):
        yield Memory("embedding", "embedding", words, config.embedding_bits * elements, copies)
    # A copy for each reader, epilogue and quantizer.
    yield Memory("banks", "residual", slots * config.residual_words, RESIDUAL_BITS * elements, 2)
    yield Memory("banks", "scratch", slots * config.scratch_words, SCRATCH_BITS * elements, 2)
    yield Memory("banks", "state", slots * config.state_words, STATE_BITS * elements)
    for name in ("vector_a", "vector_b"):
        words = getattr(config, f"{name}_words")
        for part, copies in _banks(words) if config.side_clocks == BANKED_CLOCKS else [(words, 1)]:
            yield Memory("banks", name, part, VECTOR_BITS * elements, copies)
    yield Memory("engine", "psum", config.psum_words, config.row_sum_bits * config.rows)
    for name, table in ("reciprocal", reciprocal()), ("root", inverse_root()):
        row_bits = sum(max(column).bit_length() for column in table)
        yield Memory("quantizer", name, CURVE_SEGMENTS, row_bits)
    yield Memory("link", "requests and replies", WINDOW * REQUEST_BYTES, 8, 2)


def _banks(words: int) -> list[tuple[int, int]]:
    """Words and number of whole banks, and of what is left."""
    whole, rest = divmod(words, BANK_WORDS)
    return [bank for bank in ((BANK_WORDS, whole), (rest, 1)) if all(bank)]


def _tape_banks(words: int) -> list[tuple[int, int]]:
    """Return the same of a tape: three quarters of a bank are a half and a quarter."""
    half = BANK_WORDS // 2
    rest = words % BANK_WORDS
    if words > BANK_WORDS and half < rest <= half * 3 // 2:
        return [*_banks(words - rest), (half, 1), (rest - half, 1)]
    return _banks(words)
