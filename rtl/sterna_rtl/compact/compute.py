"""Compute: tape, lanes and core, all of a small chip that works on vectors."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import COLUMNS, TAPE_WORDS
from sterna_rtl.compact.core import Core
from sterna_rtl.compact.lanes import Lanes
from sterna_rtl.compact.noise import Noise
from sterna_rtl.compact.tape import Tape
from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.stream import connect_stream

__all__ = ["Compute"]


class Compute(Component):
    """Execute programs and pass blocks of weights, for who says what and when.

    What the core gives to the engine is shifted into the lanes; the sums of a matrix' last block
    are the core's row sums. The first pass of `SUMS` may follow them from five clocks after that
    block's command on, for it takes a row a clock as the lanes do.

    Attributes
    ----------
    i, o : stream.Interface
        Commands of `Arithmetic` and what they leave.
    i_block : stream.Interface
        Blocks of `Lanes`, the weights of which come next on the tape.
    piece, loads, i_noise : Signal, in, and stream.Interface
        Of `Noise`, which writes behind the row sums.
    new_sums, new_place, new_shift : WritePort
        Of `Core`; no sum is written from outside while the lanes write theirs.
    peeked : Signal, out
        Of `Core`.
    seeks, tape_address : Signal, in
        Where the tape goes on; not during a block.
    new_tape : WritePort
        Words of the tape; not during a block.
    word, shows : Signal, out
        The next word of the tape, and whether it is shown.
    takes : Signal, in
        It is taken; not during a block.

    Latency, throughput, backpressure
        As of the parts.
    """

    def __init__(self) -> None:
        self.core = Core()
        self.lanes = Lanes()
        self.noise = Noise()
        bits = 2 * COLUMNS
        self.tape = Tape(TAPE_WORDS, bits)
        core = self.core.signature.members
        names = "i", "o", "new_sums", "new_place", "new_shift", "peeked"
        super().__init__(
            {
                **{name: core[name] for name in names},
                "i_block": self.lanes.signature.members["i_block"],
                "i_noise": self.noise.signature.members["i"],
                "piece": self.noise.signature.members["piece"],
                "loads": In(1),
                "seeks": In(1),
                "tape_address": In(range(TAPE_WORDS)),
                "new_tape": In(WritePort(TAPE_WORDS, bits)),
                "word": Out(bits),
                "shows": Out(1),
                "takes": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.core, m.submodules.lanes = core, lanes = self.core, self.lanes
        m.submodules.tape, m.submodules.noise = tape, noise = self.tape, self.noise
        connect_stream(m, self.i, core.i)
        connect_stream(m, core.o, self.o)
        connect_stream(m, self.i_block, lanes.i_block)
        connect_stream(m, self.i_noise, noise.i)
        m.d.comb += [
            Value.cast(lanes.i_words.payload).eq(tape.o.payload),
            lanes.i_words.valid.eq(tape.o.valid),
            tape.o.ready.eq(lanes.i_words.ready | self.takes),
            self.peeked.eq(core.peeked),
            self.word.eq(tape.o.payload),
            self.shows.eq(tape.o.valid),
            tape.seeks.eq(self.seeks),
            tape.address.eq(self.tape_address),
            lanes.shifts.eq(core.activation.enable),
            lanes.activation.eq(core.activation.data),
            noise.piece.eq(self.piece),
            noise.loads.eq(self.loads),
        ]
        # Noise waits for a clock on which no sum is written.
        sums, item = core.new_sums, noise.o.payload
        m.d.comb += [
            noise.o.ready.eq(~self.new_sums.enable & ~lanes.new_sums.enable),
            sums.enable.eq(self.new_sums.enable | lanes.new_sums.enable | noise.o.valid),
            sums.address.eq(Cat(item.element, C(1, 1))),
            sums.data.eq(item.noise),
        ]
        for given in (lanes.new_sums, self.new_sums):
            with m.If(given.enable):
                m.d.comb += [sums.address.eq(given.address), sums.data.eq(given.data)]
        pairs = [
            (core.new_place, self.new_place),
            (core.new_shift, self.new_shift),
            (tape.write, self.new_tape),
        ]
        for inside, outside in pairs:
            for part in ("enable", "address", "data"):
                m.d.comb += getattr(inside, part).eq(getattr(outside, part))
        return m
