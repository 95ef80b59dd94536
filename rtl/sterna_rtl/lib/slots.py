"""What belongs to one of a chip's slots."""

from __future__ import annotations

from typing import Any

from amaranth import *
from amaranth.lib.data import View

__all__ = ["of_slot"]


def of_slot(values: Any, slot: Value) -> Any:
    """Return a slot's element of an array, or its bit of a signal; also to be assigned.

    With one slot it is that slot's without a selection, which would cost gates in vain.
    """
    if len(values) == 1:
        return values[0]
    return values[slot] if isinstance(values, View) else values.bit_select(slot, 1)
