"""EmbeddingFetch: rows of the embedding from external memory."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.memories import External
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.skid import Skid
from sterna_rtl.lib.stream import can_load, connect_stream, transfers
from sterna_rtl.memory.visits import request_layout

__all__ = ["EmbeddingFetch"]

_HALF = 8
"""Blocks of a request at most: half of what the queue holds, so that one half fills while the other
is given."""


class EmbeddingFetch(Component):
    """Ask for the blocks of a token's row and put its words together.

    Rows lie one after the other behind `base`, each from the beginning of a block on, E elements a
    word, lowest bits first; what a row leaves of its last block is skipped.

    Blocks are asked for only if the queue has room for all of their words. So the memory never
    waits for whoever takes `o`: tape words may stand behind these, and without them `o` would not
    move.

    Parameters
    ----------
    config : ChipConfig
    part : External

    Attributes
    ----------
    base : Signal, in
        Block with which the row of token 0 begins. May change while no row is asked for.
    restart : Signal, in
        Drop the row, even a word on `o` that waits, and what is asked for.
    i_row : stream.Interface
        `Layouts.embedding_row`, of one word or more. Taken once the row before has been given.
    o_request : stream.Interface
        `request_layout`. Registered.
    i : stream.Interface
        The words of the memory. `i.ready` comes from a register and is up when words come.
    o : stream.Interface
        `Layouts.embedding_word`.

    Latency
        6 clocks from a row to its request; 2 from a word's last piece.

    Throughput
        A piece, or a word if it is smaller, per clock.
    """

    def __init__(self, config: ChipConfig, part: External) -> None:
        self.config = config
        self.part = part
        self.layouts = layouts = Layouts(config)
        self.bits = config.elements * config.embedding_bits
        super().__init__(
            {
                "base": In(range(part.blocks)),
                "restart": In(1),
                "i_row": In(stream.Signature(layouts.embedding_row)),
                "o_request": Out(stream.Signature(request_layout(part))),
                "i": In(stream.Signature(part.word_bits)),
                "o": Out(stream.Signature(layouts.embedding_word)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self.part.word_bits, 2 * _HALF * self.part.block_words)
        connect_stream(m, self.i, queue.i)
        busy, dropping = Signal(), Signal()
        row = Signal(self.layouts.embedding_row)
        left = Signal.like(row.words)  # words that have not been given
        last, none = Signal(), Signal()  # one is left, or none: known a clock before it matters
        m.d.comb += self.i_row.ready.eq(~busy & ~self.restart)
        with m.If(transfers(self.i_row)):
            taken = self.i_row.payload
            m.d.sync += [busy.eq(1), row.eq(taken), left.eq(taken.words)]
            m.d.sync += [last.eq(taken.words == 1), none.eq(0)]

        # Of the word that leaves the queue, in its block.
        place = Signal(range(self.part.block_words))
        m.d.sync += place.eq(place + transfers(queue.o))
        ends = place == self.part.block_words - 1
        idle = self._requests(m, busy, row, transfers(queue.o) & ends)
        with m.If(self.restart):
            m.d.sync += dropping.eq(busy)
        with m.If(idle & busy & (dropping | none)):
            m.d.sync += [busy.eq(0), dropping.eq(0)]
        whole = self._words(m, queue.o, dropping, dropping | none, last)
        with m.If(whole):
            m.d.sync += [left.eq(left - 1), last.eq(left == 2), none.eq(last)]
        return m

    def _requests(self, m: Module, busy: Signal, row, freed: Value) -> Value:
        """Ask for a row; return whether all has come that was asked for."""
        free = Signal(range(2 * _HALF + 1), init=2 * _HALF)
        # Steps, a register each: size, product, place; then for each request count and whether it
        # may be asked for. Both are late on the clock after a request, which still waits then.
        blocks, at = Signal(range(self.part.blocks)), Signal(range(self.part.blocks))
        sized, multiplied, placed = Signal(), Signal(), Signal()
        product = Signal.like(at, reset_less=True)
        count, may = Signal(range(_HALF + 1)), Signal()
        block_bits = self.part.block_bits
        if self.bits <= block_bits:
            words = block_bits // self.bits
            needed = (row.words + words - 1) >> exact_log2(words)
        else:
            needed = row.words << exact_log2(self.bits // block_bits)
        asks = may & ~self.o_request.valid
        m.d.sync += [
            product.eq(row.token * blocks),
            count.eq(Mux(blocks > _HALF, _HALF, blocks)),
            may.eq(placed & (blocks != 0) & (free >= _HALF)),
            free.eq(free + freed - Mux(asks, count, 0)),
        ]
        with m.If(transfers(self.o_request)):
            m.d.sync += self.o_request.valid.eq(0)
        with m.If(busy & ~sized):
            m.d.sync += [sized.eq(1), blocks.eq(needed)]
        with m.If(busy & sized):
            m.d.sync += multiplied.eq(1)
        with m.If(multiplied & ~placed):
            m.d.sync += [placed.eq(1), at.eq(self.base + product)]
        with m.If(asks):
            m.d.sync += [
                self.o_request.valid.eq(1),
                self.o_request.payload.block.eq(at),
                self.o_request.payload.blocks.eq(count),
                at.eq(at + count),
                blocks.eq(blocks - count),
            ]
        with m.If(self.restart):
            m.d.sync += [sized.eq(1), placed.eq(1), blocks.eq(0), may.eq(0)]
        with m.If(transfers(self.i_row)):
            m.d.sync += [sized.eq(0), multiplied.eq(0), placed.eq(0)]
        return free == 2 * _HALF

    def _words(self, m: Module, words, dropping: Signal, skips: Value, last: Signal) -> Signal:
        """Join pieces to words, or part them; return whether a word is whole."""
        clear = self.restart | dropping
        m.submodules.out = out = ResetInserter(clear)(Skid(self.o.payload.shape()))
        connect_stream(m, out.o, self.o)
        word_bits = self.part.word_bits
        parts = max(self.bits, word_bits) // min(self.bits, word_bits)
        data = Signal(self.bits, reset_less=True)
        part = Signal(range(parts))
        moves, whole, takes = Signal(), Signal(), Signal()
        m.d.comb += [
            Value.cast(out.i.payload).eq(data),
            moves.eq(words.valid & ~skips & can_load(out.i)),
            words.ready.eq(takes | skips),
        ]
        with m.If(transfers(out.i)):
            m.d.sync += out.i.valid.eq(0)
        if self.bits >= word_bits:
            m.d.comb += [takes.eq(moves), whole.eq(moves & (part == parts - 1))]
            joined = Cat(data, words.payload)[word_bits:]
        else:
            m.d.comb += [takes.eq(moves & ((part == parts - 1) | last)), whole.eq(moves)]
            joined = words.payload.word_select(part, self.bits)
        with m.If(moves):
            m.d.sync += [data.eq(joined), part.eq(Mux(takes & whole, 0, part + 1))]
        with m.If(whole):
            m.d.sync += out.i.valid.eq(1)
        with m.If(clear):
            m.d.sync += [out.i.valid.eq(0), part.eq(0)]
        return whole
