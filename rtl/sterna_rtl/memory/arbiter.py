"""Arbiter: several who ask for blocks, one memory."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.memories import External
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import can_load, transfers

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
        `request_layout`. `ready` depends on those of higher priority.
    o_NAME : stream.Interface
        The words read, in the order of this one's requests. Combinational from `i_word`.
    o : stream.Interface
        `request_layout`, to the controller. Registered.
    i_word : stream.Interface
        The words that it reads. `ready` follows that of the reader.

    Latency
        1 clock for a request, none for a word.

    Throughput
        A request and a word per clock.
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

        loads = can_load(self.o) & reads.i.ready
        free: Value = C(1)  # nobody of higher priority asks
        chosen = Signal(self.o.payload.shape())
        m.d.comb += reads.i.payload.blocks.eq(chosen.blocks)
        with m.If(can_load(self.o)):
            m.d.sync += self.o.valid.eq(0)
        for number, name in enumerate(self.names):
            port, following = getattr(self, f"i_{name}"), Signal(name=f"free_{number}")
            m.d.comb += [port.ready.eq(loads & free), following.eq(free & ~port.valid)]
            with m.If(transfers(port)):
                m.d.comb += [
                    chosen.eq(port.payload),
                    reads.i.valid.eq(~port.payload.write),
                    reads.i.payload.reader.eq(number),
                ]
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(port.payload)]
            free = following

        # Words of the oldest read that have been given.
        given, word = Signal(blocks), Signal(range(self.part.block_words))
        oldest = reads.o.payload
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
                last = given == oldest.blocks - 1
                m.d.comb += reads.o.ready.eq(last)
                m.d.sync += given.eq(Mux(last, 0, given + 1))
        return m
