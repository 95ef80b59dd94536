"""The engine with its tape RAM and nothing else, to see what it costs and how fast it is."""

from __future__ import annotations

from amaranth import *

from sterna.spec.chip import ChipConfig
from sterna_rtl.datapath.engine import TernaryEngine
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.skid import Skid
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.tape.reader import TapeReader
from sterna_rtl.tape.unpack import Unpacker

__all__ = ["EngineAlone"]


class EngineAlone(Elaboratable):
    """TapeReader, Unpacker and TernaryEngine between two shift registers of one pin each.

    All that goes into the units comes from one, all that comes out is XORed into the other, so that
    nothing can be optimised away and no pin is on a path that counts.

    Parameters
    ----------
    config : ChipConfig
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.clk, self.i, self.o = Signal(), Signal(), Signal()
        self.ports = [self.clk, self.i, self.o]

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        m.submodules.reader = reader = TapeReader(self.config)
        m.submodules.unpacker = unpacker = Unpacker(self.config)
        m.submodules.engine = engine = TernaryEngine(self.config)
        m.submodules.words = words = Skid(Layouts(self.config).word)  # as in the chip
        m.d.comb += [
            words.i.valid.eq(reader.o.valid),
            words.i.payload.eq(reader.o.payload.word),
            reader.o.ready.eq(words.i.ready),
        ]
        connect_stream(m, words.o, unpacker.i)
        connect_stream(m, unpacker.o, engine.i_weights)

        inputs = [
            reader.length, reader.idle, reader.i_play.valid, reader.i_play.payload, reader.restart,
            reader.write.enable,
            reader.write.address, reader.write.data, engine.i_job.valid, engine.i_job.payload,
            engine.i_activations.valid, engine.i_activations.payload, engine.o.ready,
        ]  # fmt: skip
        outputs = [
            engine.o.valid, engine.o.payload, engine.i_job.ready, engine.i_activations.ready,
            engine.busy, engine.starved, engine.waiting, engine.blocked,
        ]  # fmt: skip
        # Two registers at each end: the shift itself is near the pins, not near the units.
        shift = Signal(sum(len(Value.cast(value)) for value in inputs), reset_less=True)
        held = Signal.like(shift, reset_less=True)
        m.d.sync += [shift.eq(Cat(self.i, shift)), held.eq(shift)]
        m.d.comb += Cat(Value.cast(value) for value in inputs).eq(held)

        seen = Signal(sum(len(Value.cast(value)) for value in outputs), reset_less=True)
        fold = Signal.like(seen, reset_less=True)
        m.d.sync += [
            seen.eq(Cat(Value.cast(value) for value in outputs)),
            fold.eq(Cat(self.i, fold) ^ seen),
            self.o.eq(fold[-1]),
        ]
        return m
