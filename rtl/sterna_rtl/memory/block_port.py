"""BlockPort: single blocks of external memory, as the loader has them."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.memories import External
from sterna_rtl.lib.stream import transfers

from .visits import request_layout

__all__ = ["BlockPort", "block_layout"]


def block_layout(part: External) -> StructLayout:
    """Return a request for one block: to `write` its `data`, or to read it."""
    return StructLayout({"write": 1, "block": range(part.blocks), "data": part.block_bits})


class BlockPort(Component):
    """Write and read one block at a time.

    What was taken is done, whatever happens to whoever asked: the controller, which is not reset,
    always gets all of a block's words.

    Parameters
    ----------
    part : External

    Attributes
    ----------
    i : stream.Interface
        `block_layout`.
    o : stream.Interface
        The block read. Registered.
    restart : Signal, in
        Drop a block that has been asked for, even one on `o` that waits.
    o_request : stream.Interface
        `request_layout`. Registered.
    o_word : stream.Interface
        Words to write. Registered.
    i_word : stream.Interface
        Words read; always ready.

    Latency
        1 clock from `i` to the request, 2 from the last word to `o`.

    Throughput
        A block to write every 9 clocks if the controller takes its words.

    Backpressure
        One block at a time: `i.ready` comes from registers.
    """

    def __init__(self, part: External) -> None:
        self.part = part
        super().__init__(
            {
                "i": In(stream.Signature(block_layout(part))),
                "o": Out(stream.Signature(part.block_bits)),
                "restart": In(1),
                "o_request": Out(stream.Signature(request_layout(part))),
                "o_word": Out(stream.Signature(part.word_bits)),
                "i_word": In(stream.Signature(part.word_bits)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        data = Signal(self.part.block_bits, reset_less=True)
        words = Signal(range(self.part.block_words + 1))  # that are still to be written or read
        reading, dropping, moves = Signal(), Signal(), Signal()
        # The memory's words are known late in their clock.
        came, word = Signal(), Signal(self.part.word_bits, reset_less=True)
        m.d.sync += [came.eq(self.i_word.valid), word.eq(self.i_word.payload)]
        request = self.o_request.payload
        m.d.comb += [
            self.i.ready.eq((words == 0) & ~self.o_request.valid & ~self.o.valid),
            self.o.payload.eq(data),
            self.o_word.payload.eq(data),
            moves.eq((words != 0) & ~self.o.valid),
            self.o_word.valid.eq(moves & ~reading),
            self.i_word.ready.eq(1),
            request.blocks.eq(1),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(transfers(self.o_request)):
            m.d.sync += self.o_request.valid.eq(0)
        with m.If(transfers(self.o_word) | (moves & reading & came)):
            joined = Cat(data, word)
            m.d.sync += [words.eq(words - 1), data.eq(joined[self.part.word_bits :])]
            with m.If(reading & (words == 1)):
                m.d.sync += self.o.valid.eq(~dropping)
        with m.If(transfers(self.i)):
            m.d.sync += [
                self.o_request.valid.eq(1),
                request.write.eq(self.i.payload.write),
                request.block.eq(self.i.payload.block),
                data.eq(self.i.payload.data),
                words.eq(self.part.block_words),
                reading.eq(~self.i.payload.write),
                dropping.eq(0),
            ]
        with m.If(self.restart):
            m.d.sync += [self.o.valid.eq(0), dropping.eq(1)]
        return m
