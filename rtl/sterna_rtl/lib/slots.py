"""What belongs to one of a chip's slots."""

from __future__ import annotations

from typing import Any

from amaranth import *
from amaranth.lib.data import View

__all__ = ["of_slot", "read_of_slot"]


def of_slot(values: Any, slot: Value) -> Any:
    """Return a slot's element of an array, or its bit of a signal; also to be assigned.

    With one slot it is that slot's without a selection, which would cost gates in vain.
    """
    if len(values) == 1:
        return values[0]
    return values[slot] if isinstance(values, View) else values.bit_select(slot, 1)


def read_of_slot(m: Module, values: Any, slot: Value, name: str) -> Value:
    """Return a slot's element to be read bit by bit, which simulators then select once.

    Without a signal of its own it is selected for each bit that is looked at: half of the time of a
    simulated chip with two slots.
    """
    if len(values) == 1:
        return values[0]
    read = Signal(len(values[0]), name=name)
    m.d.comb += read.eq(of_slot(values, slot))
    return read
