"""Arbiter: several who ask for blocks, one memory."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.memories import External
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import transfers

from .visits import request_layout

__all__ = ["Arbiter"]

_AHEAD = 4
"""Reads of which words are still to come: more than the controller takes ahead."""


class Arbiter(Component):
    """Pass requests on, one at a time, and give the words read to whoever asked.

    Priority is fixed. Nobody starves as long as each of the others asks for a limited number of
    blocks and takes their words at once. Words that are not taken hold up all words behind them: a
    reader should ask for no more than it has room for.

    Words to write do not pass here; who writes gives them to the controller itself.

    Parameters
    ----------
    part : External
    names : sequence of str
        Who asks, highest priority first.

    Attributes
    ----------
    i_NAME : stream.Interface
        `request_layout`. `ready` is up for a clock, when it is this one's turn.
    o_NAME : stream.Interface
        The words read, in the order of this one's requests. Combinational from `i_word`.
    o : stream.Interface
        `request_layout`, to the controller. Registered.
    i_word : stream.Interface
        The words that it reads. `ready` follows that of the reader.

    Latency
        2 clocks for a request, none for a word.

    Throughput
        A request every 3 clocks, a word per clock.
    """

    def __init__(self, part: External, names: Sequence[str]) -> None:
        self.part = part
        self.names = tuple(names)
        request, word = stream.Signature(request_layout(part)), stream.Signature(part.word_bits)
        super().__init__(
            {
                **{f"i_{name}": In(request) for name in self.names},
                **{f"o_{name}": Out(word) for name in self.names},
                "o": Out(request),
                "i_word": In(word),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        blocks = range(self.part.blocks + 1)
        read = StructLayout({"reader": range(len(self.names)), "blocks": blocks})
        m.submodules.reads = reads = Queue(read, _AHEAD)

        # First whose turn it is, then what is asked for: a request is for many clocks of words.
        turn = Signal(len(self.names))
        ports = [getattr(self, f"i_{name}") for name in self.names]
        free = ~self.o.valid & reads.i.ready & ~turn.any()
        m.d.sync += turn.eq(0)
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        for number, port in reversed(list(enumerate(ports))):
            m.d.comb += port.ready.eq(turn[number])
            with m.If(free & port.valid):
                m.d.sync += turn.eq(1 << number)
            with m.If(turn[number]):
                m.d.comb += [
                    reads.i.valid.eq(~port.payload.write),
                    reads.i.payload.reader.eq(number),
                    reads.i.payload.blocks.eq(port.payload.blocks),
                ]
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(port.payload)]

        # Words of the oldest read that have been given.
        given, word = Signal(range(self.part.blocks)), Signal(range(self.part.block_words))
        oldest = reads.o.payload
        # Known a clock later if a block is longer than that.
        last = Signal()
        domain = m.d.sync if self.part.block_words > 1 else m.d.comb
        domain += last.eq(given == oldest.blocks - 1)
        for number, name in enumerate(self.names):
            port = getattr(self, f"o_{name}")
            m.d.comb += port.payload.eq(self.i_word.payload)
            with m.If(reads.o.valid & (oldest.reader == number)):
                m.d.comb += [
                    port.valid.eq(self.i_word.valid),
                    self.i_word.ready.eq(port.ready),
                ]
        with m.If(transfers(self.i_word)):
            m.d.sync += word.eq(word + 1)
            with m.If(word == self.part.block_words - 1):
                m.d.comb += reads.o.ready.eq(last)
                m.d.sync += given.eq(Mux(last, 0, given + 1))
        return m
