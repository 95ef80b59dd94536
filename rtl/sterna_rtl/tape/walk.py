"""Walk: the places of a tape's RAM in the order in which plays want their words."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Walk"]


class Walk(Component):
    """Turn plays into places, one for each word.

    A play goes on where the one before ended, from the last place to the first; one of several
    times goes back to its first place, so that each slot gets the words.

    Parameters
    ----------
    config : ChipConfig
    depth : int
        Places of the RAM.

    Attributes
    ----------
    last : Signal, in
        The place that place 0 follows. May change while nothing has been given since a reset.
    i : stream.Interface
        `Layouts.play`, of one word or more and one time or more. Two are taken ahead.
    o : stream.Interface
        `Layouts.place`.

    Latency
        2 clocks from a play to its first place.

    Throughput
        A place per clock, also from play to play.
    """

    def __init__(self, config: ChipConfig, depth: int) -> None:
        layouts = Layouts(config)
        super().__init__(
            {
                "last": In(range(max(depth, 2))),
                "i": In(stream.Signature(layouts.play)),
                "o": Out(stream.Signature(layouts.place(depth))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.plays = plays = Queue(self.i.payload.shape(), 2)
        connect_stream(m, self.i, plays.i)
        play, place = plays.o.payload, self.o.payload
        address, first = Signal.like(place.address), Signal.like(place.address)
        words, header = Signal.like(play.words), Signal()
        # To come after this word and after this time, less one: the sign bit says that none does.
        left, again = Signal(signed(len(play.words) + 1)), Signal(signed(len(play.times) + 1))
        following = Mux(address == self.last, 0, address + 1)
        m.d.comb += [
            place.address.eq(address),
            place.words.eq(words),
            place.tag.header.eq(header),
            place.tag.end.eq(left[-1]),
            place.tag.final.eq(again[-1]),
            plays.o.ready.eq(~self.o.valid | (self.o.ready & left[-1] & again[-1])),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += [address.eq(following), left.eq(left - 1)]
            with m.If(left[-1]):
                m.d.sync += [left.eq(words - 2), again.eq(again - 1)]
                with m.If(~again[-1]):
                    m.d.sync += address.eq(first)
        with m.If(plays.o.ready):
            m.d.sync += [
                self.o.valid.eq(plays.o.valid),
                header.eq(play.header),
                words.eq(play.words),
                left.eq(play.words - 2),
                again.eq(play.times - 2),
                first.eq(Mux(self.o.valid, following, address)),
            ]
        return m
