"""Sender: replies and notices from the reply RAM to the UART."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import memory, stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import WINDOW
from sterna_rtl.lib.memory import ReadPort

__all__ = ["NOTICE_ADDRESS", "REPLY_BYTES", "REPLY_RAM_BYTES", "Sender"]

REPLY_BYTES = 256
"""Bytes of the RAM for each reply, encoded."""

REPLY_RAM_BYTES = WINDOW * REPLY_BYTES

_ASKS = StructLayout(
    {
        "length": range(REPLY_BYTES + 1),
        "stored": 1,
        "notice": 1,
        "slot": range(WINDOW),
        "resend": 1,
        "resend_slot": range(WINDOW),
        "forget": 1,
    }
)
"""What a sender is asked for on a clock."""

NOTICE_ADDRESS = 240
"""A notice stands behind the longest reply of the first place."""


class Sender(Component):
    """Send each frame that is asked for, with a zero before it.

    A frame that is written anew while it is being sent arrives damaged, which the host's CRC shows;
    it has been asked for again by then.

    Attributes
    ----------
    length : Signal, in
        Bytes of the frame that is stored.
    stored, notice, slot : Signal, in
        Strobe: a frame stands in the RAM, and which one. It is sent.
    resend, resend_slot : Signal, in
        Strobe: a reply is sent again.
    forget : Signal, in
        Strobe: nothing that was asked for is sent any more, but for the frame under way.
    read : ReadPort
        The reply RAM.
    o : stream.Interface
        Bytes.
    idle : Signal, out
        Nothing is being sent, nothing is to be.

    Throughput
        A byte in 2 clocks.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **{name: In(field) for name, field in _ASKS.members.items()},
                "read": Out(ReadPort(REPLY_RAM_BYTES, unsigned(8))),
                "o": Out(stream.Signature(8)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.lengths = lengths = memory.Memory(
            shape=range(REPLY_BYTES + 1), depth=WINDOW, init=[]
        )
        write, read = lengths.write_port(), lengths.read_port(domain="comb")
        # What is asked for is known late in its clock.
        asks = Signal(_ASKS)
        m.d.sync += [asks[name].eq(getattr(self, name)) for name in _ASKS.members]
        notice_length = Signal.like(self.length)
        asked, notice_asked = Signal(WINDOW), Signal()
        pointer = Signal(range(WINDOW))
        m.d.comb += [
            write.addr.eq(asks.slot),
            write.data.eq(asks.length),
            write.en.eq(asks.stored & ~asks.notice),
            read.addr.eq(pointer),
        ]
        left = Signal.like(self.length)
        with m.FSM(name="sender"):
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(~Cat(asked, notice_asked, asks.stored, asks.resend).any())
                with m.If(notice_asked):
                    m.d.sync += [
                        notice_asked.eq(0),
                        self.read.address.eq(NOTICE_ADDRESS),
                        left.eq(notice_length),
                    ]
                    m.next = "ZERO"
                with m.Elif(asked.bit_select(pointer, 1)):
                    m.d.sync += [
                        asked.bit_select(pointer, 1).eq(0),
                        self.read.address.eq(Cat(C(0, 8), pointer)),
                        left.eq(read.data),
                    ]
                    m.next = "ZERO"
                with m.Elif(asked.any()):
                    m.d.sync += pointer.eq(pointer + 1)
            with m.State("ZERO"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += [left.eq(left - 1), self.read.address.eq(self.read.address + 1)]
                m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += self.o.payload.eq(self.read.data)
                m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += self.o.payload.eq(0)
                    m.next = "READ"
                    with m.If(left == 0):
                        m.next = "IDLE"

        with m.If(asks.resend):
            m.d.sync += asked.bit_select(asks.resend_slot, 1).eq(1)
        with m.If(asks.stored & asks.notice):
            m.d.sync += [notice_asked.eq(1), notice_length.eq(asks.length)]
        with m.If(asks.stored & ~asks.notice):
            m.d.sync += asked.bit_select(asks.slot, 1).eq(1)
        with m.If(asks.forget):
            m.d.sync += asked.eq(0)
        return m
