"""A sequencer on any tape, well-formed or hostile: it always goes on, or says why not."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.tape import header_words
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import transfers

__all__ = ["GoesOn", "Stops"]

_JOBS = ("o_quantizer", "o_engine", "o_epilogue", "o_embedding", "o_sampler")


class Fed(Component):
    """A sequencer that gets what it asks for, with anything in it.

    A play of a header is as many words as a header has; one of other words as many as the solver
    likes, for how many are asked for comes from the tape. Two plays are taken ahead, as `Walk`
    does. Whoever is on the other side of a port may wait, but for while `willing` is up.
    """

    def __init__(self, config: ChipConfig, unit) -> None:
        self.unit = unit(config)
        self.count = header_words(config.word_bits)
        layouts = Layouts(config)
        super().__init__(
            {
                "word": In(layouts.word),
                "ends": In(2),
                "pass_": In(layouts.pass_),
                "moves": In(4 + len(_JOBS)),
                "willing": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        m.submodules.plays = plays = Queue(1, 2)
        moves = self.moves | self.willing.replicate(len(self.moves))
        left = Signal(range(self.count), init=self.count - 1)
        tag = unit.i.payload.tag
        m.d.comb += [
            *(getattr(unit, name).ready.eq(moves[n]) for n, name in enumerate(_JOBS)),
            unit.o.ready.eq(moves[-1]),
            unit.i_pass.valid.eq(moves[-2]),
            unit.i_pass.payload.eq(self.pass_),
            plays.i.valid.eq(unit.o_play.valid & moves[-3]),
            plays.i.payload.eq(unit.o_play.payload.header),
            unit.o_play.ready.eq(plays.i.ready & moves[-3]),
            unit.i.valid.eq(plays.o.valid & moves[-4]),
            unit.i.payload.word.eq(self.word),
            tag.header.eq(plays.o.valid & plays.o.payload),
            tag.end.eq(Mux(tag.header, left == 0, self.ends[0])),
            tag.final.eq(tag.header | self.ends[1]),
            plays.o.ready.eq(transfers(unit.i) & tag.end & tag.final),
        ]
        with m.If(transfers(unit.i) & tag.header):
            m.d.sync += left.eq(Mux(tag.end, self.count - 1, left - 1))
        return m


class _Watched(Component):
    """A fed sequencer, and what must never be."""

    def __init__(self, config: ChipConfig, unit) -> None:
        self.fed = Fed(config, unit)
        super().__init__({**self.fed.signature.members, "bad": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.fed = self.fed
        m.d.comb += [
            getattr(self.fed, name).eq(getattr(self, name)) for name in self.fed.signature.members
        ]
        m.d.comb += self.bad.eq(self.watch(m, self.fed.unit))
        return m

    def watch(self, m: Module, unit) -> Value:
        """Return what must never be."""
        raise NotImplementedError


class GoesOn(_Watched):
    """While its neighbours are willing, the next word passes within 12 clocks, also after a reset.

    Unless a header was none: then the sequencer has stopped, and says so. A reset, as every input,
    may come on any clock.
    """

    def watch(self, m: Module, unit) -> Value:
        still = Signal(range(13))
        with m.If(~self.willing | transfers(unit.i) | unit.faults.header):
            m.d.sync += still.eq(0)
        with m.Elif(still != 12):
            m.d.sync += still.eq(still + 1)
        return still == 12


class Stops(_Watched):
    """After a header that is none, no header is taken, no words are asked for, no pass begins.

    What still passes are words and jobs of the segments before. Only a reset ends this.
    """

    def watch(self, m: Module, unit) -> Value:
        stopped = Signal()
        m.d.sync += stopped.eq(unit.faults.header)
        takes = transfers(unit.i) & unit.i.payload.tag.header
        return stopped & (takes | unit.o_play.valid | unit.i_pass.ready | ~unit.faults.header)
