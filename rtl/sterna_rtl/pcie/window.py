"""RegisterWindow: accesses of words to register requests, and the endpoint's own register."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.pcie import COUNT_BITS, FRESH, HELD, LINK, QUEUES, READ_CLOCKS
from sterna.spec.registers import REGISTERS
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.pcie.block import DWORD
from sterna_rtl.pcie.completer import ACCESS

__all__ = ["RegisterWindow"]


class RegisterWindow(Component):
    """Do accesses one after the other; see `sterna.spec.pcie`.

    Parameters
    ----------
    patience : int
        Clocks that a register may take to answer a read.

    Attributes
    ----------
    i : stream.Interface
        `ACCESS`.
    o : stream.Interface
        The word of each read.
    o_request, i_answer, refused
        The chip's registers, see `Registers`.
    clear : Signal, out
        Up for one clock: the chip did not answer. What was asked is withdrawn.

    Throughput
        A write in 3 clocks, a read in 5, as long as the chip does not wait.
    """

    def __init__(self, patience: int = READ_CLOCKS) -> None:
        self.patience = patience
        super().__init__(
            {
                "i": In(stream.Signature(ACCESS)),
                "o": Out(stream.Signature(DWORD)),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
                "refused": In(1),
                "clear": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        access, request = self.i.payload, self.o_request.payload
        held, fresh, count = Signal(init=1), Signal(init=1), Signal(COUNT_BITS)
        mask, merges = Signal(DWORD), Signal()  # a write of some bytes: the word is read first
        refused = Signal()
        waited = Signal(range(self.patience))
        m.d.sync += waited.eq(0)
        assert HELD == 1 << 31
        assert FRESH == 1 << 30
        link = Cat(count, C(0, 30 - COUNT_BITS), fresh, held)
        nothing, whole = ~access.bytes.any(), access.bytes.all()
        is_queue = Cat(access.address == REGISTERS[name].address for name in QUEUES).any()

        def wait() -> None:
            """Look at the time; to be called after what follows if the chip answers."""
            m.d.sync += waited.eq(waited + 1)
            with m.If(waited == self.patience - 1):
                m.d.comb += self.clear.eq(1)
                m.d.sync += [self.o.payload.eq(0), held.eq(1), fresh.eq(1)]
                m.next = "WORD"
                with m.If(merges):
                    m.next = "IDLE"

        with m.FSM(name="window"):
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    request.write.eq(access.write & whole),
                    request.address.eq(access.address),
                    request.data.eq(access.data),
                    mask.eq(Cat(bit.replicate(8) for bit in access.bytes)),
                    merges.eq(access.write),
                    self.o.payload.eq(0),
                ]
                with m.If(self.i.valid & (access.address < LINK // 4) & ~nothing):
                    m.next = "REQUEST"
                    with m.If(access.write & held):
                        m.next = "IDLE"
                    with m.Elif(access.write & (access.damaged | ~whole & is_queue)):
                        m.d.sync += held.eq(1)
                        m.next = "IDLE"
                with m.Elif(self.i.valid & ~access.write):
                    with m.If((access.address == LINK // 4) & ~nothing):
                        m.d.sync += self.o.payload.eq(link)
                    m.next = "WORD"
                with m.Elif(self.i.valid & (access.address == LINK // 4) & ~nothing):
                    m.d.sync += [held.eq(0), fresh.eq(0)]
            with m.State("REQUEST"):
                m.d.comb += self.o_request.valid.eq(1)
                # What becomes of a request is known late in its clock, and looked at in the next.
                m.d.sync += refused.eq(self.refused)
                with m.If(self.o_request.ready):
                    m.next = "ANSWER"
                    with m.If(request.write):
                        m.next = "WRITTEN"
                with m.If(~request.write):
                    wait()
            with m.State("WRITTEN"):
                m.d.sync += [held.eq(refused), count.eq(count + ~refused)]
                m.next = "IDLE"
            with m.State("ANSWER"):
                m.d.comb += self.i_answer.ready.eq(1)
                answer = self.i_answer.payload
                m.d.sync += [
                    self.o.payload.eq(answer),
                    request.data.eq(request.data & mask | answer & ~mask),
                    request.write.eq(1),
                ]
                with m.If(self.i_answer.valid):
                    m.next = "WORD"
                    with m.If(merges):
                        m.next = "REQUEST"
                wait()
            with m.State("WORD"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "IDLE"
        return m
