"""The cycle expectation: clocks of a pass over the tape, from the program and the latencies.

A few recurrences follow each segment through quantizer, engine and epilogue; nothing of it was
fitted to a run of the chip. `make demo` and the tests compare it with the chip's counters.
"""

from __future__ import annotations

from collections.abc import Iterable

from sterna.model.sizes import Cut, cuts
from sterna.plan.latencies import Latencies
from sterna.plan.quantizer import Quantizer, read_ahead
from sterna.plan.supply import Supply
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Step
from sterna.spec.tape import header_words, headers_in_word

__all__ = ["expected_clocks", "pass_ends"]

EMBEDDING = 6
"""Clocks from a token to the first word of its row."""

GENERATOR = 3
"""Clocks from a token drawn to the next pass."""

NEXT_SEGMENT = 2
"""Clocks from an epilogue's last write to its next first beat."""

ROW_AHEAD = 5
"""Clocks by which the next row's reading begins before the last word of a row is there."""

FILL = 1
"""Clocks from the last activations of a block to its first word."""

SCALED = 2
"""Clocks from a scale to the first beat of its segment, with a register between the units."""

SUMS = 17
"""Words' sums that wait before the engine stops; and if R < E as many beats behind them."""

PASSES = 4
"""Passes after which one over a tape from outside takes as long as the one before."""


def expected_clocks(
    steps: Iterable[Step],
    config: ChipConfig,
    slots: int = 1,
    clocks_per_word: float = 0.0,
    top_k: int = 0,
) -> float:
    """Clocks from a pass's first token that enters the embedding unit to the next pass's.

    Parameters
    ----------
    steps : iterable of Step
        The model's program.
    config : ChipConfig
    slots : int
        Slots that take part in the pass.
    clocks_per_word : float
        Of a tape from outside: clocks in which its memory gives a word. On the chip the tape is
        always there in time.
    top_k : int
        As `Sampling` has it.
    """
    passes = PASSES if clocks_per_word else 1
    *_, begin, end = [0.0, *pass_ends(steps, config, slots, clocks_per_word, passes, top_k)]
    return end - begin


def pass_ends(
    steps: Iterable[Step],
    config: ChipConfig,
    slots: int,
    clocks_per_word: float,
    passes: int,
    top_k: int = 0,
) -> list[float]:
    """Clock at the end of each of some passes one after the other, the ring empty at first."""
    segments = list(cuts(steps, config))
    supply = Supply(config.ring_words, clocks_per_word) if clocks_per_word else None
    timing = Latencies.of(config, top_k)
    ends = [0.0]
    for _ in range(passes):
        ends.append(_pass_end(segments, config, timing, slots, ends[-1], supply))
    return ends[1:]


def _pass_end(
    segments: list[Cut],
    config: ChipConfig,
    timing: Latencies,
    slots: int,
    begin: float,
    supply: Supply | None,
) -> float:
    """Clock of the next pass's first token, if this one's is at `begin`."""
    quantizer, ahead = Quantizer(config, slots, begin), read_ahead(config)
    shared = headers_in_word(config.word_bits)
    row_free = begin  # the embedding may read the next row
    words_free = begin  # the engine may take the next word
    shadow_free = begin  # the shadow register may take the next block
    last_write = begin  # the segment before is in its bank
    written = [begin] * slots  # ... each slot's
    drawn = begin  # the sampler has done with the segment before
    for number, segment in enumerate(segments):
        step = segment.step
        headers = header_words(config.word_bits) if number % shared == 0 else 0
        beats = -(-segment.rows // config.elements)
        if supply:
            supply.bring(headers + segment.words)
        for slot in range(slots):
            if step.op is Op.EMBED:
                first_beat = max(row_free + EMBEDDING, last_write + NEXT_SEGMENT * bool(slot))
                last_beat = first_beat + beats - 1
                row_free = last_beat + 1 - ROW_AHEAD
            else:
                ready, scale = quantizer.begin(segment, written[slot])
                words = supply if slot == 0 else None
                first = max(ready, shadow_free) + quantizer.load - 1
                tape_free = words_free + headers * (slot == 0)
                first_start = max(first + FILL, tape_free)
                pace = max(segment.groups, quantizer.load, 4)
                starts = _starts(segment, quantizer.load, ahead, pace, first_start, words)
                if segment.blocks > 1:
                    held = quantizer.held_up(segment, first, first_start, pace, FILL)
                    starts = [start + held for start in starts]
                loaded = [start + quantizer.load - 1 for start in starts[:-1]]
                if len(starts) == segment.blocks:
                    loaded.insert(0, first)
                quantizer.end(segment, loaded)
                shadow_free = start = starts[-1]
                words_free = start + segment.groups
                if words:
                    words_free = max(words_free, words.arrival(0) + 1)
                first_sum = start + timing.engine
                first_beat = max(first_sum, last_write + NEXT_SEGMENT, scale + SCALED)
                pace = config.rows / config.elements  # beats of a word's sums
                room = SUMS + (SUMS / pace if pace < 1 else 0)
                if segment.groups > room:  # the last words wait for room for their sums
                    late = (segment.groups - room) * max(1, pace)
                    words_free = max(words_free, first_beat + late)
                if supply and slot == slots - 1:
                    supply.free(words_free)
                last_beat = max(words_free - 1 + timing.engine, first_beat + beats - 1)
            last_write = written[slot] = last_beat + timing.writes[step.op]
            if step.op.gathers:
                quantizer.results(last_write - beats, last_write)
            if step.op is Op.LOGITS:
                noise = drawn + timing.noise + beats * timing.parts
                drawn = max(last_write, noise) + timing.sampler
    return drawn + GENERATOR


def _starts(
    segment: Cut, load: int, ahead: int, pace: float, first: float, supply: Supply | None
) -> list[float]:
    """Clocks on which the last blocks begin, as many as fill the quantizer's queue.

    A block follows the one before when that has met its words and the shadow register is full. The
    words of the first slot of a tape from outside come at an even pace besides: as both are even,
    whatever holds up a block has held up either the second or that block.
    """
    blocks, groups = segment.blocks, segment.groups
    last = -(-(ahead + 1) // load) + 1
    starts = []
    for block in range(max(blocks - last, 0), blocks):
        start = first + block * pace
        if supply:
            start = max(start, supply.arrival(segment.words - 1) + block * pace)
            for held in {1, block} if block else ():
                word = supply.arrival(segment.words - held * groups - 1)
                start = max(start, word + (block - held) * pace)
        starts.append(start)
    return starts
