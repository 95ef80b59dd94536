"""CrcAppender: the CRC-32 behind each frame."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.crc import CRC_INIT, crc32
from sterna_rtl.lib.stream import transfers
from sterna_rtl.link.executor import BYTE

__all__ = ["CrcAppender"]

_CRC = 4


class CrcAppender(Component):
    """Pass a frame's bytes on and its CRC-32 after them, lowest byte first.

    Attributes
    ----------
    i, o : stream.Interface
        `BYTE`; `last` marks the last byte of a frame, on `o` that of the CRC. Combinational.

    Throughput
        A byte per clock, and four clocks for the CRC.
    """

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(BYTE)), "o": Out(stream.Signature(BYTE))})

    def elaborate(self, platform) -> Module:
        m = Module()
        crc = Signal(32, init=CRC_INIT)
        left = Signal(range(_CRC + 1))  # bytes of the CRC to go
        with m.If(left == 0):
            m.d.comb += [
                self.o.payload.data.eq(self.i.payload.data),
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready),
            ]
            with m.If(transfers(self.i)):
                m.d.sync += crc.eq(crc32(crc, self.i.payload.data))
                with m.If(self.i.payload.last):
                    m.d.sync += left.eq(_CRC)
        with m.Else():
            m.d.comb += [
                self.o.payload.data.eq(~crc[:8]),
                self.o.payload.last.eq(left == 1),
                self.o.valid.eq(1),
            ]
            with m.If(self.o.ready):
                # Ones come in: after four bytes the register is as it was at the beginning.
                m.d.sync += [left.eq(left - 1), crc.eq(Cat(crc[8:], C(0xFF, 8)))]
        return m
