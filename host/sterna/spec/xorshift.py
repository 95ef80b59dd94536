"""The sampler's random numbers: two xorshift64 generators, their seeds and their leaps.

Every step is linear over GF(2), so that any number of steps is one 64 x 64 bit matrix: gateware
that wants many states on one clock, and NumPy that wants them all, multiply by it.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

__all__ = ["UNIFORM_BITS", "leap", "next_draw", "next_element"]

State = TypeVar("State", int, np.ndarray)

UNIFORM_BITS = 24
"""Bits of a uniform random number."""

_BITS = 64
_MASK = (1 << _BITS) - 1


def next_draw(state: State) -> State:
    """xorshift64 with shifts 13, 7, 17 (Marsaglia 2003): one step per token drawn."""
    state = state ^ (state << 13 & _MASK)
    state = state ^ (state >> 7)
    return state ^ (state << 17 & _MASK)


def next_element(state: State) -> State:
    """xorshift64 with shifts 12, 25, 27 (Vigna 2016), from the draw's state: one step per logit."""
    state = state ^ (state >> 12)
    state = state ^ (state << 25 & _MASK)
    return state ^ (state >> 27)


def leap(steps: int) -> tuple[int, ...]:
    """Columns of the matrix that is `steps` times `next_element`: column b is where bit b leads."""
    columns = tuple(1 << bit for bit in range(_BITS))
    for _ in range(steps):
        columns = tuple(next_element(column) for column in columns)
    return columns
