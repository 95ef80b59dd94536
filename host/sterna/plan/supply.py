"""When the words of a tape from outside come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Supply"]

FROM_RING = 6
"""Clocks from a word that comes from outside to the engine: ring, sequencer."""


@dataclass
class Supply:
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
