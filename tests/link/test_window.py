"""Window: against a model of its rules, event by event."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.link import WINDOW, Kind
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.link.frames import FRAME
from sterna_rtl.link.window import NOTICE, REQUEST_FRAME, Window
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from tests.control.wrap import join

EVENT = StructLayout({"frame": 1, "bad": 1, "take": 1, "done": 1, "hurry": 1, "item": FRAME})
SHOWN = StructLayout({"slot": range(WINDOW), "store": 1})
PAUSE = 6


class Events(Component):
    """The window, given an event every few clocks.

    `take` lets the executor take a request, `done` ends it. After each event come what is shown to
    the receiver, and what the window says. With `hurry` the next event comes on the next clock, and
    what is shown is not looked at.
    """

    def __init__(self, window) -> None:
        self.window = window
        super().__init__(
            {
                "i": In(stream.Signature(EVENT)),
                "o": Out(stream.Signature(REQUEST_FRAME)),
                "notices": Out(stream.Signature(NOTICE)),
                "resends": Out(stream.Signature(range(WINDOW))),
                "shown": Out(stream.Signature(SHOWN)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.window = window = self.window
        clock = Signal(range(PAUSE))
        event = self.i.payload
        queues = {}
        for name in ("o", "notices", "resends", "shown"):
            port = getattr(self, name)
            m.submodules[name] = queues[name] = Queue(port.payload.shape(), 128)
            connect_stream(m, queues[name].o, port)
        begins = self.i.valid & (clock == 0)
        last = event.hurry | (clock == PAUSE - 1)
        ends = self.i.valid & last
        m.d.comb += [
            window.frame.eq(begins & event.frame),
            window.bad.eq(begins & event.bad),
            window.done.eq(begins & event.done),
            window.i.eq(event.item),
            window.o.ready.eq(begins & event.take),
            window.o_notice.ready.eq(1),
            self.i.ready.eq(last),
            queues["o"].i.valid.eq(transfers(window.o)),
            queues["o"].i.payload.eq(window.o.payload),
            queues["notices"].i.valid.eq(window.o_notice.valid),
            queues["notices"].i.payload.eq(window.o_notice.payload),
            queues["resends"].i.valid.eq(window.resend),
            queues["resends"].i.payload.eq(window.resend_slot),
            queues["shown"].i.valid.eq(ends & ~event.hurry),
            queues["shown"].i.payload.slot.eq(window.slot),
            queues["shown"].i.payload.store.eq(window.store),
        ]
        with m.If(self.i.valid):
            m.d.sync += clock.eq(Mux(ends, 0, clock + 1))
        return m


class Model:
    """What the rules of `sterna.spec.link` say."""

    def __init__(self, rng):
        self.rng = rng
        self.session, self.first, self.expected, self.executed = None, None, 0, 0
        self.requests, self.taken, self.rejected, self.sync = {}, False, False, None
        self.offered = False  # the oldest request is at the executor's door
        self.events = []
        self.out = {"o": [], "notices": [], "resends": [], "shown": []}

    def _event(self, item=None, hurry=0, **event):
        nothing = {"kind": 0, "session": 0, "sequence": 0, "length": 0, "stored": 0}
        zeros = dict.fromkeys(("frame", "bad", "take", "done"), 0)
        self.offered |= bool(self._waiting() and not self.taken and self.sync is None)
        self.events.append({**zeros, **event, "hurry": hurry, "item": item or nothing})
        if not hurry:
            self.out["shown"].append({"slot": self.expected % 8, "store": self._waiting() < WINDOW})

    def _waiting(self):
        return (self.expected - self.executed) % 256

    def _say(self, kind, sequence):
        session = self.session or 0
        self.out["notices"].append({"kind": kind, "session": session, "sequence": sequence})

    def _again(self):
        if not self.rejected:
            self._say(Kind.AGAIN, self.expected)
        self.rejected = True

    def _begin(self):
        if self.sync and not self.taken and not self.offered:
            self.session, self.first = self.sync
            self.expected = self.executed = self.first
            self.sync, self.rejected, self.requests = None, False, {}
            self._say(Kind.SYNCED, self.first)

    def frame(self, kind, session, sequence, length=8, hurry=0):
        """A good frame comes; with `hurry` the next event comes on the next clock."""
        stored = self._waiting() < WINDOW
        if kind == Kind.SYNC:
            if self.session == session and self.first == sequence and not self.sync:
                self._say(Kind.SYNCED, self.first)
            else:
                self.sync = (session, sequence)
                self._begin()
        elif kind in (Kind.EXECUTE, Kind.RESUME):
            ahead = (sequence - self.expected) % 256
            if session != self.session:
                self._say(Kind.LOST, self.expected)
            elif ahead == 0 and stored:
                self.requests[sequence] = (length, kind == Kind.RESUME)
                self.expected, self.rejected = (self.expected + 1) % 256, False
            elif 0 < (self.executed - sequence) % 256 <= WINDOW:
                self.out["resends"].append(sequence % WINDOW)
            elif ahead < 128:
                self._again()
        item = {
            "kind": kind, "session": session, "sequence": sequence, "length": length,
            "stored": stored,
        }  # fmt: skip
        self._event(item, hurry, frame=1)

    def bad(self):
        """A damaged frame comes."""
        if self.session is not None:
            self._again()
        self._event(bad=1)

    def take(self):
        """The executor is ready for one clock; a new session waits for what it takes."""
        if self.offered:
            self.taken, self.offered = True, False
            length, resume = self.requests[self.executed]
            self.out["o"].append(
                {
                    "session": self.session,
                    "sequence": self.executed,
                    "length": length,
                    "resume": resume,
                }
            )
        self._event(take=1)

    def done(self):
        """The request taken is done."""
        if self.taken:
            self.taken = False
            self.executed = (self.executed + 1) % 256
            self._begin()
            self._event(done=1)

    def case(self, name):
        return Case({"i": self.events}, self.out, name=name)


def broken(old, new):
    return lambda config: Events(edited(Window, old, new)())


class WindowBench(UnitBench):
    """What a host does, what a bad line does, and chance."""

    name = "window"
    configs = {"only": None}
    reset_between = True
    bugs = {
        "executes twice": broken("(ahead == 0) & self.i.stored", "(ahead != 1) & self.i.stored"),
        "a ninth without room": broken("(ahead == 0) & self.i.stored", "ahead == 0"),
        "answers what it never executed": broken("(behind != 0) & (behind", "(behind"),
        "answers too old ones": broken("(behind <= WINDOW)", "(behind < 128)"),
        "says AGAIN again and again": broken("rejected.eq(1)", "rejected.eq(0)"),
        "AGAIN only once for ever": broken("expected.eq(expected + 1), rejected.eq(0)]",
                                           "expected.eq(expected + 1)]"),
        "session not looked at": broken("~open_ | (self.i.session != session)", "~open_"),
        "speaks without a session": broken("self.bad & open_", "self.bad"),
        "late SYNC begins anew": broken("open_ & ~begins & (self.i.session", "0 & (self.i.session"),
        "two at a time": broken("& ~taken & ~begins & (waiting", "& ~begins & (waiting"),
        "resume forgotten": broken("resume.eq(self.i.kind == Kind.RESUME)", "resume.eq(0)"),
    }  # fmt: skip
    not_stalled = {"i": "an event every few clocks"}

    def dut(self, config):
        return Events(Window())

    def cases(self, config, rng):
        model = Model(rng)
        model.bad()
        model.frame(Kind.EXECUTE, 3, 9)
        model.frame(Kind.SYNC, 3, 250)
        for number in range(12):
            model.frame(Kind.EXECUTE, 3, (250 + number) % 256, length=number)
        model.frame(Kind.EXECUTE, 3, 250)
        for _ in range(9):
            model.take()
            model.done()
        for sequence in (250, 249, 1, 2, 3, 200, 130):
            model.frame(Kind.EXECUTE, 3, sequence)
        model.frame(Kind.SYNC, 3, 250)
        model.frame(Kind.RESUME, 3, 4)
        for _ in range(2):
            model.take()
            model.done()
        model.take()
        model.frame(Kind.SYNC, 4, 250)
        model.frame(Kind.EXECUTE, 4, 251)
        model.done()
        model.frame(Kind.EXECUTE, 4, 250)
        model.take()
        model.frame(Kind.DONE, 4, 250)
        yield model.case("a host and its troubles")

        model = Model(rng)
        model.frame(Kind.SYNC, 1, 7)
        for _ in range(60):
            self.chance(model, rng, 1, 2)
        yield model.case("chance")

    def chance(self, model, rng, session, other):
        what = rng.integers(10)
        near = int(model.expected + rng.integers(-10, 4)) % 256
        if what < 3:
            model.frame(Kind.EXECUTE, session, model.expected, int(rng.integers(257)))
        elif what < 5:
            model.frame(Kind.RESUME, int(rng.choice([session, other])), near)
        elif what == 5:
            model.bad()
        elif what < 8:
            model.take()
        else:
            model.done()


class ChanceBench(WindowBench):
    """Many sessions of any number, among frames of every kind; numbers that differ in one bit."""

    name = "window-chance"
    stalls = (Stalls(), Stalls("random", "random"))
    cocotb_configs = ()

    def cases(self, config, rng):
        for _ in range(10):
            model, session = Model(rng), int(rng.integers(16))
            for _ in range(150):
                what = rng.random()
                if what < 0.03:
                    if rng.random() < 0.7:
                        session = int(rng.integers(16))
                    # Maybe another on the next clock; of three, one might not be told.
                    for hurry in (1, 0) if rng.random() < 0.5 else (0,):
                        model.frame(Kind.SYNC, session, int(rng.integers(256)), hurry=hurry)
                elif what < 0.06 and model.first is not None:
                    bit = int(rng.integers(8)) if rng.random() < 0.5 else 8
                    model.frame(Kind.SYNC, model.session, (model.first ^ 1 << bit) % 256)
                elif what < 0.1:
                    model.frame(Kind(int(rng.choice(list(Kind)))), session, model.expected)
                elif what < 0.15:
                    model.frame(Kind.EXECUTE, session, model.expected ^ 1 << int(rng.integers(8)))
                elif what < 0.2:
                    model.frame(Kind.EXECUTE, session, int(rng.integers(256)))
                else:
                    self.chance(model, rng, session, session ^ 1 << int(rng.integers(4)))
            yield model.case("sessions")


test_pysim, test_cocotb, test_planted_bugs = bench_tests(WindowBench())
test_chance, _, _ = bench_tests(ChanceBench())


class Lawful(Component):
    """The window, told that a request is done only after it was taken."""

    def __init__(self, window) -> None:
        self.window = window
        super().__init__(dict(window.signature.members.items()))

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.window = window = self.window
        join(m, self, window)
        taken = Signal()
        m.d.comb += window.done.eq(self.done & taken)
        with m.If(window.done):
            m.d.sync += taken.eq(0)
        with m.If(transfers(window.o)):
            m.d.sync += taken.eq(1)
        return m


def test_contract():
    """Requests and notices are held, whatever comes."""
    bug = edited(Window, "with m.If(transfers(news)):", "with m.If(news.valid):")
    contract = StreamContract(free=("frame", "bad", "done", "i"), depth=16)
    check_contract(lambda: Lawful(Window()), contract, {"not held": lambda: Lawful(bug())})
