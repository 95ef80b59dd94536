"""TapeRing: a tape from outside, kept while the slots read it one after the other."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.tape.walk import Walk

__all__ = ["TapeRing"]

_QUEUE = 4
"""Words in flight from the RAM and in the queue behind it, at one a clock."""


class TapeRing(Component):
    """Take words of a tape as they come and give them as plays say.

    Words come once and in order. Those of a play of several times stay until their last time, so
    that each slot gets them; meanwhile the words that follow come in, as long as there is room. A
    play begins as soon as its first word is there.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        Tape words from outside.
    i_play : stream.Interface
        `Layouts.play`, see `Walk`.
    restart : Signal, in
        Drop all words, even one on `o` that waits, and all plays.
    space : Signal, out
        Words that there is room for.
    o : stream.Interface
        `Layouts.tape_word`. Registered.

    Latency
        4 clocks from a word that comes to `o`, if a play waits for it.

    Throughput
        1 word per clock, also from play to play.

    Backpressure
        `i.ready` comes from a register: there is room. A word is read only if the queue has room
        for it and for all in flight.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.word)),
                "i_play": In(stream.Signature(layouts.play)),
                "restart": In(1),
                "space": Out(range(config.ring_words + 1)),
                "o": Out(stream.Signature(layouts.tape_word)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        depth = self.config.ring_words
        m.submodules.words = words = Ram(depth, self.layouts.word)
        queue = ResetInserter(self.restart)(Queue(self.layouts.tape_word, _QUEUE))
        walk = ResetInserter(self.restart)(Walk(self.config, depth))
        m.submodules.queue, m.submodules.walk = queue, walk
        connect_stream(m, queue.o, self.o)
        connect_stream(m, self.i_play, walk.i)
        place = walk.o.payload

        # Words that are held (from the first of the play on), and those that may be read.
        held, ready = Signal(range(depth + 1)), Signal(range(depth + 1))
        written, freed, reads, full = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            self.space.eq(depth - held),
            words.write.enable.eq(transfers(self.i)),
            words.write.data.eq(self.i.payload),
        ]
        with m.If(transfers(self.i)):
            address = words.write.address
            m.d.sync += address.eq(Mux(address == depth - 1, 0, address + 1))
        # A word can be read on the clock after its write, and its place be written on the second
        # one after its last read: what is read depends on too much to be counted on its clock.
        m.d.sync += [written.eq(transfers(self.i)), freed.eq(reads & place.tag.final)]
        m.d.sync += held.eq(held + transfers(self.i) - freed)
        fills = (held == depth) | ((held == depth - 1) & transfers(self.i))
        m.d.sync += full.eq(fills & ~freed)

        room = Signal(range(_QUEUE + 1), init=_QUEUE)
        m.d.comb += [
            walk.last.eq(depth - 1),
            walk.o.ready.eq((ready != 0) & (room != 0)),
            words.read.address.eq(place.address),
            reads.eq(transfers(walk.o)),
        ]
        # Going back makes the play's words, which are all held, ready once more.
        again = reads & place.tag.end & ~place.tag.final
        m.d.sync += ready.eq(ready + written - reads + Mux(again, place.words, 0))

        in_flight = Signal()
        m.d.sync += [in_flight.eq(reads), room.eq(room - reads + transfers(queue.o))]
        m.d.sync += queue.i.payload.tag.eq(place.tag)
        m.d.comb += [queue.i.valid.eq(in_flight), queue.i.payload.word.eq(words.read.data)]
        with m.If(self.restart):
            m.d.sync += [
                words.write.address.eq(0), held.eq(0), ready.eq(0), written.eq(0), freed.eq(0),
                in_flight.eq(0), room.eq(_QUEUE),
            ]  # fmt: skip
        return m
