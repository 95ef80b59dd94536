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
from sterna_rtl.lib.stream import can_load, transfers
from sterna_rtl.memory.visits import request_layout

__all__ = ["DMA_PLACE", "DmaPages"]

_PAGE_BITS = exact_log2(PAGE_BYTES)
_SMALL = exact_log2(PAGE_BYTES // BLOCK_BYTES)
_LARGE = exact_log2(LARGE_PAGE_BYTES // BLOCK_BYTES)

DMA_PLACE = StructLayout(
    {
        "address": 64 - exact_log2(BLOCK_BYTES),
        "blocks": range(REQUEST_BLOCKS + 1),
        "write": 1,
        "outside": 1,
    }
)
"""Blocks of the host's memory, address in blocks, to be read or written; what is `outside` must be
left alone."""


class DmaPages(Component):
    """Cut requests for blocks of tape and ring into places of the host's memory.

    A place never goes over the end of what `longest` says, and so not over that of a page. Table,
    number and kind of the pages take writes only while `locked` is low. So each place lies within a
    page of the table as it was when that fell last, or is marked as outside.

    Parameters
    ----------
    memory : HostMemory
    table : int
        Pages of the table.

    Attributes
    ----------
    i : stream.Interface
        `request_layout`; `write` is handed on.
    o : stream.Interface
        `DMA_PLACE`. Registered.
    longest : Signal, in
        Blocks of the longest read: 1, 2 or 4.
    write, number, data : Signal, in
        A write to one of the `DmaRegister` that belong to the pages; others do nothing.
    locked : Signal, in
        Writes do nothing. Must be up while `busy` is.
    pages, large, index : Signal, out
        What PAGES and INDEX show.
    busy : Signal, out
        There is a request, or a read waits on `o`.

    Latency
        3 clocks from a request to its first read.

    Throughput
        A read every other clock, with a request one clock more.
    """

    def __init__(self, memory: HostMemory, table: int = TABLE) -> None:
        self.memory = memory
        # Address of each page, in the smaller ones.
        self.table = Ram(table, 64 - _PAGE_BITS)
        self.page = Signal(range(memory.blocks >> _SMALL))  # that the read is in
        self.low = Signal(32 - _PAGE_BITS)  # what LOW was written
        self.request = Signal(request_layout(memory))  # what is left of it
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(memory))),
                "o": Out(stream.Signature(DMA_PLACE)),
                "longest": In(range(REQUEST_BLOCKS + 1)),
                "write": In(1),
                "number": In(8),
                "data": In(32),
                "locked": In(1),
                "pages": Out(range(table + 1)),
                "large": Out(1),
                "index": Out(range(table)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.table = table = self.table
        self._registers(m)

        busy, known, request = Signal(), Signal(), self.request
        m.d.comb += [self.i.ready.eq(~busy), self.busy.eq(busy | self.o.valid)]
        with m.If(transfers(self.i)):
            m.d.sync += [request.eq(self.i.payload), busy.eq(1)]

        # First the page's address, then the read.
        block, space, here = request.block, Signal(3), Signal(3)
        outside = self.page >= self.pages
        m.d.comb += [
            self.page.eq(Mux(self.large, block >> _LARGE, block >> _SMALL)),
            table.read.address.eq(self.page),
            space.eq((~block & (self.longest - 1)[:2]) + 1),
            here.eq(Mux(request.blocks < space, request.blocks, space)),
        ]
        m.d.sync += known.eq(busy)
        with m.If(can_load(self.o)):
            m.d.sync += self.o.valid.eq(busy & known)
            with m.If(busy & known):
                entry = table.read.data
                large = Cat(block[:_LARGE], entry[_LARGE - _SMALL :])
                m.d.sync += [
                    self.o.payload.address.eq(Mux(self.large, large, Cat(block[:_SMALL], entry))),
                    self.o.payload.blocks.eq(here),
                    self.o.payload.write.eq(request.write),
                    self.o.payload.outside.eq(outside),
                    request.block.eq(block + here),
                    request.blocks.eq(request.blocks - here),
                    busy.eq(request.blocks > space),
                    known.eq(0),
                ]
        return m

    def _registers(self, m: Module) -> None:
        low, write = self.low, self.table.write
        m.d.comb += [write.address.eq(self.index), write.data.eq(Cat(low, self.data))]
        with m.If(self.write & ~self.locked):
            with m.Switch(self.number):
                with m.Case(DmaRegister.PAGES):
                    m.d.sync += [self.pages.eq(self.data), self.large.eq(self.data[31])]
                with m.Case(DmaRegister.INDEX):
                    m.d.sync += self.index.eq(self.data)
                with m.Case(DmaRegister.LOW):
                    m.d.sync += low.eq(self.data[_PAGE_BITS:])
                with m.Case(DmaRegister.HIGH):
                    m.d.comb += write.enable.eq(1)
                    m.d.sync += self.index.eq(self.index + 1)
