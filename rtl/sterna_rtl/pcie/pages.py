"""DmaPages: the one place where addresses of the host's memory are made."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.dma import (
    BLOCK_BYTES,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    REQUEST_BLOCKS,
    TABLE,
    DmaRegister,
    HostMemory,
)
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import transfers
from sterna_rtl.memory.visits import request_layout

__all__ = ["DMA_PLACE", "DmaPages"]

_PAGE_BITS = exact_log2(PAGE_BYTES)
_SMALL = exact_log2(PAGE_BYTES // BLOCK_BYTES)
_LARGE = exact_log2(LARGE_PAGE_BYTES // BLOCK_BYTES)

DMA_PLACE = StructLayout(
    {
        "address": 64 - exact_log2(BLOCK_BYTES),
        "blocks": range(REQUEST_BLOCKS + 1),
        "outside": 1,
    }
)
"""Blocks of the host's memory, address in blocks; what is `outside` must be left alone."""


class DmaPages(Component):
    """Cut requests for blocks of tape and ring into places of the host's memory.

    A place never goes over the end of what `longest` says, and so not over that of a page. Table,
    number and kind of the pages and the ring's first block take writes only while `locked` is low.
    So each place lies within a page of the table as it was when that fell last, or is marked as
    outside. From the ring's page on pages are only written, those before are only read; without a
    ring none is written.

    Parameters
    ----------
    memory : HostMemory
    table : int
        Pages of the table.

    Attributes
    ----------
    i_reads, i_writes : stream.Interface
        `request_layout`; which of them a request came by decides what it is for. Writes go first.
    o_reads, o_writes : stream.Interface
        `DMA_PLACE`, of requests from `i_reads` and `i_writes`. Registered.
    longest : Signal, in
        Blocks of the longest place: 1, 2 or 4.
    write, number, data : Signal, in
        A write to one of the `DmaRegister` that belong to the pages; others do nothing.
    locked : Signal, in
        Writes do nothing. Must be up while `busy` is.
    pages, large, index, ring : Signal, out
        What PAGES, INDEX and RING show.
    busy : Signal, out
        There is a request, or a place waits.

    Latency
        3 clocks from a request to its first place.

    Throughput
        A place every other clock, with a request one clock more.
    """

    def __init__(self, memory: HostMemory, table: int = TABLE) -> None:
        self.memory = memory
        # Address of each page, in the smaller ones.
        self.table = Ram(table, 64 - _PAGE_BITS)
        self.page = Signal(range(memory.blocks >> _SMALL))  # that the place is in
        self.low = Signal(32 - _PAGE_BITS)  # what LOW was written
        self.request = Signal(request_layout(memory))  # what is left of it
        self.kind = Signal()  # the request is to write
        super().__init__(
            {
                "i_reads": In(stream.Signature(request_layout(memory))),
                "i_writes": In(stream.Signature(request_layout(memory))),
                "o_reads": Out(stream.Signature(DMA_PLACE)),
                "o_writes": Out(stream.Signature(DMA_PLACE)),
                "longest": In(range(REQUEST_BLOCKS + 1)),
                "write": In(1),
                "number": In(8),
                "data": In(32),
                "locked": In(1),
                "pages": Out(range(table + 1)),
                "large": Out(1),
                "index": Out(range(table)),
                "ring": Out(range(memory.blocks)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.table = table = self.table
        self._registers(m)

        busy, known, request = Signal(), Signal(), self.request
        place, there, writes = Signal(DMA_PLACE), Signal(), Signal()
        m.d.comb += [
            self.i_writes.ready.eq(~busy),
            self.i_reads.ready.eq(~busy & ~self.i_writes.valid),
            self.o_reads.payload.eq(place),
            self.o_writes.payload.eq(place),
            self.o_reads.valid.eq(there & ~writes),
            self.o_writes.valid.eq(there & writes),
            self.busy.eq(busy | there),
        ]
        for asked, kind in ((self.i_reads, 0), (self.i_writes, 1)):
            with m.If(transfers(asked)):
                m.d.sync += [request.eq(asked.payload), self.kind.eq(kind), busy.eq(1)]

        # First the page's address, then the place.
        block, space, here = request.block, Signal(3), Signal(3)
        writable = (self.ring != 0) & (self.page >= self._page_of(self.ring))
        outside = (self.page >= self.pages) | (self.kind != writable)
        m.d.comb += [
            self.page.eq(self._page_of(block)),
            table.read.address.eq(self.page),
            space.eq((~block & (self.longest - 1)[:2]) + 1),
            here.eq(Mux(request.blocks < space, request.blocks, space)),
        ]
        m.d.sync += known.eq(busy)
        with m.If(~there | transfers(self.o_reads) | transfers(self.o_writes)):
            m.d.sync += there.eq(busy & known)
            with m.If(busy & known):
                entry = table.read.data
                large = Cat(block[:_LARGE], entry[_LARGE - _SMALL :])
                m.d.sync += [
                    place.address.eq(Mux(self.large, large, Cat(block[:_SMALL], entry))),
                    place.blocks.eq(here),
                    place.outside.eq(outside),
                    writes.eq(self.kind),
                    request.block.eq(block + here),
                    request.blocks.eq(request.blocks - here),
                    busy.eq(request.blocks > space),
                    known.eq(0),
                ]
        return m

    def _page_of(self, block: Value) -> Value:
        """Return the page that a block is in."""
        return Mux(self.large, block >> _LARGE, block >> _SMALL)

    def _registers(self, m: Module) -> None:
        low, write = self.low, self.table.write
        m.d.comb += [write.address.eq(self.index), write.data.eq(Cat(low, self.data))]
        with m.If(self.write & ~self.locked):
            with m.Switch(self.number):
                with m.Case(DmaRegister.PAGES):
                    m.d.sync += [self.pages.eq(self.data), self.large.eq(self.data[31])]
                with m.Case(DmaRegister.RING):
                    m.d.sync += self.ring.eq(self.data)
                with m.Case(DmaRegister.INDEX):
                    m.d.sync += self.index.eq(self.data)
                with m.Case(DmaRegister.LOW):
                    m.d.sync += low.eq(self.data[_PAGE_BITS:])
                with m.Case(DmaRegister.HIGH):
                    m.d.comb += write.enable.eq(1)
                    m.d.sync += self.index.eq(self.index + 1)
