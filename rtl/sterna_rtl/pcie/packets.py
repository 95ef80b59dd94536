"""PacketMerge: packets of two streams on one, whole and in turns."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import transfers
from sterna_rtl.pcie.block import rq_beat

__all__ = ["PacketMerge"]


class PacketMerge(Component):
    """Let packets of reads and writes through, one after the other.

    A packet that is offered stays until its last beat has gone. Who has just sent one waits if the
    other offers one.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Attributes
    ----------
    i_reads, i_writes : stream.Interface
        `rq_beat`. `ready` follows `o.ready`.
    o : stream.Interface
        `rq_beat`, on the same clock.

    Latency
        None.

    Throughput
        1 beat per clock, from packet to packet.
    """

    def __init__(self, width: int) -> None:
        beats = stream.Signature(rq_beat(width))
        super().__init__({"i_reads": In(beats), "i_writes": In(beats), "o": Out(beats)})

    def elaborate(self, platform) -> Module:
        m = Module()
        reads, writes, o = self.i_reads, self.i_writes, self.o
        writing, wrote = Signal(), Signal()  # whose beat it is; whose the beat before was
        held = Signal()  # a packet is offered or under way
        fresh = Mux(wrote, ~reads.valid, writes.valid)
        m.d.comb += [
            writing.eq(Mux(held, wrote, fresh)),
            o.payload.eq(Mux(writing, writes.payload, reads.payload)),
            o.valid.eq(Mux(writing, writes.valid, reads.valid)),
            writes.ready.eq(o.ready & writing),
            reads.ready.eq(o.ready & ~writing),
        ]
        with m.If(o.valid):
            m.d.sync += [wrote.eq(writing), held.eq(~(transfers(o) & o.payload.last))]
        return m
