"""Steps of the sampler's generators, as XORs of state bits."""

from __future__ import annotations

from amaranth import *

from sterna.spec import xorshift

__all__ = ["leap", "next_draw"]


def next_draw(state: Value) -> Value:
    """Return the state after one step of the draw generator."""
    return xorshift.next_draw(Value.cast(state))[: len(state)]


def leap(state: Value, steps: int) -> Value:
    """Return the state after `steps` steps of the element generator; combinational.

    A step is linear over GF(2), and so are many: each bit is the XOR of those that lead to it.
    """
    columns = xorshift.leap(steps)
    return Cat(
        Cat(bit for bit, column in zip(state, columns, strict=True) if column >> row & 1).xor()
        for row in range(len(state))
    )
