"""Bursts: requests for words of an AXI4 memory, cut into bursts."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.axi4 import BEATS, Axi4
from sterna_rtl.lib.stream import can_load, transfers

from .visits import request_layout

__all__ = ["Bursts", "burst_layout"]


def burst_layout(memory: Axi4) -> StructLayout:
    """Return a burst: words `word` to `word` + `more`."""
    return StructLayout({"write": 1, "word": range(memory.words), "more": range(BEATS)})


class Bursts(Component):
    """Walk through the bursts of a request.

    Each ends where a multiple of `BEATS` words ends, so that none goes over the end of a page,
    which holds a power of two of beats, four full bursts or more.

    Parameters
    ----------
    memory : Axi4

    Attributes
    ----------
    i : stream.Interface
        `request_layout`.
    o : stream.Interface
        `burst_layout`. Registered.

    Latency
        2 clocks from a request to its first burst.

    Throughput
        A burst every clock; with each request one clock more.
    """

    def __init__(self, memory: Axi4) -> None:
        self.memory = memory
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(memory))),
                "o": Out(stream.Signature(burst_layout(memory))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = exact_log2(BEATS)
        busy, request = Signal(), Signal(self.i.payload.shape())
        m.d.comb += self.i.ready.eq(~busy)
        with m.If(transfers(self.i)):
            m.d.sync += [request.eq(self.i.payload), busy.eq(1)]

        # Beats but one up to the next multiple.
        space, last = Signal(bits), request.blocks - 1
        ends = Signal()
        m.d.comb += [
            space.eq(~request.block[:bits]),
            ends.eq(last <= space),
        ]
        with m.If(can_load(self.o)):
            m.d.sync += self.o.valid.eq(busy)
            with m.If(busy):
                m.d.sync += [
                    self.o.payload.write.eq(request.write),
                    self.o.payload.word.eq(request.block),
                    self.o.payload.more.eq(Mux(ends, last, space)),
                    request.block.eq(Cat(C(0, bits), request.block[bits:] + 1)),
                    request.blocks.eq(last - space),
                    busy.eq(~ends),
                ]
        return m
