"""Guard: clocks that must pass before a command."""

from __future__ import annotations

from amaranth import *

__all__ = ["Guard"]


class Guard:
    """A shift register of as many ones as clocks are left.

    Beginning is an OR: of several times that run the longest counts, without a comparison.

    Parameters
    ----------
    m : Module
    longest : int
        The most clocks that it can wait.
    name : str

    Attributes
    ----------
    open : Value
        The command is allowed.
    """

    def __init__(self, m: Module, longest: int, name: str) -> None:
        self._m = m
        self._ones = Signal(longest, name=name)
        m.d.sync += self._ones.eq(self._ones >> 1)
        self.open = ~self._ones[0]

    def start(self, clocks: int) -> None:
        """Allow the command again so many clocks after this one; once a clock at most."""
        mask = (1 << clocks - 1) - 1
        if mask >> len(self._ones):
            raise ValueError(f"{clocks} clocks are more than {len(self._ones) + 1}")
        self._m.d.sync += self._ones.eq(self._ones >> 1 | mask)
