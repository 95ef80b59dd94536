"""DmaTape: the tape out of the host's memory, and results into it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.dma import (
    BEATS_SHIFT,
    BUSY,
    FIRST_REGISTER,
    LARGE,
    REQUEST_BLOCKS,
    THERE,
    DmaError,
    DmaRegister,
    HostMemory,
)
from sterna.spec.pcie import BEAT_BITS
from sterna_rtl.control.registers import BEFORE_REGISTERS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.pcie.block import rc_beat, rq_beat
from sterna_rtl.pcie.dma_reader import PATIENCE, DmaReader
from sterna_rtl.pcie.dma_writer import DmaWriter
from sterna_rtl.pcie.packets import PacketMerge
from sterna_rtl.pcie.pages import DmaPages
from sterna_rtl.pcie.results import ResultReader
from sterna_rtl.tape.fetch import TapeFetch

__all__ = ["DmaTape"]


class DmaTape(Component):
    """Stand before a chip's registers, give it the tape and the host its results.

    See `sterna.spec.dma`.

    Parameters
    ----------
    config : ChipConfig
        With a ring and no memory.
    width : int
        Bits of a beat.
    patience : int
        See `DmaReader`.

    Attributes
    ----------
    i, o : stream.Interface
        Register requests and answers, as of `Registers`.
    refused : Signal, out
    o_request, i_answer, i_refused
        The chip's registers; those for DMA do not come there.
    clear : Signal, in
        Up for one clock: stop, as a write of 0 to RUN does.
    length, space, restart : Signal, in
        Tape words, 0 for none; the ring's room; the tape is to begin anew.
    o_word : stream.Interface
        Tape words. Registered.
    rq, rc : stream.Interface
        `rq_beat` and `rc_beat`.
    longest : Signal, in
        The block's `cfg_max_read_req`: the longest read is of 128 bytes times two to its power.

    Latency
        A write to a register for DMA 1 clock, a read 2; others as long as the chip takes.
    """

    def __init__(self, config: ChipConfig, width: int, patience: int = PATIENCE) -> None:
        self.memory = HostMemory(width)
        self.pages = DmaPages(self.memory)
        self.reader = DmaReader(width, patience)
        self.fetch = TapeFetch(config, self.memory)
        self.results = ResultReader()
        self.writer = DmaWriter(width)
        self.packets = PacketMerge(width)
        super().__init__(
            {
                **BEFORE_REGISTERS,
                "clear": In(1),
                "length": In(24),
                "space": In(range(config.ring_words + 1)),
                "restart": In(1),
                "o_word": Out(stream.Signature(Layouts(config).word)),
                "rq": Out(stream.Signature(rq_beat(width))),
                "rc": In(stream.Signature(rc_beat(width))),
                "longest": In(3),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        pages, reader, fetch = self.pages, self.reader, self.fetch
        results, writer = self.results, self.writer
        m.submodules.pages, m.submodules.reader, m.submodules.fetch = pages, reader, fetch
        m.submodules.results, m.submodules.writer = results, writer
        m.submodules.packets = packets = self.packets
        connect_stream(m, fetch.o_request, pages.i_reads)
        connect_stream(m, writer.o_request, pages.i_writes)
        connect_stream(m, pages.o_reads, reader.i)
        connect_stream(m, pages.o_writes, writer.i_place)
        connect_stream(m, reader.rq, packets.i_reads)
        connect_stream(m, writer.rq, packets.i_writes)
        connect_stream(m, packets.o, self.rq)
        connect_stream(m, reader.o, fetch.i)
        connect_stream(m, fetch.o, self.o_word)
        connect_stream(m, self.rc, reader.rc)
        connect_stream(m, results.o_request, self.o_request)
        connect_stream(m, self.i_answer, results.i_answer)
        connect_stream(m, results.o_result, writer.i)
        run, blocks, busy = Signal(), Signal.like(fetch.blocks), Signal()
        # On the clock on which RUN falls the fetch may still ask.
        ran = Signal()
        m.d.sync += ran.eq(run)
        # Even the longest read is a small part of what a host allows at most.
        m.d.sync += pages.longest.eq(Mux(self.longest < 2, 1 << self.longest[0], REQUEST_BLOCKS))
        m.d.comb += [
            fetch.length.eq(self.length),
            fetch.blocks.eq(blocks),
            fetch.space.eq(self.space),
            fetch.restart.eq(self.restart | ~run | (self.length == 0) | reader.errors.any()),
            busy.eq(
                (ran & ~run) | fetch.o_request.valid | pages.busy | ~reader.idle | ~writer.idle
            ),
            pages.locked.eq(run | busy),
            results.run.eq(run & (pages.ring != 0)),
            results.clear.eq(self.clear),
            results.i_refused.eq(self.i_refused),
            writer.run.eq(run),
            writer.ring.eq(pages.ring),
        ]

        request, own = self.i.payload, self.i.payload.address >= FIRST_REGISTER
        m.d.comb += [
            results.i.payload.eq(request),
            results.i.valid.eq(self.i.valid & ~own),
            self.i.ready.eq(results.i.ready),
            self.refused.eq(results.refused & ~own),
            self.o.payload.eq(results.o.payload),
            self.o.valid.eq(results.o.valid),
            results.o.ready.eq(self.o.ready),
            pages.number.eq(request.address),
            pages.data.eq(request.data),
        ]
        answer, answers = Signal(32), Signal()
        with m.If(transfers(self.o)):
            m.d.sync += answers.eq(0)
        with m.If(answers):
            m.d.comb += [
                self.o.payload.eq(answer),
                self.o.valid.eq(1),
                results.o.ready.eq(0),
            ]
        with m.If(own):
            m.d.comb += self.i.ready.eq(~answers)
        with m.If(transfers(self.i) & own):
            m.d.sync += answers.eq(~request.write)
            m.d.comb += pages.write.eq(request.write)
            with m.Switch(request.address):
                with m.Case(DmaRegister.STATUS):
                    m.d.comb += reader.clear.eq(request.write)
                    beats = BEAT_BITS.index(self.memory.word_bits) << BEATS_SHIFT
                    outside = Mux(writer.outside, 1 << DmaError.OUTSIDE, 0)
                    said = reader.errors | outside | beats | Mux(busy, BUSY, 0) | THERE
                    m.d.sync += answer.eq(said)
                with m.Case(DmaRegister.RUN):
                    m.d.sync += answer.eq(run)
                    with m.If(request.write):
                        m.d.sync += run.eq(request.data[0] & (run | ~busy))
                with m.Case(DmaRegister.BLOCKS):
                    m.d.sync += answer.eq(blocks)
                    with m.If(request.write & ~pages.locked):
                        m.d.sync += blocks.eq(request.data)
                with m.Case(DmaRegister.RING):
                    m.d.sync += answer.eq(pages.ring)
                with m.Case(DmaRegister.TAKEN):
                    m.d.sync += answer.eq(writer.taken)
                    with m.If(request.write):
                        m.d.sync += writer.taken.eq(request.data)
                with m.Case(DmaRegister.PAGES):
                    m.d.sync += answer.eq(pages.pages | Mux(pages.large, LARGE, 0))
                with m.Case(DmaRegister.INDEX):
                    m.d.sync += answer.eq(pages.index)
                with m.Default():
                    m.d.sync += answer.eq(0)
        with m.If(self.clear):
            m.d.sync += run.eq(0)
        return m
