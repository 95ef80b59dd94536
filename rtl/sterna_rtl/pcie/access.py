"""RegisterAccess: the hard block's completer side on one side, a chip's registers on the other."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie.block import cc_beat, cq_beat
from sterna_rtl.pcie.completer import LONGEST, Completer
from sterna_rtl.pcie.reader import CqReader
from sterna_rtl.pcie.window import RegisterWindow
from sterna_rtl.pcie.writer import CcWriter

__all__ = ["RegisterAccess"]


class RegisterAccess(Component):
    """What a host reads and writes in BAR 0 are the registers of a chip; see `sterna.spec.pcie`.

    Parameters
    ----------
    width : int
        Bits of a beat, one of `BEAT_BITS`.

    Attributes
    ----------
    cq, cc : stream.Interface
        `cq_beat` and `cc_beat`.
    o, i, refused
        The chip's registers, see `Registers`.
    clear : Signal, out
        Up for one clock: the chip did not answer a read and is to be reset.

    Throughput
        A word written in 6 clocks, or in 3 in a block; one read in 14, or in 5.
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            {
                "cq": In(stream.Signature(cq_beat(width))),
                "cc": Out(stream.Signature(cc_beat(width))),
                "o": Out(stream.Signature(REQUEST)),
                "i": In(stream.Signature(32)),
                "refused": In(1),
                "clear": Out(1),
            }
        )
        self.reader = CqReader(width)
        self.completer = Completer()
        self.window = RegisterWindow()
        self.writer = CcWriter(width, LONGEST)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.reader = reader = self.reader
        m.submodules.completer = completer = self.completer
        m.submodules.window = window = self.window
        m.submodules.writer = writer = self.writer
        connect_stream(m, self.cq, reader.i)
        connect_stream(m, reader.o, completer.i)
        connect_stream(m, completer.o_access, window.i)
        connect_stream(m, window.o, completer.i_word)
        connect_stream(m, window.o_request, self.o)
        connect_stream(m, self.i, window.i_answer)
        connect_stream(m, completer.o, writer.i)
        connect_stream(m, writer.o, self.cc)
        m.d.comb += [window.refused.eq(self.refused), self.clear.eq(window.clear)]
        return m
