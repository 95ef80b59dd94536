"""ResultReader: read the queues of results for the host, between the host's own requests."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.dma import RESULTS
from sterna.spec.registers import REGISTERS, VALID
from sterna_rtl.control.registers import BEFORE_REGISTERS
from sterna_rtl.lib.stream import transfers

__all__ = ["RESULT", "ResultReader"]

RESULT = StructLayout({"word": 32, "register": 8})
"""A result, and the number of the register that would have given it."""

_ADDRESSES = [REGISTERS[name].address for name in RESULTS]


class ResultReader(Component):
    """Stand before a chip's registers, and read those of `RESULTS` while nobody else asks.

    A queue is read until it is empty, then the next one is looked at. At most one result is held.

    Attributes
    ----------
    i, o, refused
        Register requests and answers of the host, see `Registers`. They pass on the same clock.
    o_request, i_answer, i_refused
        The chip's registers.
    run : Signal, in
        Read results.
    clear : Signal, in
        The chip is reset: what it was asked is not answered.
    o_result : stream.Interface
        `RESULT`. Registered.

    Throughput
        As the registers answer: a look at a queue, and a result, in 4 clocks.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **BEFORE_REGISTERS,
                "run": In(1),
                "clear": In(1),
                "o_result": Out(stream.Signature(RESULT)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        asked, answer, result = self.o_request, self.i_answer, self.o_result
        turn, address, there = Signal(range(len(_ADDRESSES))), Signal(8), Signal()
        m.d.comb += [
            asked.payload.eq(self.i.payload),
            self.o.payload.eq(answer.payload),
            address.eq(Array(_ADDRESSES)[turn]),
            there.eq((answer.payload & VALID) != 0),
        ]
        with m.If(transfers(result)):
            m.d.sync += result.valid.eq(0)
        with m.FSM(name="results"):
            with m.State("HOST"):
                m.d.comb += [
                    asked.valid.eq(self.i.valid),
                    self.i.ready.eq(asked.ready),
                    self.refused.eq(self.i_refused),
                ]
                with m.If(transfers(self.i) & ~self.i.payload.write):
                    m.next = "ANSWER"
                with m.Elif(~self.i.valid & self.run & ~result.valid):
                    m.next = "LOOK"
            with m.State("ANSWER"):
                m.d.comb += [self.o.valid.eq(answer.valid), answer.ready.eq(self.o.ready)]
                with m.If(transfers(self.o) | self.clear):
                    m.next = "HOST"
            with m.State("LOOK"):
                m.d.comb += [
                    asked.valid.eq(1),
                    asked.payload.write.eq(0),
                    asked.payload.address.eq(address),
                ]
                with m.If(self.clear):
                    m.next = "HOST"
                with m.Elif(asked.ready):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += answer.ready.eq(1)
                m.d.sync += [
                    result.payload.word.eq(answer.payload),
                    result.payload.register.eq(address),
                ]
                with m.If(answer.valid):
                    m.d.sync += result.valid.eq(there)
                    with m.If(~there):
                        m.d.sync += turn.eq(Mux(turn == len(_ADDRESSES) - 1, 0, turn + 1))
                with m.If(answer.valid | self.clear):
                    m.next = "HOST"
        return m
