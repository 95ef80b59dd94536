"""A register between two units for `ready` alone."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Skid"]


class Skid(Component):
    """Pass items on, and hold the one that comes on the clock on which the way is closed.

    `ready` of what follows then needs to reach no further than this unit.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. `i.ready` comes from a register; `o` follows `i` on the same clock.

    Latency
        None.

    Throughput
        1 item per clock.
    """

    def __init__(self, shape) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        held, free = Signal(), Signal(init=1)
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(free),
            self.o.valid.eq(held | self.i.valid),
            self.o.payload.eq(self.i.payload),
        ]
        with m.If(held):
            m.d.comb += self.o.payload.eq(payload)
        with m.Else():
            m.d.sync += payload.eq(self.i.payload)
        # Two registers: one for the wide payload, and one for what comes before, that lies there.
        holds = self.o.valid & ~self.o.ready
        m.d.sync += [held.eq(holds), free.eq(~holds)]
        return m
