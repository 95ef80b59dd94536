"""Completer: requests of the host to accesses of words, and completions."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.pcie import BAR_BYTES, READ_COMPLETION_BOUNDARY
from sterna_rtl.lib.stream import transfers
from sterna_rtl.pcie.block import CC_DESCRIPTOR, CQ_DESCRIPTOR, DWORD, RequestType, Status
from sterna_rtl.pcie.reader import CQ_WORD
from sterna_rtl.pcie.writer import CC_WORD

__all__ = ["ACCESS", "LONGEST", "Completer"]

_WORDS = BAR_BYTES // 4
_PIECE = READ_COMPLETION_BOUNDARY // 4

ACCESS = StructLayout(
    {"write": 1, "address": range(_WORDS), "data": DWORD, "bytes": 4, "damaged": 1}
)
"""A read or write of one word of BAR 0, and which of its bytes are meant."""

_CQ_WORDS = CQ_DESCRIPTOR.size // DWORD
_CC_WORDS = CC_DESCRIPTOR.size // DWORD

LONGEST = _CC_WORDS + _PIECE
"""Words of the longest completion."""


def _skipped(enables: Value) -> Value:
    """Bytes of a word before the first that is meant; 0 if none is."""
    return Mux(enables[0] | ~enables.any(), 0, Mux(enables[1], 1, Mux(enables[2], 2, 3)))


class Completer(Component):
    """Execute requests one after the other, in their order.

    Reads and writes of function 0's BAR 0 become accesses, word by word. Other requests that want
    a completion get one that says they are not supported, with what the block needs for its error
    log; others that want none are dropped.

    Attributes
    ----------
    i : stream.Interface
        `CQ_WORD`.
    o : stream.Interface
        `CC_WORD`: completions of at most `LONGEST` words.
    o_access : stream.Interface
        `ACCESS`. Not before the answer to the read before it has been taken.
    i_word : stream.Interface
        The word for each read.

    Throughput
        A word written per clock, one read in 3 clocks or more.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(CQ_WORD)),
                "o": Out(stream.Signature(CC_WORD)),
                "o_access": Out(stream.Signature(ACCESS)),
                "i_word": In(stream.Signature(DWORD)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        request = Signal(CQ_DESCRIPTOR)
        first_bytes, last_bytes = Signal(4), Signal(4)
        count = Signal(range(_CQ_WORDS))  # words of a descriptor
        ended = Signal()  # the request's last word has been taken
        supported = Signal()
        address = Signal(range(_WORDS))
        first = Signal()  # word of the request
        words = Signal(11)  # left of the request
        piece = Signal(range(_PIECE + 1))  # words of the completion
        size = Signal(13)  # bytes from the completion's first one to the end
        head = Signal(CC_DESCRIPTOR)
        access = self.o_access.payload
        kind = request.type
        reads = (kind == RequestType.READ) | (kind == RequestType.LOCKED_READ)
        is_io = (kind == RequestType.IO_READ) | (kind == RequestType.IO_WRITE)
        posted = (kind == RequestType.WRITE) | kind[3]
        ours = (request.bar == 0) & (request.function == 0)
        skipped = _skipped(first_bytes)
        ends = Mux(request.dwords == 1, first_bytes, last_bytes)
        missing = _skipped(Cat(*reversed(list(ends))))  # bytes after the last that is meant
        empty = (request.dwords == 1) & ~first_bytes.any()
        room = _PIECE - address[: _PIECE.bit_length() - 1]  # words to the next boundary

        m.d.comb += [
            head.address_type.eq(request.address_type),
            head.bytes.eq(size),
            head.locked.eq(kind == RequestType.LOCKED_READ),
            head.requester.eq(request.requester),
            head.tag.eq(request.tag),
            head.function.eq(request.function),
            head.traffic_class.eq(request.traffic_class),
            head.attributes.eq(request.attributes),
        ]
        with m.If(reads):
            m.d.comb += head.lower_address.eq(Cat(Mux(first, skipped, C(0, 2)), address[:5]))
        with m.If(supported):
            m.d.comb += head.dwords.eq(piece)
        with m.Else():
            m.d.comb += head.status.eq(Status.UNSUPPORTED)
        m.d.comb += [
            access.address.eq(address),
            access.data.eq(self.i.payload.data),
            access.damaged.eq(self.i.payload.damaged),
            access.bytes.eq(0b1111),
        ]
        with m.If(first):
            m.d.comb += access.bytes.eq(first_bytes)
        with m.Elif(words == 1):
            m.d.comb += access.bytes.eq(last_bytes)

        with m.FSM(name="completer"):
            with m.State("DESCRIPTOR"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(transfers(self.i)):
                    bits = request.as_value()
                    m.d.sync += [
                        bits.eq(Cat(bits[DWORD:], self.i.payload.data)),
                        first_bytes.eq(self.i.payload.first_bytes),
                        last_bytes.eq(self.i.payload.last_bytes),
                        ended.eq(self.i.payload.last),
                        count.eq(count + 1),
                    ]
                    with m.If(count == _CQ_WORDS - 1):
                        m.next = "KIND"
            with m.State("KIND"):
                m.d.sync += [
                    count.eq(0),
                    address.eq(request.address),
                    first.eq(1),
                    words.eq(request.dwords),
                    supported.eq((kind == RequestType.READ) & ours),
                    size.eq((request.dwords << 2) - skipped - missing),
                ]
                with m.If(empty):
                    m.d.sync += size.eq(1)
                with m.If(is_io):
                    m.d.sync += size.eq(4)
                with m.If((kind == RequestType.FETCH_ADD) | (kind == RequestType.SWAP)):
                    m.d.sync += size.eq(request.dwords << 2)
                with m.If(kind == RequestType.COMPARE_AND_SWAP):
                    m.d.sync += size.eq(request.dwords << 1)  # half of its operands are compared
                m.next = "DROP"
                with m.If((kind == RequestType.WRITE) & ours & ~ended):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [
                    access.write.eq(1),
                    self.o_access.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o_access.ready),
                ]
                with m.If(transfers(self.i)):
                    m.d.sync += [address.eq(address + 1), words.eq(words - 1), first.eq(0)]
                    with m.If(self.i.payload.last):
                        m.next = "DESCRIPTOR"
            with m.State("DROP"):
                m.d.comb += self.i.ready.eq(~ended)
                with m.If(transfers(self.i)):
                    m.d.sync += ended.eq(self.i.payload.last)
                with m.If(ended):
                    m.next = "PIECE"
                    with m.If(posted):
                        m.next = "DESCRIPTOR"
            with m.State("PIECE"):
                m.d.sync += piece.eq(Mux(words < room, words, room))
                m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(head.as_value().word_select(count, DWORD)),
                ]
                with m.If(self.o.ready):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == _CC_WORDS - 1):
                        m.d.sync += count.eq(0)
                        m.next = "READ"
                        with m.If(~supported):
                            m.next = "ENABLES"
            with m.State("READ"):
                m.d.comb += self.o_access.valid.eq(1)
                with m.If(self.o_access.ready):
                    m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += [
                    self.o.valid.eq(self.i_word.valid),
                    self.o.payload.data.eq(self.i_word.payload),
                    self.o.payload.last.eq((words == 1) | (room == 1)),
                    self.i_word.ready.eq(self.o.ready),
                ]
                with m.If(transfers(self.o)):
                    m.d.sync += [
                        address.eq(address + 1),
                        words.eq(words - 1),
                        size.eq(size - 4 + Mux(first, skipped, 0)),
                        first.eq(0),
                    ]
                    m.next = "READ"
                    with m.If(room == 1):
                        m.next = "PIECE"
                    with m.If(words == 1):
                        m.next = "DESCRIPTOR"
            # What is not supported: the block logs the request.
            with m.State("ENABLES"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(Cat(first_bytes, last_bytes)),
                ]
                with m.If(self.o.ready):
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(request.as_value().word_select(count, DWORD)),
                    self.o.payload.last.eq(count == _CQ_WORDS - 1),
                ]
                with m.If(self.o.ready):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == _CQ_WORDS - 1):
                        m.next = "DESCRIPTOR"
        return m
