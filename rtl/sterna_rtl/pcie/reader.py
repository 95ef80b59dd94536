"""CqReader: packets of beats to packets of words."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import transfers
from sterna_rtl.pcie.block import DWORD, cq_beat

__all__ = ["CQ_WORD", "CqReader"]

CQ_WORD = StructLayout({"data": DWORD, "first_bytes": 4, "last_bytes": 4, "damaged": 1, "last": 1})
"""A word of a request. The byte enables are the packet's; `damaged` is the word's."""


class CqReader(Component):
    """Hand on a packet's words one by one.

    Parameters
    ----------
    width : int
        Bits of a beat.

    Attributes
    ----------
    i : stream.Interface
        `cq_beat`.
    o : stream.Interface
        `CQ_WORD`; follows `i` on the same clock.

    Throughput
        1 word per clock.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(
            {"i": In(stream.Signature(cq_beat(width))), "o": Out(stream.Signature(CQ_WORD))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        beat, word = self.i.payload, self.o.payload
        place = Signal(range(self.width // DWORD))
        more = Signal()  # words of this beat after the one at `place`
        first, enables = Signal(init=1), Signal(8)  # beat of a packet, and what it said
        now = Mux(first, Cat(beat.user.first_bytes, beat.user.last_bytes), enables)
        m.d.comb += [
            more.eq((beat.keep >> 1).bit_select(place, 1)),
            word.data.eq(beat.data.word_select(place, DWORD)),
            word.first_bytes.eq(now[:4]),
            word.last_bytes.eq(now[4:]),
            word.damaged.eq(beat.user.discontinue),
            word.last.eq(beat.last & ~more),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & ~more),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += place.eq(Mux(more, place + 1, 0))
        with m.If(transfers(self.i)):
            m.d.sync += [first.eq(beat.last), enables.eq(now)]
        return m
