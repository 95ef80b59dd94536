"""SerialLink: two pins to a stream of register requests."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect

from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.check import CrcAppender
from sterna_rtl.link.cobs import CobsDecoder, CobsWriter
from sterna_rtl.link.executor import BYTE, Executor
from sterna_rtl.link.frames import REQUEST_RAM_BYTES, FrameReceiver
from sterna_rtl.link.sender import NOTICE_ADDRESS, REPLY_RAM_BYTES, Sender
from sterna_rtl.link.uart import UartReceiver, UartTransmitter
from sterna_rtl.link.window import Window

__all__ = ["SerialLink"]


class SerialLink(Component):
    """Speak the protocol of `sterna.spec.link` on a UART.

        rx -> UartReceiver -> CobsDecoder -> FrameReceiver -> Window -> Executor -> o
        tx <- UartTransmitter <- Sender <- (reply RAM) <- CobsWriter <- CrcAppender <-+-- i

    Parameters
    ----------
    divisor : int
        Clocks per bit after a reset.

    Attributes
    ----------
    rx, tx : Signal
    divisor : Signal, in
        Clocks per bit. Taken when nothing is being executed or sent; less than 4 is not taken.
    line_break : Signal, out
        Strobe: a line break; everything but `rx` has been reset.
    o, i, refused
        Register requests and answers, see `Registers`.

    Resources
        Two block RAMs of ECP5: `WINDOW` requests, `WINDOW` replies.
    """

    def __init__(self, divisor: int) -> None:
        self.default_divisor = divisor
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "divisor": In(16, init=divisor),
                "line_break": Out(1),
                "o": Out(stream.Signature(REQUEST)),
                "i": In(stream.Signature(32)),
                "refused": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver()
        cleared = ResetInserter(receiver.line_break)
        parts = {
            "transmitter": UartTransmitter(),
            "decoder": CobsDecoder(),
            "frames": FrameReceiver(),
            "window": Window(),
            "executor": Executor(),
            "appender": CrcAppender(),
            "writer": CobsWriter(REPLY_RAM_BYTES),
            "sender": Sender(),
            "requests": Ram(REQUEST_RAM_BYTES, unsigned(8)),
            "replies": Ram(REPLY_RAM_BYTES, unsigned(8)),
        }
        for name, part in parts.items():
            m.submodules[name] = cleared(part)
        transmitter, decoder, frames, window, executor = list(parts.values())[:5]
        appender, writer, sender, requests, replies = list(parts.values())[5:]

        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.line_break.eq(receiver.line_break),
        ]
        connect_stream(m, receiver.o, decoder.i)
        connect_stream(m, decoder.o, frames.i)
        connect(m, frames.write, requests.write)
        m.d.comb += [
            frames.slot.eq(window.slot),
            frames.store.eq(window.store),
            window.frame.eq(frames.frame),
            window.bad.eq(frames.bad),
            window.i.eq(frames.o),
        ]
        connect_stream(m, window.o, executor.i)
        connect_stream(m, window.o_notice, executor.i_notice)
        connect(m, executor.read, requests.read)
        connect_stream(m, executor.o_request, self.o)
        connect_stream(m, self.i, executor.i_answer)
        m.d.comb += [
            executor.refused.eq(self.refused),
            executor.forget.eq(window.synced),
            executor.written.eq(writer.done),
            window.done.eq(executor.done),
        ]
        # Before the CRC's XORs and behind them.
        m.submodules.bytes = byte_queue = cleared(Queue(BYTE, 2))
        m.submodules.checked_bytes = checked_queue = cleared(Queue(BYTE, 2))
        connect_stream(m, executor.o, byte_queue.i)
        connect_stream(m, byte_queue.o, appender.i)
        connect_stream(m, appender.o, checked_queue.i)
        connect_stream(m, checked_queue.o, writer.i)
        # The RAM is far, and looked at no earlier: the sender is a clock late too.
        for name in ("enable", "address", "data"):
            m.d.sync += getattr(replies.write, name).eq(getattr(writer.write, name))
        m.d.comb += writer.first.eq(
            Mux(executor.notice, NOTICE_ADDRESS, Cat(C(0, 8), executor.slot))
        )
        m.d.comb += [
            sender.length.eq(writer.length),
            sender.stored.eq(writer.done),
            sender.notice.eq(executor.notice),
            sender.slot.eq(executor.slot),
            sender.resend.eq(window.resend),
            sender.resend_slot.eq(window.resend_slot),
            sender.forget.eq(window.synced),
        ]
        connect(m, sender.read, replies.read)
        connect_stream(m, sender.o, transmitter.i)
        self._divisor(m, receiver, transmitter, sender, executor)
        return m

    def _divisor(self, m: Module, receiver, transmitter, sender, executor) -> None:
        """Change the divisor after the reply to the request that changed it."""
        divisor = Signal(16, init=self.default_divisor)
        m.d.comb += [receiver.divisor.eq(divisor), transmitter.divisor.eq(divisor)]
        idle = executor.i.ready & ~executor.i.valid & sender.idle & transmitter.idle
        with m.If(idle & (self.divisor >= 4)):
            m.d.sync += divisor.eq(self.divisor)
        with m.If(receiver.line_break):
            m.d.sync += divisor.eq(self.default_divisor)
