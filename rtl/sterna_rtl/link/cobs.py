"""COBS (Cheshire and Baker 1999): frames without zeros, so that a zero can end each."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.stream import can_load, transfers
from sterna_rtl.link.executor import BYTE
from sterna_rtl.link.frames import DECODED
from sterna_rtl.link.uart import RECEIVED

__all__ = ["LONGEST", "CobsDecoder", "CobsWriter"]

LONGEST = 253
"""Bytes of the longest frame that `CobsWriter` takes: no block is full."""


class CobsDecoder(Component):
    """Decode as bytes come.

    Attributes
    ----------
    i : stream.Interface
        `RECEIVED`. `i.ready` follows `o.ready`.
    o : stream.Interface
        `DECODED`. Registered. Frames without a byte give nothing. A frame with a damaged byte, or
        cut in a block, is not `good`.

    Latency
        1 clock.

    Throughput
        A byte per clock.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(RECEIVED)),
                "o": Out(stream.Signature(DECODED)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        data, error = self.i.payload.data, self.i.payload.error
        left = Signal(8)  # bytes of the block to come
        begun, damaged = Signal(), Signal()
        zero = Signal()  # the block before ends with a zero, unless the frame ends here
        m.d.comb += self.i.ready.eq(can_load(self.o))
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(transfers(self.i)):
            m.d.sync += [
                self.o.payload.data.eq(data),
                self.o.payload.end.eq(data == 0),
                self.o.payload.good.eq((data == 0) & (left == 0) & ~damaged & ~error),
            ]
            with m.If(data == 0):
                m.d.sync += [
                    self.o.valid.eq(begun | error),
                    begun.eq(0),
                    damaged.eq(0),
                    left.eq(0),
                    zero.eq(0),
                ]
            with m.Else():
                m.d.sync += [begun.eq(1), damaged.eq(damaged | error)]
                with m.If(left == 0):
                    m.d.sync += [
                        left.eq(data - 1),
                        zero.eq(data != 0xFF),
                        self.o.valid.eq(zero),
                        self.o.payload.data.eq(0),
                    ]
                with m.Else():
                    m.d.sync += [left.eq(left - 1), self.o.valid.eq(1)]
        return m


class CobsWriter(Component):
    """Encode a frame in place, into a RAM: the code of a block is written at the block's end.

    Parameters
    ----------
    size : int
        Bytes of the RAM.

    Attributes
    ----------
    i : stream.Interface
        `BYTE`; at most `LONGEST` bytes to a frame.
    first : Signal, in
        Where the frame begins; taken with its first byte.
    write : WritePort
    length : Signal, out
        Bytes of the frame, the zero at its end included; with `done`.
    done : Signal, out
        Strobe, one clock after the last write.

    Throughput
        A byte per clock, and two clocks at the end of a frame.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "first": In(range(size)),
                "write": Out(WritePort(size, unsigned(8))),
                "length": Out(range(257)),
                "done": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        base = Signal(range(self.size))
        code_at = Signal(9)  # place of the block's code, in the frame
        place = Signal(9, init=1)  # place of the next byte
        begun = Signal()
        start = Mux(begun, base, self.first)
        at = Signal(9)
        m.d.comb += self.write.address.eq(start + at)
        m.d.sync += self.done.eq(0)
        with m.FSM(name="writer"):
            with m.State("BYTES"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [begun.eq(1), base.eq(start), place.eq(place + 1)]
                    m.d.comb += self.write.enable.eq(1)
                    with m.If(self.i.payload.data == 0):
                        m.d.comb += [at.eq(code_at), self.write.data.eq(place - code_at)]
                        m.d.sync += code_at.eq(place)
                    with m.Else():
                        m.d.comb += [at.eq(place), self.write.data.eq(self.i.payload.data)]
                    with m.If(self.i.payload.last):
                        m.next = "CODE"
            with m.State("CODE"):
                m.d.comb += [
                    at.eq(code_at),
                    self.write.data.eq(place - code_at),
                    self.write.enable.eq(1),
                ]
                m.next = "ZERO"
            with m.State("ZERO"):
                m.d.comb += [at.eq(place), self.write.enable.eq(1)]
                m.d.sync += [
                    self.done.eq(1),
                    self.length.eq(place + 1),
                    begun.eq(0),
                    code_at.eq(0),
                    place.eq(1),
                ]
                m.next = "BYTES"
        return m
