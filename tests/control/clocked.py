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
    """Give a unit its inputs for one clock, and queue what its outputs are `latency` clocks later.

    On clocks without an item all inputs are 0. Items of `i` are structs of all inputs, those of `o`
    of all outputs; `shown` says whether there is one for an item.

    Parameters
    ----------
    unit : Component
        With plain ports only.
    latency : int
        At least 1.
    """

    def __init__(self, unit: Component, latency: int = 1) -> None:
        self.unit, self.latency = unit, latency
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
        depth = QUEUE - 1 + self.latency
        m.submodules.queue = queue = Queue(self.shown, depth)
        connect_stream(m, queue.o, self.o)
        follows = Signal(self.latency)  # the outputs of an item are there when it reaches the end
        m.d.sync += follows.eq(Cat(transfers(self.i) & self.i.payload.shown, follows))
        waiting = queue.level + sum(follows, C(0))
        m.d.comb += [self.i.ready.eq(waiting < depth), queue.i.valid.eq(follows[-1])]
        for name in self.given:
            field = Value.cast(self.i.payload[name])
            m.d.comb += self.ports.signals[name].eq(Mux(transfers(self.i), field, 0))
        for name in self.shown.members:
            m.d.comb += Value.cast(queue.i.payload[name]).eq(self.ports.signals[name])
        return m
