"""TapeFetch: the tape in external memory, read round and round."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.memories import External
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import can_load, connect_stream, transfers
from sterna_rtl.memory.visits import request_layout

__all__ = ["TapeFetch"]

_STEPS = 3
"""Clocks from a change of what is asked for to the next request's: left, count, fits."""


class TapeFetch(Component):
    """Ask for the tape's blocks in order and put its words together.

    The tape begins with block 0. A tape word begins with a memory word, lowest bits first, and
    fills as many as it needs; after the last one the rest of the block is skipped. Configurations
    whose words fill theirs waste nothing.

    Blocks are asked for only if the ring has room for all of their words. So the memory never
    waits for the ring, which may be full until a row of the embedding comes that stands behind
    these words.
    A request is for a quarter of the ring at most, and ends with a row, so that other readers can
    come in between.

    Parameters
    ----------
    config : ChipConfig
    part : External

    Attributes
    ----------
    length : Signal, in
        Tape words, 1 or more. May change while `restart` is up.
    blocks : Signal, in
        Blocks that hold them; 0: nothing is asked for. May change while `restart` is up.
    restart : Signal, in
        Begin anew with the first word; drop what is asked for, even a word on `o` that waits.
    space : Signal, in
        Words that the ring has room for; those on `o` are not in it.
    o_request : stream.Interface
        `request_layout`. Registered. At most two of these are asked for ahead, one every 6 clocks.
    i : stream.Interface
        The words of the memory. `i.ready` comes from a register, and stays up as the ring keeps
        `o.ready` up.
    o : stream.Interface
        Tape words. Registered.

    Latency
        2 clocks from a word's last piece.

    Throughput
        A piece per clock, from word to word and round to round but for the rest of a block.
    """

    def __init__(self, config: ChipConfig, part: External) -> None:
        self.config = config
        self.part = part
        self.pieces = -(-config.word_bits // part.word_bits)
        quarter = max(1, config.ring_words * self.pieces // part.block_words // 4)
        # Blocks of a request: a power of two, so that they divide a row.
        self.most = min(part.row_blocks, 1 << quarter.bit_length() - 1)
        super().__init__(
            {
                "length": In(range(part.words + 1)),
                "blocks": In(range(part.blocks + 1)),
                "space": In(range(config.ring_words + 1)),
                "restart": In(1),
                "o_request": Out(stream.Signature(request_layout(part))),
                "i": In(stream.Signature(part.word_bits)),
                "o": Out(stream.Signature(Layouts(config).word)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # They are known late in their clock, and the enables of a tape's word are many.
        m.submodules.words = words = Queue(self.part.word_bits, 2)
        connect_stream(m, self.i, words.i)
        dropping = Signal(init=1)
        part = Signal(range(self.part.block_words))  # words of the block that have come
        m.d.sync += part.eq(part + transfers(words.o))
        ends = part == self.part.block_words - 1
        asked = self._requests(m, dropping, transfers(words.o) & ends)
        with m.If(asked == 0):
            m.d.sync += dropping.eq(0)
        with m.If(self.restart):
            m.d.sync += dropping.eq(1)
        self._words(m, words.o, dropping, ends)
        return m

    def _requests(self, m: Module, dropping: Signal, came: Value) -> Signal:
        """Ask part by part; return the number of blocks that are still to come."""
        most = self.most
        asked = Signal(range(2 * most + 1))
        part = Signal(range(max(self.part.blocks // most, 2)))  # of the tape: `most` blocks
        at = Cat(C(0, exact_log2(most)), part)
        # What the next request depends on is worked out in steps, a register each; `settled` says
        # that all of them know of the last one. What has come meanwhile was asked for and moved
        # from `asked` to the ring, so that what is known to fit still fits.
        settled = Signal(_STEPS)
        some, few, fits = Signal(), Signal(), Signal()
        left, count = Signal.like(self.blocks), Signal(range(most + 1))
        # A word on `o`, two that left it since `space` was true, and one that is not complete.
        away = 4
        space = Signal.like(self.space)
        room = Signal(range(self.config.ring_words * self.pieces // self.part.block_words + 1))
        m.d.sync += [
            settled.eq(Cat(C(1, 1), settled)),
            some.eq(self.blocks != 0),
            few.eq(asked <= most),
            left.eq(self.blocks - at),
            count.eq(Mux(left < most, left, most)),
            space.eq(Mux(self.space > away, self.space - away, 0)),
            room.eq(space * self.pieces // self.part.block_words),
            fits.eq((asked + count <= room) & few & some),
        ]
        loads = settled[-1] & fits & ~self.o_request.valid
        m.d.sync += asked.eq(asked + Mux(loads, count, 0) - came)
        with m.If(transfers(self.o_request)):
            m.d.sync += self.o_request.valid.eq(0)
        with m.If(loads):
            m.d.sync += [
                self.o_request.valid.eq(1),
                self.o_request.payload.block.eq(at),
                self.o_request.payload.blocks.eq(count),
                part.eq(Mux(left <= most, 0, part + 1)),
                settled.eq(0),
            ]
        with m.If(self.restart):
            m.d.sync += part.eq(0)
        with m.If(self.restart | dropping):
            m.d.sync += settled.eq(0)
        return asked

    def _words(self, m: Module, words, dropping: Signal, ends: Value) -> None:
        """Shift the pieces through the output register."""
        pieces = self.pieces
        data = Signal(pieces * self.part.word_bits, reset_less=True)
        piece, left = Signal(range(pieces)), Signal.like(self.length)
        skipping = Signal()  # the rest of the last block
        last = piece == pieces - 1
        m.d.comb += [self.o.payload.eq(data), words.ready.eq(can_load(self.o))]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(transfers(words) & skipping):
            m.d.sync += skipping.eq(~ends)
        with m.Elif(transfers(words)):  # one to be dropped only moves others away
            m.d.sync += [
                data.eq(Cat(data, words.payload)[self.part.word_bits :]),
                piece.eq(Mux(last, 0, piece + 1)),
                self.o.valid.eq(last),
            ]
            with m.If(last):
                m.d.sync += left.eq(Mux(left == 1, self.length, left - 1))
                m.d.sync += skipping.eq((left == 1) & ~ends)
        with m.If(dropping | self.restart):
            m.d.sync += [self.o.valid.eq(0), piece.eq(0), skipping.eq(0), left.eq(self.length)]
