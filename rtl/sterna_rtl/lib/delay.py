"""A value and what it was on the clocks before."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ValueLike

__all__ = ["delay_line"]


def delay_line(
    m: Module, value: ValueLike, clocks: int, name: str, *, reset_less: bool = False
) -> list[Value]:
    """Return a value, what it was a clock ago, and so on; ``clocks + 1`` in all.

    Parameters
    ----------
    m : Module
        Gets the registers.
    value : ValueLike
    clocks : int
        Registers, 0 or more.
    name : str
        What theirs begin with.
    reset_less : bool
        They are data, which nobody looks at before it has come.
    """
    line = [Value.cast(value)]
    for clock in range(1, clocks + 1):
        line.append(Signal(line[0].shape(), name=f"{name}_{clock}", reset_less=reset_less))
        m.d.sync += line[clock].eq(line[clock - 1])
    return line
