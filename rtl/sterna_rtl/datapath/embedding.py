"""Embedding: a token's row from RAM or external memory, and its scale from side RAM A."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import SCALE_BITS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Embedding"]

_QUEUE = BankedRam.latency + 3
"""Room for the words in flight at one a clock, and for the clock in which a credit comes back."""


class Embedding(Component):
    """Fetch the row of a token: `source_words` words, from word ``token * source_words`` on.

    If the configuration has a memory, the row comes from there (`EmbeddingFetch`).

    The scale of token t is element t % E of word ``vector_q + t // E`` of side RAM A. It is read
    a clock before the row, is there in time and goes with each of the row's words.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_token, i_job : stream.Interface
        Taken together: a row begins when there is one of each.
    o : stream.Interface
        The row, E elements a word.
    vector_read : ReadPort
        Side RAM A, data `side_clocks` after the address.
    wait : Signal, in
        Somebody else needs side RAM A on this clock.
    reads : Signal, out
        High in the clock in which the address of `vector_read` counts, once for each row.
    read : ReadPort
        Any word, while no row is being read; its data come `BankedRam.latency` clocks after the
        address. Without a memory.
    write : WritePort
        Loads the embedding RAM, which is part of this unit. A word must not be written while it
        may be read. Without a memory.
    o_row : stream.Interface
        `Layouts.embedding_row`: the row that is wanted. Registered. With a memory.
    i_row : stream.Interface
        Its words. `i_row.ready` comes from registers. With a memory.

    Latency
        From token and job to the first word: 7 clocks, and those of `wait`. With a memory 1 to the
        row that is wanted, and 1 from a word to `o`.

    Throughput
        One word a clock within a row.

    Backpressure
        Credits: a word is read only if the queue has room for it and for all in flight. Words of a
        memory wait for room.

    Resources
        The RAM, a `BankedRam`.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        super().__init__(
            {
                "i_token": In(stream.Signature(layouts.token)),
                "i_job": In(stream.Signature(layouts.embedding_job)),
                "o": Out(stream.Signature(layouts.embedding)),
                "vector_read": Out(ReadPort(config.vector_a_words, layouts.vector)),
                "wait": In(1),
                "reads": Out(1),
                **(self._memory_ports() if config.memory else self._ram_ports()),
            }
        )

    def _ram_ports(self) -> dict:
        words, shape = self.config.embedding_words, self.layouts.embedding_word
        return {"read": In(ReadPort(words, shape)), "write": In(WritePort(words, shape))}

    def _memory_ports(self) -> dict:
        layouts = self.layouts
        return {
            "o_row": Out(stream.Signature(layouts.embedding_row)),
            "i_row": In(stream.Signature(layouts.embedding_word)),
        }

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self.layouts.embedding, _QUEUE)
        connect_stream(m, queue.o, self.o)
        # A word of the row can be begun, it is, it is the last one.
        can, begin, last = Signal(), Signal(), Signal()
        idle, reading = Signal(), Signal()

        token, job = self.i_token.payload, self.i_job.payload
        lane_bits = exact_log2(self.config.elements)
        lane = Signal(lane_bits)
        scale = Signal(SCALE_BITS)
        word = Signal(range(max(self.config.embedding_words, 2)))
        # Always at work, so that it can be the multiplier's own register.
        first_word = Signal.like(word, reset_less=True)
        m.d.sync += first_word.eq(token * job.source_words)
        taken = Signal()
        m.d.sync += taken.eq(transfers(self.i_token))
        with m.If(taken):
            m.d.sync += word.eq(first_word)
        # The next row may begin before this one's scale is there.
        asked = delay_line(m, Cat(self.reads, lane), self.config.side_clocks, "asked")
        scales_come = Cat(clock[0] for clock in asked[1:])
        with m.If(scales_come[-1]):
            m.d.sync += scale.eq(self.vector_read.data[asked[-1][1:]])
        left = Signal.like(job.source_words)  # words of the row that have not been read
        m.d.comb += last.eq(left == 1)
        with m.FSM(name="embedding"):
            with m.State("IDLE"):
                m.d.comb += idle.eq(1)
                with m.If(self.i_token.valid & self.i_job.valid):
                    m.d.comb += [self.i_token.ready.eq(1), self.i_job.ready.eq(1)]
                    m.d.sync += [lane.eq(token[:lane_bits]), left.eq(job.source_words)]
                    m.d.sync += self.vector_read.address.eq(job.vector_q + token[lane_bits:])
                    m.next = "SCALES"
            with m.State("SCALES"):
                m.d.comb += self.reads.eq(~self.wait)
                with m.If(~self.wait):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [reading.eq(1), begin.eq(can)]
                with m.If(begin):
                    m.d.sync += [word.eq(word + 1), left.eq(left - 1)]
                    with m.If(last):
                        m.next = "IDLE"

        # The next row's scale comes after this row's last word has entered the queue.
        row = queue.i.payload
        m.d.comb += row.scale.eq(scale)
        if self.config.memory:
            # Words may be there before the scale.
            ready = reading & ~scales_come.any() & queue.i.ready & ~self.o_row.valid
            m.d.comb += [
                self.i_row.ready.eq(ready),
                can.eq(transfers(self.i_row)),
                Cat(queue.i.valid, row.last).eq(Cat(begin, last)),
            ]
            # The row before has been asked for since its words have come.
            wanted = self.o_row.payload
            with m.If(transfers(self.o_row)):
                m.d.sync += self.o_row.valid.eq(0)
            with m.If(transfers(self.i_token)):
                m.d.sync += self.o_row.valid.eq(1)
                m.d.sync += [wanted.token.eq(token), wanted.words.eq(job.source_words)]
            words = self.i_row.payload
        else:
            self._by_credits(m, queue, can, begin, last)
            config = self.config
            m.submodules.ram = ram = BankedRam(config.embedding_words, self.layouts.embedding_word)
            m.d.comb += [
                ram.read.address.eq(Mux(idle, self.read.address, word)),
                ram.write.enable.eq(self.write.enable),
                ram.write.address.eq(self.write.address),
                ram.write.data.eq(self.write.data),
                self.read.data.eq(ram.read.data),
            ]
            words = ram.read.data
        for element, stored in zip(row.elements, words, strict=True):
            m.d.comb += element.eq(stored)
        return m

    def _by_credits(
        self, m: Module, queue: Queue, can: Signal, begin: Signal, last: Signal
    ) -> None:
        """Begin a word if there is room for it; it enters the queue when it has been read."""
        used = Signal(range(_QUEUE + 1))  # words in flight or in the queue
        m.d.sync += used.eq(used + begin - transfers(queue.o))
        m.d.comb += can.eq(used != _QUEUE)
        flags = delay_line(m, Cat(begin, last), BankedRam.latency, "flags")
        m.d.comb += Cat(queue.i.valid, queue.i.payload.last).eq(flags[-1])
