"""CcWriter: packets of words to packets of beats, which come without a gap."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import transfers
from sterna_rtl.pcie.block import CC_DESCRIPTOR, DWORD, cc_beat

__all__ = ["CC_WORD", "CcWriter"]

CC_WORD = StructLayout({"data": DWORD, "last": 1})
"""A word of a completion."""


class CcWriter(Component):
    """Gather words to beats, and hold a packet back until it is there whole.

    The block wants a packet's beats one after the other: `valid` may not fall between them.

    Parameters
    ----------
    width : int
        Bits of a beat.
    words : int
        Words of the longest packet.

    Attributes
    ----------
    i : stream.Interface
        `CC_WORD`.
    o : stream.Interface
        `cc_beat`.

    Throughput
        1 word per clock.
    """

    def __init__(self, width: int, words: int) -> None:
        self.width = width
        self.beats = -(-words * DWORD // width)
        super().__init__(
            {"i": In(stream.Signature(CC_WORD)), "o": Out(stream.Signature(cc_beat(width)))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(cc_beat(self.width), self.beats)
        places = self.width // DWORD
        place = Signal(range(places))
        word, beat = self.i.payload, Signal(cc_beat(self.width))
        whole = Signal()  # the beat
        shortest = -(-CC_DESCRIPTOR.size // self.width)  # beats of a packet
        packets = Signal(range(self.beats // shortest + 1))  # that are in the queue to their ends
        m.d.comb += [
            queue.i.valid.eq(whole),
            queue.i.payload.eq(beat),
            self.i.ready.eq(~whole | queue.i.ready),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid & (packets != 0)),
            queue.o.ready.eq(self.o.ready & (packets != 0)),
        ]
        with m.If(queue.i.ready):
            m.d.sync += whole.eq(0)
        with m.If(transfers(self.i)):
            with m.If(place == 0):
                m.d.sync += [beat.data.eq(word.data), beat.keep.eq(1)]
            with m.Else():
                m.d.sync += beat.data.word_select(place, DWORD).eq(word.data)
                m.d.sync += beat.keep.bit_select(place, 1).eq(1)
            ends = word.last | (place == places - 1)
            m.d.sync += [beat.last.eq(word.last), whole.eq(ends), place.eq(Mux(ends, 0, place + 1))]
        comes = transfers(queue.i) & queue.i.payload.last
        goes = transfers(self.o) & self.o.payload.last
        m.d.sync += packets.eq(packets + comes - goes)
        return m
