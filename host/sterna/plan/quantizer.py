"""When the quantizer has the activations and the scale of each segment."""

from __future__ import annotations

from collections import deque

from sterna.model.sizes import Cut
from sterna.plan.latencies import Latencies
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Stats

__all__ = ["Quantizer", "read_ahead"]

NEXT_JOB = 1
"""Clocks from the last read for a job to the next job; one more from its request for its scale."""

KEEP = 5
"""Clocks from a job that keeps its statistics to its first activations, and those of side RAMs."""

FRESH = 6
"""Clocks from a job whose statistics wait to its first activations, and those of side RAMs."""

READ = 4
"""Clocks from a read of the source to its activations, and those of side RAMs."""

ASK = 5
"""Clocks from a job's request for its scale to its first activations, if nothing holds them up."""

SCALE, KEPT_SCALE = 21, 6
"""Clocks from a request to its scale, with new sums and with those of before."""


def read_ahead(config: ChipConfig) -> int:
    """Reads that can be ahead of the activations that have been taken."""
    return (15 if config.rows > config.elements else 6) + config.side_clocks


class Quantizer:
    """Jobs one after the other, each a segment of one slot.

    Parameters
    ----------
    config : ChipConfig
    slots : int
        That take part in the pass.
    begin : float
        Clock from which it is idle.
    """

    def __init__(self, config: ChipConfig, slots: int, begin: float) -> None:
        self.elements = config.elements
        self.load = config.columns // config.elements
        self.several = config.slots > 1
        timing = Latencies.of(config)
        self.barrier = timing.barrier
        self.side = config.side_clocks
        self.read = READ + self.side
        self._next_job = self._scale_free = self._asked = self._ready = begin
        self._ahead = read_ahead(config)
        self._taken = [begin] * (self._ahead + 1)
        """When the last activations were taken, the last at the end."""
        self._results: deque[tuple[float, float]] = deque(maxlen=2 * slots + 2)

    def results(self, first: float, last: float) -> None:
        """Results are gathered, a beat a clock: reads of the source give way to them."""
        self._results.append((first, last))

    def begin(self, segment: Cut, written: float) -> tuple[float, float]:
        """Begin the job of a segment whose source was written on a clock.

        Returns
        -------
        tuple of float
            Clock on which the first activations can be taken, and that of the scale.
        """
        job = self._next_job
        if segment.stats is Stats.FRESH:
            ready = max(written + self.barrier, job + FRESH + self.side)
        elif segment.stats is Stats.MAXIMUM:
            words = -(-segment.step.columns // self.elements)
            measured = words + self._given_way(job + 1, words)
            later = self.side - 2  # of the source that is measured
            ready = job + later + measured + 1 + self.barrier - self.several
        else:
            ready = job + KEEP + self.side
        # One that keeps its statistics asks at once, whenever its source is there.
        early = ASK + (self.side - 1 if segment.stats is Stats.KEEP else 0)
        self._asked = max(ready - early, self._scale_free)
        took = SCALE if segment.stats is Stats.FRESH else KEPT_SCALE
        self._scale_free = self._asked + took
        for beat in range(min(self._ahead, self.load)):  # each read needs a place in the queue
            ready = max(ready, self._taken[beat + 1] + 1 + self.read - beat)
        # Later blocks are read while the engine works, if it works for longer than that takes.
        blocks = segment.blocks if self.load > segment.groups else 1
        self._ready = ready + self._given_way(ready - self.read, blocks * self.load)
        return self._ready, self._scale_free

    def end(self, segment: Cut, loaded: list[float]) -> None:
        """End the job; its last blocks were `loaded` into the shadow register on these clocks."""
        for last in loaded:
            beats = min(self.load, self._ahead + 1)
            self._taken += [last - beat for beat in reversed(range(beats))]
        self._taken = self._taken[-self._ahead - 1 :]
        last_read = self._ready - self.read + segment.blocks * self.load - 1
        last_read = max(last_read, self._taken[0] + 1)
        self._next_job = max(last_read, self._asked + 1) + NEXT_JOB

    def held_up(self, segment: Cut, first: float, start: float, pace: float, fill: float) -> float:
        """Clocks by which results hold up the reads of blocks behind the first.

        Parameters
        ----------
        segment : Cut
        first : float
            Clock on which the first block has been taken.
        start : float
            Clock on which its words begin.
        pace : float
            Clocks from a block's words to the next block's.
        fill : float
            Clocks from a block's last activations to its first word.
        """
        if self.load > segment.groups:
            return 0.0  # `begin` has counted them
        until = max((end for _, end in self._results), default=first)
        taken = [first - beat for beat in reversed(range(self.load))]
        read, behind = first - self.read, 0.0  # that of the first block's last beat
        for block in range(1, segment.blocks):
            if read > until:
                break
            begin = start + (block - 1) * pace + behind  # the block before leaves its place
            for _ in range(self.load):
                room = taken[-self._ahead] if len(taken) >= self._ahead else read
                read = self._free_clock(max(read, room) + 1)
                taken.append(max(read + self.read, taken[-1] + 1, begin))
            behind += max(0.0, taken[-1] + fill - begin - pace)
        return behind

    def _free_clock(self, clock: float) -> float:
        """Return the first clock from this one on on which no result comes."""
        for first, last in self._results:
            if first <= clock < last:
                clock = last
        return clock

    def _given_way(self, begin: float, reads: int) -> float:
        """Clocks that so many reads take longer, as results go first."""
        end = begin + reads
        for first, last in self._results:
            if first < end and last > begin:
                end += last - max(first, begin)
        return end - begin - reads
