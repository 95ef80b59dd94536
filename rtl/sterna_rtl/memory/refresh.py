"""Refresh: when the next row must be refreshed, and the commands for it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.sdram import Timing

from .guard import Guard

__all__ = ["Refresh"]


class Refresh(Component):
    """Ask for a break every `period` clocks; close all banks in it and refresh.

    Parameters
    ----------
    timing : Timing
    delay : int
        The most clocks from the one on which `due` goes up to the one on which the user has held
        back commands for long enough (`may_close`).

    Attributes
    ----------
    due : Signal, out
        No command may begin.
    may_close : Signal, in
        All banks may be closed.
    close, refresh : Signal, out
        The command of this clock; `due` falls after `refresh`.
    """

    def __init__(self, timing: Timing, delay: int) -> None:
        self.timing = timing
        # At most `timing.refresh` clocks pass even if one comes at once and the next late.
        self.period = timing.refresh - delay
        if self.period < 2 * (delay + timing.rp + timing.rfc):
            raise ValueError(f"no time between refreshes that are {timing.refresh} clocks apart")
        super().__init__({"due": Out(1), "may_close": In(1), "close": Out(1), "refresh": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        left = Signal(range(self.period), init=self.period - 1)
        m.d.sync += left.eq(Mux(left == 0, self.period - 1, left - 1))
        closed = Signal()
        guard = Guard(m, self.timing.rp, "precharge")
        m.d.comb += [
            self.close.eq(self.due & ~closed & self.may_close),
            self.refresh.eq(closed & guard.open),
        ]
        with m.If(self.close):
            guard.start(self.timing.rp)
            m.d.sync += closed.eq(1)
        with m.If(self.refresh):
            m.d.sync += [closed.eq(0), self.due.eq(0)]
        with m.If(left == 0):
            m.d.sync += self.due.eq(1)
        return m
