"""What a receiver does after a pause does not depend on what came before it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.link.uart import RECEIVED

__all__ = ["CobsForgets", "UartForgets"]

DIVISOR = 4


class UartForgets(Component):
    """A receiver, and one that is reset when the line has been high for eleven bits.

    From then on both must give the same bytes: whatever was on the line before, and wherever in a
    byte the first one was, it can't be stuck.
    """

    def __init__(self, receiver) -> None:
        self.receiver = receiver
        super().__init__({"rx": In(1), "bad": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.old = old = self.receiver()
        fresh = self.receiver()
        renew = Signal()
        m.submodules.fresh = ResetInserter(renew)(fresh)
        for unit in (old, fresh):
            m.d.comb += [unit.rx.eq(self.rx), unit.divisor.eq(DIVISOR), unit.o.ready.eq(1)]
        # Two clocks pass between the pin and the receiver.
        pause = 11 * DIVISOR + 2
        high = Signal(range(pause + 1))
        forgotten = Signal()
        with m.If(~self.rx):
            m.d.sync += high.eq(0)
        with m.Elif(high != pause):
            m.d.sync += high.eq(high + 1)
        with m.If((high == pause) & self.rx & ~forgotten):
            m.d.comb += renew.eq(1)
            m.d.sync += forgotten.eq(1)
        differs = (old.o.valid != fresh.o.valid) | (
            old.o.valid & (old.o.payload.as_value() != fresh.o.payload.as_value())
        )
        m.d.comb += self.bad.eq(forgotten & differs)
        return m


class CobsForgets(Component):
    """A decoder, and one that is reset by any one zero byte that the first one takes.

    From then on both must give the same: whatever came before, the next frame begins. What waits
    at the output when the zero comes is of the frame before it. Which zero it is, `now` says.
    """

    def __init__(self, decoder) -> None:
        self.decoder = decoder
        inputs = {"byte": RECEIVED, "valid": 1, "ready": 1, "now": 1}
        super().__init__({**{name: In(shape) for name, shape in inputs.items()}, "bad": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.old = old = self.decoder()
        fresh = self.decoder()
        renew = Signal()
        m.submodules.fresh = ResetInserter(renew)(fresh)
        takes = self.valid & old.i.ready
        earlier, begun = Signal(), Signal()
        m.d.comb += [
            old.i.payload.eq(self.byte),
            fresh.i.payload.eq(self.byte),
            old.i.valid.eq(self.valid),
            fresh.i.valid.eq(takes),
            old.o.ready.eq(self.ready),
            fresh.o.ready.eq(self.ready),
            renew.eq(takes & (self.byte.data == 0) & self.now & ~begun),
        ]
        with m.If(renew):
            m.d.sync += [earlier.eq(1), begun.eq(1)]
        with m.Elif(old.o.ready | ~old.o.valid):
            m.d.sync += earlier.eq(0)
        differs = (old.o.valid != fresh.o.valid) | (
            old.o.valid & (old.o.payload.as_value() != fresh.o.payload.as_value())
        )
        m.d.comb += self.bad.eq(begun & ~earlier & differs)
        return m
