"""Lay a model out for a compact chip: its tape with records, and its vector memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sterna.errors import InputError
from sterna.spec import tables
from sterna.spec.compact import LONGEST, Program
from sterna.spec.compact_chip import (
    NOTHING,
    PIECES,
    RECORD_MAGIC,
    RECORD_WORDS,
    Area,
    Record,
)
from sterna.spec.program import Op, Stats
from sterna.spec.tape import Header

if TYPE_CHECKING:
    from sterna.model.layout import Segment

__all__ = ["RECORD_TAPE_WORDS", "lay_out_tape", "vector_memory"]

RECORD_TAPE_WORDS = RECORD_WORDS // PIECES
"""Words of the tape that a record fills."""

_NIBBLES = 4
"""Elements of the embedding in a word."""

_OPERATIONS = {
    Op.EMBED: Program.EMBED,
    Op.SILU: Program.SILU,
    Op.STATE: Program.STATE,
    Op.GATE: Program.GATE,
    Op.PRODUCT: Program.PRODUCT,
    Op.RESIDUAL: Program.RESIDUAL,
    Op.LOGITS: NOTHING,
}

_STATISTICS = {
    Op.EMBED: Program.STATISTICS,
    Op.RESIDUAL: Program.STATISTICS,
    Op.GATE: Program.SCRATCH_STATISTICS,
    Op.PRODUCT: Program.PLAIN_STATISTICS,
}

_SOURCES = {Stats.FRESH: 0, Stats.MAXIMUM: 1, Stats.KEEP: 1 << 15}


def vector_memory(a: np.ndarray, b: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """Return what is loaded into the vector memory, from its beginning on, uint16.

    Parameters
    ----------
    a, b : numpy.ndarray
        Words of both side RAMs, uint16.
    embedding : numpy.ndarray
        Integers of 4 bits, [vocabulary, hidden].
    """
    rows = np.pad(embedding, ((0, 0), (0, -embedding.shape[1] % _NIBBLES))).astype(np.int64) & 15
    packed = (rows.reshape(-1, _NIBBLES) << 4 * np.arange(_NIBBLES)).sum(axis=1)
    ones = np.repeat([1, 0xFFFF], LONGEST)
    curves = [_curve(tables.reciprocal()), _curve(tables.inverse_root())[2 * 128 :]]
    words = np.concatenate([*curves, ones, a, b, packed])
    if len(words) > Area.STATE:
        raise InputError(
            f"the model needs {len(words)} words of the vector memory, the compact chip has "
            f"{int(Area.STATE)}; choose another model"
        )
    return words.astype(np.uint16)


def _curve(table: tables.Table) -> np.ndarray:
    """Rows of a curve: the start's lower 16 bits; its fall, and the start's upper bits at 12."""
    starts, falls = (np.array(column) for column in table)
    assert max(falls) < 1 << 12
    return np.stack([starts & 0xFFFF, falls | starts >> 16 << 12], axis=1).reshape(-1)


def lay_out_tape(
    parts: Sequence[tuple[int, Header, np.ndarray]], sides: tuple[int, int], hidden: int
) -> tuple[np.ndarray, list[Segment]]:
    """Return the tape, uint32 [words, pieces], and its segments.

    Parameters
    ----------
    parts : sequence of tuple
        Step number, header and weight words of every segment.
    sides : tuple of int
        Words of both side RAMs.
    hidden : int
        Elements of the residual.
    """
    from sterna.model.layout import Segment

    tape, segments, position = [], [], 0
    for number, header, pieces in parts:
        record = _record(header, sides, hidden, parts[-1][1].rows)
        tape += [record, pieces]
        position += len(record)
        segments.append(Segment(number, replace(header, last=0), position, len(pieces)))
        position += len(pieces)
    return np.concatenate(tape), segments


def _record(header: Header, sides: tuple[int, int], hidden: int, vocab: int) -> np.ndarray:
    """Return the tape words of a segment's record."""
    a, b = Area.MODEL, Area.MODEL + sides[0]
    embeds, op = header.op is Op.EMBED, header.op
    words = dict.fromkeys(Record, 0) | {
        Record.MAGIC: RECORD_MAGIC,
        Record.SOURCE: _SOURCES[header.stats],
        Record.LAST_ROW: header.rows - 1,
        Record.STATE: Area.STATE + header.state,
        Record.VECTOR_A: a + header.vector_a,
        Record.WEIGHTS: b + header.vector_b,
        Record.QUANTISE: (a if embeds else b) + header.vector_q,
        Record.SIGMOID: header.sigmoid_shift,
        Record.OUT: header.out_shift,
        Record.RESIDUAL: header.residual_shift,
        Record.CUT: Program.CUT_SCRATCH if op is Op.RESIDUAL else Program.CUT,
        Record.OPERATION: Program.BOUNDED_STATE if header.bounded else _OPERATIONS[op],
        Record.STATISTICS: _STATISTICS.get(op, NOTHING),
        Record.BLOCKS: header.blocks,
        Record.SOURCE_LAST: header.source_words - 1,
        Record.SCALE_MANTISSA: header.scale_mantissa,
        Record.SCALE_EXPONENT: -header.scale_exponent if embeds else header.scale_exponent,
        Record.EPS_MANTISSA: header.eps_mantissa,
        Record.EPS_EXPONENT: header.eps_exponent,
        Record.EPS_LOW: header.eps_constant & 0xFFFF,
        Record.EPS_HIGH: header.eps_constant >> 16,
    }
    if embeds:
        words |= {
            Record.ROWS_AT: b + sides[1],
            Record.ROW_WORDS: -(-hidden // _NIBBLES),
            Record.VOCABULARY_LAST: vocab - 1,
        }
    halves = np.array([int(word) & 0xFFFF for word in words.values()], dtype=np.uint32)
    low, middle, high = halves.reshape(-1, PIECES).T
    return np.stack([low | middle << 16, high], axis=1)
