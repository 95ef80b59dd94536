"""A pipeline without backpressure behind streams, so that the kit can play it."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Streamed"]


class Streamed(Component):
    """Give a pipeline one item per clock and queue its results.

    Parameters
    ----------
    unit : Component
        With plain ports and `latency`.
    value : str
        The input that the stream `i` drives.
    results : sequence of str
        The outputs in the items of `o`.
    constants : sequence of str
        Inputs that stay plain ports.
    """

    def __init__(
        self, unit: Component, value: str, results: Sequence[str], constants: Sequence[str] = ()
    ) -> None:
        self.unit = unit
        self.value = value
        self.results = results
        self.constants = constants
        members = unit.signature.members
        self.item = StructLayout({name: members[name].shape for name in results})
        super().__init__(
            {
                "i": In(stream.Signature(members[value].shape)),
                "o": Out(stream.Signature(self.item)),
                **{name: In(members[name].shape) for name in constants},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        depth = unit.latency + 2
        m.submodules.queue = queue = Queue(self.item, depth)
        connect_stream(m, queue.o, self.o)
        in_flight = Signal(range(depth + 1))
        valid = Signal(unit.latency)
        m.d.sync += valid.eq(Cat(transfers(self.i), valid))
        m.d.sync += in_flight.eq(in_flight + transfers(self.i) - transfers(self.o))
        m.d.comb += [
            self.i.ready.eq(in_flight != depth),
            getattr(unit, self.value).eq(self.i.payload),
            queue.i.valid.eq(valid[-1]),
        ]
        m.d.comb += [getattr(unit, name).eq(getattr(self, name)) for name in self.constants]
        m.d.comb += [queue.i.payload[name].eq(getattr(unit, name)) for name in self.results]
        return m
