"""The plan: the best configuration for a model on a board, and what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import inf

from sterna.errors import InputError
from sterna.model.outline import Outline
from sterna.model.sizes import ceil_div, fit, needs, weight_words
from sterna.plan.area import LEAST_LUTS, luts, multipliers
from sterna.plan.boards import Board
from sterna.plan.clocks import expected_clocks
from sterna.plan.memories import memories
from sterna.spec.chip import MAX_SLOTS, ChipConfig
from sterna.spec.memories import external
from sterna.spec.trits import Packing

__all__ = ["Plan", "plan"]

ROWS = (1, 2, 4, 8, 16)
ELEMENTS = (1, 2, 4, 8, 16, 32, 64)
COLUMNS = sorted({2**n for n in range(11)} | {3 * 2**n for n in range(9)})
"""Columns that are tried: powers of two and three times those."""

RING_WORDS = 2048
PSUM_WORDS = 512
"""Rings and partial sums are not made deeper: longer segments gain nothing."""

FEW_LAYERS = (2, 4)
"""Layers of the two models from whose clocks those of a deeper one follow in comparisons."""

FEW_LANES = 8
"""Chips of so many are looked at on any board, to tell what it lacks."""

ADDRESSES = 1 << 16
"""Words that a header's 16 bits can address in a side RAM and in the state."""

CLOSE = 1.01
"""Configurations whose clocks differ by less are equal: the one with fewest LUTs is chosen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is expected of a model on a chip; all figures are of kind model.

    Attributes
    ----------
    config : ChipConfig
    embedding_outside : bool
        The embedding lies in the memory beside the FPGA.
    clocks_per_pass : float
        One token for each slot.
    roofline : float
        Share of a pass in which the words are moved that must be: by the lanes, or by the memory
        where that takes longer.
    memory_bound : bool
        The memory takes longer.
    clocks_alone : float
        Of a pass in which one slot takes part.
    tape_bytes : int
        Read for each pass: headers and weights.
    luts, multipliers, block_rams : int
        Of the whole chip, UART included.
    """

    config: ChipConfig
    embedding_outside: bool
    clocks_per_pass: float
    roofline: float
    memory_bound: bool
    clocks_alone: float
    tape_bytes: int
    luts: int
    multipliers: int
    block_rams: int

    @property
    def clocks_per_token(self) -> float:
        """Clocks from one token to the next with all slots busy."""
        return self.clocks_per_pass / self.config.slots


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A configuration, before its clocks are known.

    Attributes
    ----------
    config : ChipConfig
    embedding_outside : bool
    words : int
        Of the tape, headers included.
    block_rams, luts : int
    clocks_per_word : float
        Of the memory, 0 if the tape lies on the chip.
    lanes_clocks, memory_clocks : float
        Of a pass at least, by the lanes and by the memory.
    """

    config: ChipConfig
    embedding_outside: bool
    words: int
    block_rams: int
    luts: int
    clocks_per_word: float
    lanes_clocks: float
    memory_clocks: float

    @property
    def least_clocks(self) -> float:
        """Clocks of a pass in which the words are moved that must be."""
        return max(self.lanes_clocks, self.memory_clocks)

    @property
    def least_per_token(self) -> float:
        """Share of each slot."""
        return self.least_clocks / self.config.slots


def plan(outline: Outline, board: Board, slots: int | None = None) -> Plan:
    """Choose lanes, elements, packing and slots so that a token takes the fewest clocks.

    Parameters
    ----------
    outline : Outline
    board : Board
        A tape that fits the chip lies on it; otherwise it comes from the board's memory.
    slots : int, optional
        By default as many as are worth it, up to `MAX_SLOTS`.

    Raises
    ------
    InputError
        If no configuration fits, with what the board has too little of and how much is needed.
    """
    found, nearest = [], (inf, "")
    for config, embedding_outside in _configurations(outline, board, slots):
        candidate = _candidate(outline, board, config, embedding_outside)
        lack = _lack(outline, candidate, board)
        if lack is None:
            found.append(candidate)
        else:
            nearest = min(nearest, lack)
    if not found:
        lack = nearest[1] or "a RAM of more than 2**24 words, which no chip has"
        raise InputError(f"no chip for this model fits: the nearest needs {lack}")
    return _expect(outline, board, _best(outline, found))


def _best(outline: Outline, candidates: list[_Candidate]) -> _Candidate:
    """Return the one with the fewest LUTs of those that come close to the fewest clocks."""
    tried: list[tuple[float, _Candidate]] = []
    fewest = inf
    for candidate in sorted(candidates, key=lambda one: (one.least_per_token, one.luts)):
        if candidate.least_per_token > fewest * CLOSE:
            break
        # Once one comes close to all that follow, only another with fewer LUTs can be better.
        near = fewest <= candidate.least_per_token * CLOSE
        if near and candidate.luts >= min(one.luts for _, one in tried):
            continue
        tried.append((_clocks_per_token(outline, candidate), candidate))
        fewest = min(fewest, tried[-1][0])
    close = [(one.luts, clocks, one) for clocks, one in tried if clocks <= fewest * CLOSE]
    return min(close, key=lambda one: one[:2])[2]


def _clocks_per_token(outline: Outline, candidate: _Candidate) -> float:
    """Clocks per token for comparisons: of a deep model from two shallow ones, as layers repeat."""
    layers, depths = outline.shape.layers, FEW_LAYERS
    if layers <= depths[1]:
        depths = (layers, layers + 1)  # twice the model itself
    few, more = (
        expected_clocks(
            [step for step in outline.steps if step.layer < depth],
            candidate.config,
            candidate.config.slots,
            candidate.clocks_per_word,
        )
        for depth in depths
    )
    clocks = few + (more - few) * (layers - depths[0]) / (depths[1] - depths[0])
    return clocks / candidate.config.slots


def _configurations(
    outline: Outline, board: Board, slots: int | None
) -> Iterator[tuple[ChipConfig, bool]]:
    """Sensible configurations, and whether the embedding has to lie in the board's memory."""
    for rows, columns, elements, packing in product(ROWS, COLUMNS, ELEMENTS, Packing):
        lanes = rows * columns
        if columns % elements or lanes > max(FEW_LANES, board.usable_luts / LEAST_LUTS):
            continue
        psum_words = min(PSUM_WORDS, max(-(-step.rows // rows) for step in outline.steps))
        psum_words = max(psum_words, elements // rows)
        sizes = {"rows": rows, "columns": columns, "elements": elements, "packing": packing}
        try:
            config = fit(outline, **sizes, psum_words=psum_words)
            if board.memory and _block_rams(config, False) > board.block_rams:
                # Two slots: what can't be cut to half a ring is left out.
                ring = {"ring_words": RING_WORDS, "slots": 2, "memory": board.memory.part}
                config = fit(outline, **sizes, psum_words=psum_words, **ring)
        except InputError:  # a size beyond what any chip can have
            continue
        outside = config.ring_words > 0 and _block_rams(config, False) > board.block_rams
        outside |= bool(config.memory)
        if packing is Packing.EIGHT_FIFTHS and not config.ring_words:
            continue  # its tables are worth while where the memory's rate is short
        for count in [slots] if slots else range(1, MAX_SLOTS + 1):
            yield replace(config, slots=count), outside


def _block_rams(config: ChipConfig, embedding_outside: bool) -> int:
    return sum(memory.block_rams for memory in memories(config, not embedding_outside))


def _candidate(
    outline: Outline, board: Board, config: ChipConfig, embedding_outside: bool
) -> _Candidate:
    words, weights = needs(outline, config)["tape_words"], weight_words(outline.steps, config)
    per_word = 0.0
    if config.ring_words and board.memory:
        per_word = _word_bytes(config) / board.memory.bytes_per_clock(board.clock_hz)
    return _Candidate(
        config=config,
        embedding_outside=embedding_outside,
        words=words,
        block_rams=_block_rams(config, embedding_outside),
        luts=luts(config),
        clocks_per_word=per_word,
        lanes_clocks=words + (config.slots - 1) * weights,
        memory_clocks=words * per_word,
    )


def _word_bytes(config: ChipConfig) -> float:
    """Bytes that a word of the tape fills in the memory."""
    bits = config.word_bits
    if not config.memory:
        return bits / 8
    word = external(config.memory).word_bits
    return ceil_div(bits, word) * word / 8


def _lack(outline: Outline, candidate: _Candidate, board: Board) -> tuple[float, str] | None:
    """What a board has too little of: by which factor, and in words."""
    config = candidate.config
    side = max(config.vector_a_words, config.vector_b_words, config.state_words)
    limits = [
        (candidate.luts, board.usable_luts, "LUTs"),
        (multipliers(config), board.multipliers, "multipliers"),
        (candidate.block_rams, board.block_rams, "block RAMs of 18 Kbit"),
        (side, ADDRESSES, "words of vectors or state"),
    ]
    if config.ring_words and board.memory:
        size = round(candidate.words * _word_bytes(config))
        if candidate.embedding_outside:
            shape = outline.shape
            size += shape.vocab * shape.hidden * config.embedding_bits // 8
        limits.append((size, board.memory.bytes, "bytes of memory"))
    factor, need, have, of = max((need / have, need, have, of) for need, have, of in limits)
    return (factor, f"{need:,} {of} and there are {have:,}") if factor > 1 else None


def _expect(outline: Outline, board: Board, candidate: _Candidate) -> Plan:
    config, slots = candidate.config, candidate.config.slots
    fetch = [0.0, 0.0]
    if candidate.embedding_outside and board.memory:
        row = outline.shape.hidden * config.embedding_bits / 8
        per_row = row / board.memory.bytes_per_clock(board.clock_hz)
        fetch = [board.memory.latency * board.clock_hz + n * per_row for n in (1, slots)]
    alone, clocks = (
        expected_clocks(outline.steps, config, count, candidate.clocks_per_word) + clocks
        for count, clocks in zip((1, slots), fetch, strict=True)
    )
    return Plan(
        config=config,
        embedding_outside=candidate.embedding_outside,
        clocks_per_pass=clocks,
        roofline=candidate.least_clocks / clocks,
        memory_bound=candidate.memory_clocks > candidate.lanes_clocks,
        clocks_alone=alone,
        tape_bytes=candidate.words * config.word_bits // 8,
        luts=candidate.luts,
        multipliers=multipliers(config),
        block_rams=candidate.block_rams,
    )
