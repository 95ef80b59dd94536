"""Checker: CRC-32 of what a RAM holds, read through the loader."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.control.loader import PIECE
from sterna_rtl.lib.crc import CRC_INIT, crc32
from sterna_rtl.lib.stream import connect_stream

__all__ = ["Checker"]

_BYTES = PIECE // 8


class Checker(Component):
    """Stand between registers and loader, and take the loader for itself while it checks.

    Attributes
    ----------
    start, pieces : Signal, in
        Begin to read so many pieces from the loader's position on. What the host may still have
        asked for must have been answered.
    abort : Signal, in
        End the check with the piece that has been asked for, or that is being asked for. A memory
        that has failed gives no more than that.
    busy : Signal, out
        High until the last of them is in the checksum; 1 clock after `start`.
    checksum : Signal, out
        CRC-32 (as zlib has it) of the pieces, the lowest byte of each first.
    i, o : stream.Interface
        The host's pieces and requests, and the answers to these. They wait while `busy`.
    o_loader, i_loader : stream.Interface
        The same on the loader's side; combinational from `i` and to `o`.

    Throughput
        A piece every 10 clocks, as the loader reads them.
    """

    def __init__(self) -> None:
        request = StructLayout({"read": 1, "data": PIECE})
        super().__init__(
            {
                "start": In(1),
                "pieces": In(32),
                "abort": In(1),
                "busy": Out(1),
                "checksum": Out(32),
                "i": In(stream.Signature(request)),
                "o": Out(stream.Signature(PIECE)),
                "o_loader": Out(stream.Signature(request)),
                "i_loader": In(stream.Signature(PIECE)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        left, more = Signal(32), Signal()  # pieces that have not been asked for; whether any
        data, bytes_left = Signal(PIECE), Signal(range(_BYTES + 1))
        waiting = Signal()  # a piece has been asked for
        crc = Signal(32)
        # Not by `transfers`: the host's requests, which wait, need no way to these registers.
        offers, empty = more & ~waiting, bytes_left == 0
        asks, takes = offers & self.o_loader.ready, self.busy & empty & self.i_loader.valid
        m.d.comb += [
            self.busy.eq(more | waiting | (bytes_left != 0)),
            self.checksum.eq(~crc),
            self.o.payload.eq(self.i_loader.payload),
        ]
        with m.If(self.busy):
            m.d.comb += [
                self.o_loader.valid.eq(offers),
                self.o_loader.payload.read.eq(1),
                self.i_loader.ready.eq(empty),
            ]
        with m.Else():
            connect_stream(m, self.i, self.o_loader)
            m.d.comb += [
                self.o.valid.eq(self.i_loader.valid),
                self.i_loader.ready.eq(self.o.ready),
            ]

        with m.If(asks):
            m.d.sync += [waiting.eq(1), left.eq(left - 1), more.eq(left != 1)]
        with m.If(bytes_left != 0):
            m.d.sync += [
                crc.eq(crc32(crc, data[:8])),
                data.eq(data >> 8),
                bytes_left.eq(bytes_left - 1),
            ]
        with m.If(takes):
            m.d.sync += [waiting.eq(0), data.eq(self.i_loader.payload), bytes_left.eq(_BYTES)]
        with m.If(self.abort):
            m.d.sync += left.eq(1)
            with m.If(waiting | asks):
                m.d.sync += more.eq(0)
        with m.If(self.start):
            m.d.sync += [left.eq(self.pieces), more.eq(self.pieces != 0), crc.eq(CRC_INIT)]
        return m
