"""Stall patterns: when a source may offer an item and when a sink accepts one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ALL_STALLS", "Stalls", "pattern"]


@dataclass(frozen=True)
class Stalls:
    """Patterns of the input side and of the output side; see `pattern` for the kinds."""

    inputs: str = "none"
    outputs: str = "none"

    def __str__(self) -> str:
        if self.inputs == self.outputs:
            return self.inputs if self.inputs == "none" else f"{self.inputs}-both"
        if self.outputs == "none":
            return f"{self.inputs}-inputs"
        if self.inputs == "none":
            return f"{self.outputs}-outputs"
        return f"{self.inputs}-inputs-{self.outputs}-outputs"


def pattern(kind: str, seed: str) -> Callable[[bool], bool]:
    """Return a function that says, clock by clock, whether its side moves.

    It is called once per clock with True if the other side was ready (or valid) on the last clock.

    ``none``
        Never stalls.
    ``3-in-4``
        Stalls on three clocks in four.
    ``random``
        Stalls on every other clock on average.
    ``long``
        Runs of up to 30 clocks, then stalls of 30 to 90.
    ``late``
        Stalls until the other side has waited for a clock: finds a `valid` that waits for `ready`.
    """
    rng = random.Random(seed)
    if kind == "none":
        return lambda waiting: True
    if kind == "3-in-4":
        clock, chosen = 0, rng.randrange(4)

        # One at random of each four: a fixed one could fall into step with the unit.
        def one_in_four(waiting: bool) -> bool:
            nonlocal clock, chosen
            moves = clock == chosen
            clock += 1
            if clock == 4:
                clock, chosen = 0, rng.randrange(4)
            return moves

        return one_in_four
    if kind == "random":
        return lambda waiting: rng.random() < 0.5
    if kind == "long":
        moves, left = False, rng.randint(1, 30)

        def long(waiting: bool) -> bool:
            nonlocal moves, left
            if left == 0:
                moves = not moves
                left = rng.randint(1, 30) if moves else rng.randint(30, 90)
            left -= 1
            return moves

        return long
    if kind == "late":
        return lambda waiting: waiting and rng.random() < 0.7
    raise ValueError(f"no stall pattern {kind!r}")


ALL_STALLS = (
    Stalls(),
    *(
        Stalls(**{side: kind for side in sides})
        for kind in ("3-in-4", "random", "long")
        for sides in (("inputs",), ("outputs",), ("inputs", "outputs"))
    ),
    Stalls(outputs="late"),
)
"""What every unit has to pass: ten combinations and the late sink."""
