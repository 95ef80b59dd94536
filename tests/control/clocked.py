"""A unit without streams, played clock by clock behind a stream, so that the kit can play it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit.ports import Ports

__all__ = ["Clocked"]

QUEUE = 3


class Clocked(Component):
    """Give a unit its inputs for one clock, and queue what its outputs are on the next.

    On clocks without an item all inputs are 0. Items of `i` are structs of all inputs, those of `o`
    of all outputs; `shown` says whether there is one for an item.

    Parameters
    ----------
    unit : Component
        With plain ports only, and a latency of one clock.
    """

    def __init__(self, unit: Component) -> None:
        self.unit = unit
        self.ports = Ports.of(unit)
        shapes = {name: codec.shape for name, codec in self.ports.plain.items()}
        driven = self.ports.driven
        self.given = {name: shapes[name] for name in shapes if name in driven}
        self.shown = StructLayout({name: shapes[name] for name in shapes if name not in driven})
        super().__init__(
            {
                "i": In(stream.Signature(StructLayout({**self.given, "shown": 1}))),
                "o": Out(stream.Signature(self.shown)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        m.submodules.queue = queue = Queue(self.shown, QUEUE)
        connect_stream(m, queue.o, self.o)
        follows = Signal()  # the outputs of an item are there
        m.d.sync += follows.eq(transfers(self.i) & self.i.payload.shown)
        m.d.comb += [self.i.ready.eq(queue.level + follows < QUEUE), queue.i.valid.eq(follows)]
        for name in self.given:
            field = Value.cast(self.i.payload[name])
            m.d.comb += self.ports.signals[name].eq(Mux(transfers(self.i), field, 0))
        for name in self.shown.members:
            m.d.comb += Value.cast(queue.i.payload[name]).eq(self.ports.signals[name])
        return m
