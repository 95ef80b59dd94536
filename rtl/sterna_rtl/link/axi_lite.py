"""AxiLite: a slave for AXI4-Lite in front of the register window."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.pcie import BAR_BYTES
from sterna_rtl.lib.stream import can_load, transfers
from sterna_rtl.pcie.completer import ACCESS

__all__ = ["ADDRESS_BITS", "AxiLite"]

ADDRESS_BITS = (BAR_BYTES - 1).bit_length()
"""Bits of a byte's address; the registers lie as in BAR 0, see `sterna.spec.pcie`."""

_ADDRESS = stream.Signature(ADDRESS_BITS)


class AxiLite(Component):
    """Turn reads and writes of AXI4-Lite into accesses.

    A write is answered when it has been taken, always with OKAY: what became of it the register
    LINK says, as on PCIe. If both are there, reads and writes take turns. A read goes behind the
    writes that were answered before it was asked for. Whoever does the accesses gives the words of
    reads in their order.

    Attributes
    ----------
    aw, w, b, ar, r : stream.Interface
        The channels: byte addresses, of which the lowest two bits are not looked at; data and
        strobes; the response; and the word with its response. PROT is not looked at.
    o : stream.Interface
        `ACCESS`. Registered.
    i : stream.Interface
        The word of each read.

    Latency
        1 clock from address and data to `o`, none from `i` to `r`.

    Throughput
        An access every clock.

    Backpressure
        An address of a write and its data are taken on the same clock, once both are there.
    """

    def __init__(self) -> None:
        word = ACCESS["data"].shape
        super().__init__(
            {
                "aw": In(_ADDRESS),
                "w": In(stream.Signature(StructLayout({"data": word, "strobes": 4}))),
                "b": Out(stream.Signature(2)),
                "ar": In(_ADDRESS),
                "r": Out(stream.Signature(StructLayout({"data": word, "response": 2}))),
                "o": Out(stream.Signature(ACCESS)),
                "i": In(stream.Signature(word)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        access = self.o.payload
        wrote = Signal()  # the last access was a write
        writes, reads = Signal(), Signal()
        may_write = self.aw.valid & self.w.valid & can_load(self.b)
        may_read = self.ar.valid
        m.d.comb += [
            writes.eq(can_load(self.o) & may_write & ~(may_read & wrote)),
            reads.eq(can_load(self.o) & may_read & ~writes),
            self.aw.ready.eq(writes),
            self.w.ready.eq(writes),
            self.ar.ready.eq(reads),
            self.r.valid.eq(self.i.valid),
            self.r.payload.data.eq(self.i.payload),
            self.i.ready.eq(self.r.ready),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(transfers(self.b)):
            m.d.sync += self.b.valid.eq(0)
        with m.If(writes):
            m.d.sync += [
                self.o.valid.eq(1),
                self.b.valid.eq(1),
                wrote.eq(1),
                access.write.eq(1),
                access.address.eq(self.aw.payload[2:]),
                access.data.eq(self.w.payload.data),
                access.bytes.eq(self.w.payload.strobes),
            ]
        with m.If(reads):
            m.d.sync += [
                self.o.valid.eq(1),
                wrote.eq(0),
                access.write.eq(0),
                access.address.eq(self.ar.payload[2:]),
                access.bytes.eq(-1),
            ]
        return m
