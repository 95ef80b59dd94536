"""The cycle expectation: clocks of a pass over the tape, from the program and the latencies.

A few recurrences follow each segment through quantizer, engine and epilogue; nothing of it was
fitted to a run of the chip. `make demo` and the tests compare it with the chip's counters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from sterna.model.sizes import Cut, cuts
from sterna.plan.latencies import Latencies
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Stats, Step
from sterna.spec.tape import header_words

__all__ = ["expected_clocks", "pass_ends"]

EMBEDDING = 8
"""Clocks from a token to the first word of its row."""

GENERATOR = 2
"""Clocks from a token drawn to the next pass."""

NEXT_SEGMENT = 3
"""Clocks from an epilogue's last write to its next first beat."""

NEXT_JOB = 2
"""Clocks from the quantizer's last read for a job to the next job."""

KEEP = 7
"""Clocks from a job that keeps its statistics to its first activations."""

FRESH = 10
"""Clocks from a job whose statistics wait to its first activations; one more with several slots."""

READ = 6
"""Clocks from a read of the source to its activations."""

READ_AHEAD = 8
"""Reads that the quantizer can be ahead of the activations that have been taken."""

ROW_AHEAD = 4
"""Clocks by which the next row's reading begins before the last word of a row is there."""

FILL = 1
"""Clocks from the last activations of a block to its first word."""

FROM_RING = 7
"""Clocks from a word that comes from outside to the engine: ring, sequencer, unpacker."""

ASK = 6
"""Clocks from a job's request for its scale to its first activations, if nothing holds them up."""

SCALE, KEPT_SCALE = 35, 6
"""Clocks from a request to its scale, with new sums and with those of before."""

SCALED = 2
"""Clocks from a scale to the first beat of its segment."""

SUMS = 17
"""Sums that wait for the epilogue before the engine stops."""

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
    supply = _Supply(config.ring_words, clocks_per_word) if clocks_per_word else None
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
    supply: _Supply | None,
) -> float:
    """Clock of the next pass's first token, if this one's is at `begin`."""
    headers = header_words(config.word_bits)
    load = config.columns // config.elements
    row_free = begin  # the embedding may read the next row
    words_free = begin  # the engine may take the next word
    shadow_free = begin  # the shadow register may take the next block
    next_job = begin  # the quantizer may begin it
    taken = [begin] * (READ_AHEAD + 1)  # ... its last activations have been
    drawn = begin  # the sampler has done with the segment before
    results: deque[tuple[float, float]] = deque(maxlen=2 * slots + 2)  # when they came
    scale_free = begin  # the next scale may be asked for
    several = config.slots > 1
    beat_groups = config.elements / config.rows  # groups of R sums in a beat of E
    last_write = begin  # the segment before is in its bank
    written = [begin] * slots  # ... each slot's
    for segment in segments:
        step = segment.step
        beats = -(-segment.rows // config.elements)
        source_words = -(-step.columns // config.elements)
        if supply:
            supply.bring(headers + segment.words)
        for slot in range(slots):
            if step.op is Op.EMBED:
                first_beat = max(row_free + EMBEDDING, last_write + NEXT_SEGMENT * bool(slot))
                row_free = first_beat + beats - ROW_AHEAD
                last_write = first_beat + beats - 1 + timing.writes[Op.EMBED]
                written[slot] = last_write
                results.append((last_write - beats, last_write))
                continue
            if segment.stats is Stats.FRESH:
                ready = max(written[slot] + timing.barrier, next_job + FRESH + several)
            elif segment.stats is Stats.MAXIMUM:
                measured = source_words + _given_way(results, next_job + 1, source_words)
                ready = next_job + measured + timing.barrier - several
            else:
                ready = next_job + KEEP
            fresh = segment.stats is Stats.FRESH
            early = ASK + several * (segment.stats is not Stats.KEEP)
            asked = max(ready - early, scale_free)
            scale_free = asked + (SCALE if fresh else KEPT_SCALE)
            # A place in the quantizer's queue must be free for each read.
            for beat in range(min(READ_AHEAD, load)):
                ready = max(ready, taken[beat + 1] + 1 + READ - beat)
            ready += _given_way(
                results, ready - READ, load * (segment.blocks if load > segment.groups else 1)
            )
            tape_free = words_free + headers * (slot == 0)
            first = max(ready, shadow_free) + load - 1
            starts = _starts(segment, load, max(first + FILL, tape_free), supply, slot)
            fills = [] if len(starts) < segment.blocks else [first]
            fills += [begun + load - 1 for begun in starts[:-1]]
            for filled in fills[-READ_AHEAD - 1 :]:
                taken += [filled - beat for beat in reversed(range(min(load, READ_AHEAD + 1)))]
            taken = taken[-READ_AHEAD - 1 :]
            last_read = max(ready - READ + segment.blocks * load - 1, taken[0] + 1)
            next_job = max(last_read, asked) + NEXT_JOB
            shadow_free = start = starts[-1]
            words_free = start + segment.groups
            if supply and slot == 0:
                words_free = max(words_free, supply.arrival(0) + 1)
            first_beat = max(start + timing.engine, last_write + NEXT_SEGMENT, scale_free + SCALED)
            # The last block's words wait when there is no room for their sums.
            taken_beats = (segment.groups - SUMS) / min(1, beat_groups)
            words_free = (
                max(words_free, first_beat + taken_beats) if taken_beats > 0 else words_free
            )
            if supply and slot == slots - 1:
                supply.free(words_free)
            last_sum = words_free - 1 + timing.engine
            last_beat = max(last_sum, first_beat + beats - 1)
            last_write = written[slot] = last_beat + timing.writes[step.op]
            if step.op.gathers:
                results.append((last_write - beats, last_write))
            if step.op is Op.LOGITS:
                drawn = (
                    max(last_write, drawn + timing.noise + beats * timing.parts) + timing.sampler
                )
    return drawn + GENERATOR


def _given_way(results: Iterable[tuple[float, float]], begin: float, reads: int) -> float:
    """Clocks that so many reads of the quantizer take longer, as results go first."""
    end = begin + reads
    for first, last in results:
        if first < end and last > begin:
            end += last - max(first, begin)
    return end - begin - reads


def _starts(
    segment: Cut, load: int, first: float, supply: _Supply | None, slot: int
) -> list[float]:
    """Clocks on which the last blocks begin, as many as fill the quantizer's queue.

    A block follows the one before when that has met its words and the shadow register is full. The
    words of the first slot of a tape from outside come at an even pace besides: as both are even,
    whatever holds up a block has held up either the second or that block.
    """
    blocks, groups = segment.blocks, segment.groups
    pace = max(groups, load, 4)
    last = -(-(READ_AHEAD + 1) // load) + 1
    starts = []
    for block in range(max(blocks - last, 0), blocks):
        start = first + block * pace
        if supply and slot == 0:
            start = max(start, supply.arrival(segment.words - 1) + block * pace)
            for held in {1, block} if block else ():
                word = supply.arrival(segment.words - held * groups - 1)
                start = max(start, word + (block - held) * pace)
        starts.append(start)
    return starts


@dataclass
class _Supply:
    """Words of a tape from outside, which come at an even pace as long as the ring has room.

    Attributes
    ----------
    ring_words : int
    clocks_per_word : float
    words : int
        Words that have come, from the first pass on.
    last : float
        Clock on which the last of them has come.
    """

    ring_words: int
    clocks_per_word: float
    words: int = 0
    last: float = 0.0
    _kept: deque[tuple[int, int, float]] = field(default_factory=deque)
    """First and last word of each segment that may be in the way, and the clock on which its last
    is read for the last time: one a clock, so that the others are known."""

    def bring(self, words: int) -> None:
        """Bring the words of the next segment and of a header: each takes a word's place."""
        start, shift = self.last, self.ring_words - self.words
        for first, last, read in self._kept:
            old = max(first, 1 - shift)
            number = old + shift  # of the word that takes its place, in this segment
            if number > words:
                break
            start = max(start, read - (last - old) + 1 - number * self.clocks_per_word)
        self.last = start + words * self.clocks_per_word
        self.words += words
        while self._kept and self._kept[0][1] <= words - shift:
            self._kept.popleft()
        self._kept.append((self.words - words + 1, self.words, self.last))

    def free(self, clock: float) -> None:
        """Say when the last word of the newest segment has been read for the last time."""
        first, last, _ = self._kept.pop()
        self._kept.append((first, last, clock))

    def arrival(self, after: int) -> float:
        """Clock on which the engine can have a word of the segment, with so many words after it."""
        return self.last - after * self.clocks_per_word + FROM_RING
