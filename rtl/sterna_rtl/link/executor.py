"""Executor: operations of a request to register reads and writes, and the reply to it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import REPLY_WORDS, WINDOW, Code, Kind, Outcome
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.memory import ReadPort
from sterna_rtl.lib.stream import transfers
from sterna_rtl.link.frames import REQUEST_RAM_BYTES
from sterna_rtl.link.window import NOTICE, REQUEST_FRAME

__all__ = ["BYTE", "Executor"]

BYTE = StructLayout({"data": 8, "last": 1})
"""A byte of a frame, before its CRC."""

_WORD = 4


class Executor(Component):
    """Execute requests one after the other; between them, make a frame of each notice.

    Attributes
    ----------
    i : stream.Interface
        `REQUEST_FRAME`.
    i_notice : stream.Interface
        `NOTICE`; goes before a request.
    read : ReadPort
        The request RAM.
    o : stream.Interface
        `BYTE`: type, number, words read, outcome, words done, credits.
    o_request, i_answer, refused
        The chip's registers, see `Registers`.
    forget : Signal, in
        Strobe while idle: a new session begins, no request is held back.
    notice : Signal, out
        The frame on `o` is a notice.
    slot : Signal, out
        Else the place of the request.
    written : Signal, in
        Strobe: the frame stands in the RAM.
    done : Signal, out
        Strobe with `written`, after a request.

    Throughput
        A word of data in 9 clocks or more.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(REQUEST_FRAME)),
                "i_notice": In(stream.Signature(NOTICE)),
                "read": Out(ReadPort(REQUEST_RAM_BYTES, unsigned(8))),
                "o": Out(stream.Signature(BYTE)),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
                "refused": In(1),
                "forget": In(1),
                "notice": Out(1),
                "slot": Out(range(WINDOW)),
                "written": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        head = Signal(NOTICE)
        # What the registers say comes from afar, and is looked at a clock later.
        refused, arrived, answer = Signal(), Signal(), Signal(32)
        m.d.sync += [
            refused.eq(self.refused),
            arrived.eq(transfers(self.i_answer)),
            answer.eq(self.i_answer.payload),
        ]
        length, position = Signal(9), Signal(9)  # bytes of the payload, and those fetched
        at_end, short = Signal(), Signal()  # no bytes are left to fetch, or less than a word
        m.d.sync += [at_end.eq(position == length), short.eq(length - position < _WORD)]
        held = Signal()  # a request before was not done
        outcome, words_done = Signal(Outcome), Signal(8)
        m.d.comb += [
            self.slot.eq(head.sequence),
            self.read.address.eq(Cat(position[:8], self.slot)),
            self.done.eq(self.written & ~self.notice),
        ]
        code, address = Signal(Code), Signal(8)
        left = Signal(8)  # words of the operation to go
        read_room = Signal(range(REPLY_WORDS + 1))  # words that the reply can still take
        malformed = Signal()
        word, byte = Signal(32), Signal(range(_WORD + 2))
        fetched = Signal(8, reset_less=True)  # can be the RAM's own register
        m.d.sync += fetched.eq(self.read.data)
        reads = (code == Code.READ) | (code == Code.READ_NEXT)
        steps = (code == Code.WRITE_NEXT) | (code == Code.READ_NEXT)
        request = self.o_request.payload
        m.d.comb += [request.address.eq(address), request.data.eq(word), request.write.eq(~reads)]

        def emit(data, following: str, last: int = 0):
            """Give a byte, then go to the state that follows."""
            m.d.comb += [
                self.o.valid.eq(1),
                self.o.payload.data.eq(data),
                self.o.payload.last.eq(last),
            ]
            with m.If(self.o.ready):
                m.next = following

        def end(result: Outcome):
            m.d.sync += [outcome.eq(result), held.eq(result != Outcome.DONE)]
            m.next = "OUTCOME"

        with m.FSM(name="executor"):
            with m.State("IDLE"):
                m.d.comb += [self.i_notice.ready.eq(1), self.i.ready.eq(~self.i_notice.valid)]
                m.d.sync += [
                    position.eq(0), left.eq(0), words_done.eq(0), code.eq(0),
                    read_room.eq(REPLY_WORDS),
                    outcome.eq(Outcome.DONE),
                ]  # fmt: skip
                with m.If(self.i_notice.valid):
                    m.d.sync += [head.eq(self.i_notice.payload), self.notice.eq(1)]
                    m.next = "TYPE"
                with m.Elif(self.i.valid):
                    m.d.sync += [
                        head.kind.eq(Kind.DONE),
                        head.session.eq(self.i.payload.session),
                        head.sequence.eq(self.i.payload.sequence),
                        length.eq(self.i.payload.length),
                        held.eq(held & ~self.i.payload.resume),
                        self.notice.eq(0),
                    ]
                    m.next = "TYPE"
            with m.State("TYPE"):
                emit(Cat(head.kind, head.session), "NUMBER")
            with m.State("NUMBER"):
                emit(head.sequence, "BEGIN")
            with m.State("BEGIN"):
                m.next = "NEXT"
                with m.If(self.notice):
                    m.next = "OUTCOME"
                with m.Elif(held):
                    end(Outcome.HELD)
            # An operation, or a word of its data.
            with m.State("NEXT"):
                m.d.sync += byte.eq(0)
                m.next = "FETCH"
                with m.If(reads & (left != 0)):
                    m.next = "REQUEST"
                with m.Elif(at_end):
                    end(Outcome.DONE)
                    with m.If(left != 0):
                        end(Outcome.MALFORMED)
                with m.Elif(short):
                    end(Outcome.MALFORMED)
            with m.State("FETCH"):
                # A byte comes two clocks after its address: the first two are none.
                m.d.sync += [byte.eq(byte + 1), word.eq(Cat(word[8:], fetched))]
                with m.If(byte < _WORD):
                    m.d.sync += position.eq(position + 1)
                with m.If(byte == _WORD + 1):
                    m.next = "REQUEST"
                    with m.If(left == 0):
                        m.next = "OPERATION"
            with m.State("OPERATION"):
                m.d.sync += [
                    code.eq(word[:2]),
                    address.eq(word[8:16]),
                    left.eq(word[16:24]),
                    words_done.eq(words_done + 1),
                ]
                count, wants = word[16:24], word[0]
                reserved = word[2:8].any() | word[24:].any()
                m.d.sync += malformed.eq(reserved | (wants & (count > read_room)))
                m.next = "JUDGED"
            with m.State("JUDGED"):
                m.next = "NEXT"
                with m.If(malformed):
                    end(Outcome.MALFORMED)
            with m.State("REQUEST"):
                m.d.sync += self.o_request.valid.eq(1)
                with m.If(transfers(self.o_request)):
                    m.d.sync += self.o_request.valid.eq(0)
                    m.next = "TAKEN"
            with m.State("TAKEN"):
                m.d.sync += [left.eq(left - 1), address.eq(address + steps)]
                with m.If(reads):
                    m.next = "ANSWER"
                with m.Elif(refused):
                    end(Outcome.NO_ROOM)
                with m.Else():
                    m.d.sync += words_done.eq(words_done + 1)
                    m.next = "NEXT"
            with m.State("ANSWER"):
                m.d.comb += self.i_answer.ready.eq(~arrived)
                m.d.sync += [word.eq(answer), byte.eq(0)]
                with m.If(arrived):
                    m.d.sync += read_room.eq(read_room - 1)
                    m.next = "GIVE"
            with m.State("GIVE"):
                emit(word[:8], "GIVE")
                with m.If(self.o.ready):
                    m.d.sync += [word.eq(word >> 8), byte.eq(byte + 1)]
                    with m.If(byte == _WORD - 1):
                        m.next = "NEXT"
            with m.State("OUTCOME"):
                emit(outcome, "WORDS")
            with m.State("WORDS"):
                emit(words_done, "CREDITS")
            with m.State("CREDITS"):
                emit(WINDOW, "WRITTEN", last=1)
            with m.State("WRITTEN"), m.If(self.written):
                m.next = "IDLE"
        with m.If(self.forget):
            m.d.sync += held.eq(0)
        return m
