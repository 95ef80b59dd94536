"""DmaWriter: results to a ring in the host's memory."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.dma import BLOCK_BYTES, ENTRIES, ENTRY_BYTES, HostMemory
from sterna_rtl.memory.visits import request_layout
from sterna_rtl.pcie.block import DWORD, RQ_DESCRIPTOR, RequestType, rq_beat
from sterna_rtl.pcie.pages import DMA_PLACE
from sterna_rtl.pcie.results import RESULT

__all__ = ["DmaWriter"]

_IN_BLOCK = exact_log2(BLOCK_BYTES // ENTRY_BYTES)
_BITS = RQ_DESCRIPTOR.size + 8 * ENTRY_BYTES
"""Of a packet."""


class DmaWriter(Component):
    """Write each result as an entry of a ring, a packet of its own; see `sterna.spec.dma`.

    The block of the entry is asked of the pages; nothing else of the address is made here than the
    place within that block, which an entry cannot leave.

    Parameters
    ----------
    width : int
        Bits of a beat.
    entries : int
        Of the ring, a power of two.

    Attributes
    ----------
    i : stream.Interface
        `RESULT`. Taken with its packet's last beat, or dropped without `run`.
    run : Signal, in
        While it is low the ring begins anew.
    ring, taken : Signal, in
        The registers RING and TAKEN. `ring` must stand while `run` is up or `idle` is low.
    o_request : stream.Interface
        `request_layout`: a block that is to be written.
    i_place : stream.Interface
        `DMA_PLACE`: where it lies.
    rq : stream.Interface
        `rq_beat`.
    outside : Signal, out
        A result was dropped, as there is no page for it; until `run` falls.
    idle : Signal, out
        Nothing is asked for or offered.

    Latency
        2 clocks and what the pages take from a result to its packet.
    """

    def __init__(self, width: int, entries: int = ENTRIES) -> None:
        self.width = width
        self.memory = HostMemory(width)
        self.entries = entries
        self.count = Signal(range(entries))  # of the next entry
        self.beats = -(-_BITS // width)
        self.packet = Signal(self.beats * width)  # what is left of it
        self.beat = Signal(range(self.beats))
        super().__init__(
            {
                "i": In(stream.Signature(RESULT)),
                "run": In(1),
                "ring": In(range(self.memory.blocks)),
                "taken": In(exact_log2(entries) + 1),
                "o_request": Out(stream.Signature(request_layout(self.memory))),
                "i_place": In(stream.Signature(DMA_PLACE)),
                "rq": Out(stream.Signature(rq_beat(width))),
                "outside": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        place, rq, request = self.i_place, self.rq, self.o_request.payload
        # One bit more than the entries need: as many as there are is not the same as none.
        written = Signal(exact_log2(self.entries) + 1)
        m.d.comb += [
            self.count.eq(written),
            request.write.eq(1),
            request.block.eq(self.ring + (self.count >> _IN_BLOCK)),
            request.blocks.eq(1),
        ]
        packet, beat = self.packet, self.beat
        left = (_BITS - 1) % self.width // DWORD + 1  # words of the last beat
        whole = (1 << self.width // DWORD) - 1
        head = Signal(RQ_DESCRIPTOR)
        in_block = Cat(C(0, 1), self.count[:_IN_BLOCK])  # in words
        m.d.comb += [
            head.address.eq(Cat(in_block, place.payload.address)),
            head.dwords.eq(8 * ENTRY_BYTES // DWORD),
            head.type.eq(RequestType.WRITE),
            rq.payload.data.eq(packet),
            rq.payload.last.eq(beat == self.beats - 1),
            rq.payload.keep.eq(Mux(rq.payload.last, (1 << left) - 1, whole)),
            rq.payload.user.first_bytes.eq(0b1111),
            rq.payload.user.last_bytes.eq(0b1111),
        ]
        dropped = Signal()
        m.d.comb += self.outside.eq(dropped & self.run)
        with m.If(~self.run):
            m.d.sync += dropped.eq(0)
        with m.FSM(name="writer"):
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), self.i.ready.eq(~self.run)]
                room = (written - self.taken)[: len(written)] != self.entries
                with m.If(~self.run):
                    m.d.sync += written.eq(0)
                with m.Elif(self.i.valid & room):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.o_request.valid.eq(1)
                with m.If(self.o_request.ready):
                    m.next = "PLACE"
            with m.State("PLACE"):
                m.d.comb += place.ready.eq(1)
                result = self.i.payload
                m.d.sync += [packet.eq(Cat(head, result.word, result.register)), beat.eq(0)]
                with m.If(place.valid):
                    m.next = "WRITE"
                    with m.If(place.payload.outside):
                        m.d.comb += self.i.ready.eq(1)
                        m.d.sync += dropped.eq(1)
                        m.next = "IDLE"
            with m.State("WRITE"):
                m.d.comb += [rq.valid.eq(1), self.i.ready.eq(rq.ready & rq.payload.last)]
                with m.If(rq.ready):
                    m.d.sync += [packet.eq(packet >> self.width), beat.eq(beat + 1)]
                    with m.If(rq.payload.last):
                        m.d.sync += written.eq(written + 1)
                        m.next = "IDLE"
        return m
