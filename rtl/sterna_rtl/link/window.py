"""Window: which request is next, which reply is asked for again, and what the host is told."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import memory, stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import WINDOW, Kind
from sterna_rtl.lib.stream import transfers
from sterna_rtl.link.frames import FRAME

__all__ = ["NOTICE", "REQUEST_FRAME", "Window"]

_FIELDS = {"session": 4, "sequence": 8}

REQUEST_FRAME = StructLayout({**_FIELDS, "length": 9, "resume": 1})
"""A request to execute: `sequence` modulo `WINDOW` is its place in the RAMs."""

NOTICE = StructLayout({"kind": 4, **_FIELDS})
"""A frame that answers no request."""


class Window(Component):
    """Keep the sequence numbers of `sterna.spec.link`.

    Attributes
    ----------
    frame, bad : Signal, in
        A good frame came, with `i`; a damaged one.
    i : View of FRAME, in
    slot, store : Signal, out
        For `FrameReceiver`.
    o : stream.Interface
        Requests to execute, in order. The next one waits for `done`.
    done : Signal, in
        Strobe: the request taken last is done and its reply stands in the RAM.
    resend, resend_slot : out
        Strobe: a reply that the host has not received.
    o_notice : stream.Interface
        What to tell the host. The latest news; what it replaces has lost its meaning.
    synced : Signal, out
        Strobe: a session begins; replies that were not sent are void.

    Latency
        2 clocks from a frame to its request.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "frame": In(1),
                "bad": In(1),
                "i": In(FRAME),
                "slot": Out(range(WINDOW)),
                "store": Out(1),
                "o": Out(stream.Signature(REQUEST_FRAME)),
                "done": In(1),
                "resend": Out(1),
                "resend_slot": Out(range(WINDOW)),
                "o_notice": Out(stream.Signature(NOTICE)),
                "synced": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        session, open_ = Signal(4), Signal()  # there is a session
        expected, executed = Signal(8), Signal(8)  # next number to accept, next to be done
        taken = Signal()  # a request is being executed
        waiting, ahead, behind = Signal(8), Signal(8), Signal(8)
        m.d.comb += [
            waiting.eq(expected - executed),
            ahead.eq(self.i.sequence - expected),
            behind.eq(executed - self.i.sequence),
            self.slot.eq(expected),
            self.store.eq(waiting != WINDOW),
        ]

        m.submodules.requests = requests = memory.Memory(
            shape=StructLayout({"length": 9, "resume": 1}), depth=WINDOW, init=[]
        )
        accept = Signal()
        write, read = requests.write_port(), requests.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(expected),
            write.data.length.eq(self.i.length),
            write.data.resume.eq(self.i.kind == Kind.RESUME),
            write.en.eq(accept),
            read.addr.eq(executed),
        ]
        begins = Signal()  # a new session waits for the request in progress
        first, next_session = Signal(8), Signal(4)
        request = self.o.payload
        with m.If(transfers(self.o)):
            m.d.sync += [taken.eq(1), self.o.valid.eq(0)]
        with m.Elif(~self.o.valid & ~taken & ~begins & (waiting != 0)):
            m.d.sync += [
                self.o.valid.eq(1),
                request.session.eq(session),
                request.sequence.eq(executed),
                request.length.eq(read.data.length),
                request.resume.eq(read.data.resume),
            ]
        with m.If(self.done):
            m.d.sync += [taken.eq(0), executed.eq(executed + 1)]

        ahead_of_first = Signal(8)
        m.d.comb += ahead_of_first.eq(self.i.sequence - first)
        rejected = Signal()  # AGAIN has been said and its request has not come
        notice, reason = Signal(), Signal(Kind)
        m.d.comb += self.resend_slot.eq(self.i.sequence)
        with m.If(self.frame):
            with m.If(self.i.kind == Kind.SYNC):
                # The same again, maybe late, must not begin anew: requests would be done twice.
                with m.If(open_ & ~begins & (self.i.session == session) & (ahead_of_first == 0)):
                    m.d.comb += [notice.eq(1), reason.eq(Kind.SYNCED)]
                with m.Else():
                    m.d.sync += [
                        begins.eq(1),
                        first.eq(self.i.sequence),
                        next_session.eq(self.i.session),
                    ]
            with m.Elif((self.i.kind == Kind.EXECUTE) | (self.i.kind == Kind.RESUME)):
                with m.If(~open_ | (self.i.session != session)):
                    m.d.comb += [notice.eq(1), reason.eq(Kind.LOST)]
                with m.Elif((ahead == 0) & self.i.stored):
                    m.d.comb += accept.eq(1)
                    m.d.sync += [expected.eq(expected + 1), rejected.eq(0)]
                with m.Elif((behind != 0) & (behind <= WINDOW)):
                    m.d.comb += self.resend.eq(1)
                with m.Elif(ahead < 128):
                    m.d.comb += [notice.eq(~rejected), reason.eq(Kind.AGAIN)]
        with m.If(self.bad & open_):
            m.d.comb += [notice.eq(~rejected), reason.eq(Kind.AGAIN)]

        m.d.comb += self.synced.eq(begins & ~taken & ~self.o.valid)
        with m.If(self.synced):
            m.d.comb += [notice.eq(1), reason.eq(Kind.SYNCED)]
            m.d.sync += [
                begins.eq(self.frame & (self.i.kind == Kind.SYNC)),
                open_.eq(1),
                session.eq(next_session),
                expected.eq(first),
                executed.eq(first),
                rejected.eq(0),
            ]
        self._notify(m, notice, reason, Mux(self.synced, next_session, session), expected, first)
        with m.If(notice & (reason == Kind.AGAIN)):
            m.d.sync += rejected.eq(1)
        return m

    def _notify(self, m: Module, notice, reason, session, expected, first) -> None:
        """Hold the latest notice until it is taken."""
        pending, held = Signal(), Signal(NOTICE)
        noticed, latest = Signal(), Signal(NOTICE, reset_less=True)
        news = self.o_notice
        m.d.sync += [
            noticed.eq(notice),
            latest.kind.eq(reason),
            latest.session.eq(session),
            latest.sequence.eq(Mux(reason == Kind.SYNCED, first, expected)),
        ]
        with m.If(transfers(news)):
            m.d.sync += news.valid.eq(0)
        with m.If(~news.valid & pending):
            m.d.sync += [news.valid.eq(1), news.payload.eq(held), pending.eq(0)]
        with m.If(noticed):
            m.d.sync += [pending.eq(1), held.eq(latest)]
