"""Visits: requests for blocks, cut at the ends of rows."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.memories import External
from sterna.spec.sdram import Part
from sterna_rtl.lib.stream import transfers

__all__ = ["Visits", "request_layout", "visit_layout"]


def request_layout(part: External) -> StructLayout:
    """Return a request: `blocks` blocks (1 or more) from `block` on, past the end from 0 on."""
    return StructLayout({"write": 1, "block": range(part.blocks), "blocks": range(part.blocks + 1)})


def visit_layout(part: Part) -> StructLayout:
    """Return a visit: blocks `block` to `last` of one row."""
    blocks = range(part.row_blocks)
    return StructLayout(
        {
            "write": 1,
            "bank": part.bank_bits,
            "row": part.row_bits,
            "block": blocks,
            "last": blocks,
        }
    )


class Visits(Component):
    """Walk through the rows of a request.

    An address is row, bank, column from the highest bit down: after a row comes the same row of the
    next bank, which can be opened behind the bursts of this one.

    Parameters
    ----------
    part : Part

    Attributes
    ----------
    i : stream.Interface
        `request_layout`.
    o : stream.Interface
        `visit_layout`. Registered.

    Latency
        3 clocks from a request to its first visit.

    Throughput
        A visit every other clock, with a request three; a burst takes eight.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(part))),
                "o": Out(stream.Signature(visit_layout(part))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = len(self.o.payload.block)
        full = (1 << bits) - 1
        busy, request = Signal(), Signal(self.i.payload.shape())
        m.d.comb += self.i.ready.eq(~busy)
        with m.If(transfers(self.i)):
            m.d.sync += [request.eq(self.i.payload), busy.eq(1)]

        block = request.block[:bits]
        row = request.block[bits:]
        # First how many blocks are in this row, then the visit: two short paths.
        known, here, ends = Signal(), Signal(bits + 1), Signal()
        space = full + 1 - block
        with m.If(busy & ~known):
            m.d.sync += [
                known.eq(1),
                ends.eq(request.blocks <= space),
                here.eq(Mux(request.blocks <= space, request.blocks, space)),
            ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        # Not on the clock on which the last visit leaves: a visit takes a burst or more, and what
        # takes it knows late in its clock.
        with m.Elif(~self.o.valid):
            m.d.sync += self.o.valid.eq(known)
            with m.If(known):
                m.d.sync += [
                    self.o.payload.write.eq(request.write),
                    self.o.payload.bank.eq(row),
                    self.o.payload.row.eq(row[self.part.bank_bits :]),
                    self.o.payload.block.eq(block),
                    self.o.payload.last.eq(block + here - 1),
                    request.block.eq(Cat(C(0, bits), row + 1)),
                    request.blocks.eq(request.blocks - here),
                    busy.eq(~ends),
                    known.eq(0),
                ]
        return m
