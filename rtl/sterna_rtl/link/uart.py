"""UART: bytes from and to a pin, 8 bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import transfers

__all__ = ["BREAK_BITS", "RECEIVED", "UartReceiver", "UartTransmitter"]

RECEIVED = StructLayout({"data": 8, "error": 1})
"""A byte; `error` if its stop bit was low."""

BREAK_BITS = 16
"""A line that is low for so many bit times is a break."""


class UartReceiver(Component):
    """Sample each bit once, in its middle.

    Attributes
    ----------
    rx : Signal, in
        Asynchronous.
    divisor : Signal, in
        Clocks per bit, 4 or more.
    o : stream.Interface
        `RECEIVED`. Registered; a byte that is not taken before the next one comes is lost.
    line_break : Signal, out
        Strobe, once in each break. The break's first 10 bits give a byte with an error; after it
        the line must have been high before the next byte.

    Latency
        A byte comes out 3 clocks after the middle of its stop bit.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "rx": In(1, init=1),
                "divisor": In(16),
                "o": Out(stream.Signature(RECEIVED)),
                "line_break": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        clocks = Signal(16)  # to the next sample
        bits = Signal(range(10))
        data = Signal(8)
        low_clocks, low_bits = Signal(16), Signal(range(BREAK_BITS + 1))

        m.d.sync += self.line_break.eq(0)
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        sample = clocks == 0
        with m.FSM(name="receiver"):
            with m.State("IDLE"):
                # The line was seen low a clock ago when the count begins.
                m.d.sync += [clocks.eq((self.divisor >> 1) - 1), bits.eq(0)]
                with m.If(~rx):
                    m.next = "START"
            with m.State("START"):
                m.d.sync += clocks.eq(clocks - 1)
                with m.If(sample):
                    m.d.sync += clocks.eq(self.divisor - 1)
                    m.next = "DATA"
                    with m.If(rx):
                        m.next = "IDLE"
            with m.State("DATA"):
                m.d.sync += clocks.eq(clocks - 1)
                with m.If(sample):
                    m.d.sync += [
                        clocks.eq(self.divisor - 1),
                        data.eq(Cat(data[1:], rx)),
                        bits.eq(bits + 1),
                    ]
                    with m.If(bits == 7):
                        m.next = "STOP"
            with m.State("STOP"):
                m.d.sync += clocks.eq(clocks - 1)
                with m.If(sample):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        self.o.payload.data.eq(data),
                        self.o.payload.error.eq(~rx),
                    ]
                    m.next = "IDLE"
                    with m.If(~rx):
                        m.next = "HIGH"
            with m.State("HIGH"), m.If(rx):
                m.next = "IDLE"

        m.d.sync += low_clocks.eq(low_clocks + 1)
        with m.If(rx):
            m.d.sync += [low_clocks.eq(0), low_bits.eq(0)]
        with m.Elif(low_clocks >= self.divisor):
            m.d.sync += [low_clocks.eq(0), low_bits.eq(low_bits + (low_bits != BREAK_BITS))]
            m.d.sync += self.line_break.eq(low_bits == BREAK_BITS - 1)
        return m


class UartTransmitter(Component):
    """Send bytes one after the other.

    Attributes
    ----------
    i : stream.Interface
        Bytes.
    divisor : Signal, in
        Clocks per bit, 2 or more; may change while `idle`.
    tx : Signal, out
    idle : Signal, out
        Nothing is being sent.

    Throughput
        A byte in ten bit times.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "divisor": In(16),
                "tx": Out(1, init=1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = Signal(10, init=0x3FF)  # the one on the line first
        left = Signal(range(11))
        clocks = Signal(16)
        last = (left == 1) & (clocks == 0)
        m.d.comb += [
            self.tx.eq(bits[0]),
            self.idle.eq(left == 0),
            self.i.ready.eq(self.idle | last),
        ]
        m.d.sync += clocks.eq(clocks - 1)
        with m.If(~self.idle & (clocks == 0)):
            m.d.sync += [
                clocks.eq(self.divisor - 1),
                bits.eq(Cat(bits[1:], C(1, 1))),
                left.eq(left - 1),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                clocks.eq(self.divisor - 1),
                bits.eq(Cat(C(0, 1), self.i.payload, C(1, 1))),
                left.eq(10),
            ]
        return m
