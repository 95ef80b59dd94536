"""Restarts of benches whose unit is to begin anew."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal, Value

from sterna_rtl.lib.stream import transfers

__all__ = ["restarts_after"]


def restarts_after(m: Module, output: Any, count: Value) -> Value:
    """Return whether to restart: on one clock, once so many items have passed; never if 0."""
    given = Signal(16)
    m.d.sync += given.eq(given + transfers(output))
    restarts = (given == count) & (count != 0)
    with m.If(restarts):
        m.d.sync += given.eq(count + 1)
    return restarts
