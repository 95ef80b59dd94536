"""RegisterWindow: accesses of whole words and of bytes, refusals, and LINK."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.pcie import BAR_BYTES, LINK
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import connect_stream, transfers, waits
from sterna_rtl.pcie.completer import ACCESS
from sterna_rtl.pcie.window import RegisterWindow
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.pcie.host import DEAF, FULL, MUTE, QUEUE_ADDRESSES, Host

LINK_WORD = LINK // 4
SLOW = 77
"""A register that takes a write late."""
PATIENCE = 256
"""More than the stalls of a read and its answer."""


class Answered(Component):
    """The window with a chip that gives an answer once it is asked.

    `untimely` tells whether it ever lost patience too early or too late, or left an answer waiting.
    """

    def __init__(self, window) -> None:
        self.window = window
        super().__init__(
            {
                "i": In(stream.Signature(ACCESS)),
                "o": Out(stream.Signature(32)),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
                "cleared": Out(8),
                "untimely": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.window = window = self.window
        connect_stream(m, self.i, window.i)
        connect_stream(m, window.o, self.o)
        asked = window.o_request
        m.d.comb += self.o_request.payload.eq(asked.payload)
        slow = Signal()
        with m.If(Mux(asked.payload.write, slow, asked.payload.address != DEAF)):
            m.d.comb += [self.o_request.valid.eq(asked.valid), asked.ready.eq(self.o_request.ready)]
        with m.If(~asked.payload.write):
            m.d.comb += self.o_request.payload.data.eq(0)  # what a read writes is anything
        m.d.comb += window.refused.eq(
            (asked.payload.address == FULL) & asked.payload.write & transfers(asked)
        )
        owed = Signal()
        m.d.comb += [
            window.i_answer.payload.eq(self.i_answer.payload),
            window.i_answer.valid.eq(self.i_answer.valid & owed),
            self.i_answer.ready.eq(window.i_answer.ready & owed),
        ]
        with m.If(transfers(window.i_answer)):
            m.d.sync += owed.eq(0)
        with m.If(transfers(asked) & ~asked.payload.write & (asked.payload.address != MUTE)):
            m.d.sync += owed.eq(1)
        with m.If(window.clear):
            m.d.sync += self.cleared.eq(self.cleared + 1)
        since = Signal(16)  # an access
        m.d.sync += since.eq(Mux(transfers(self.i), 1, since + 1))
        m.d.comb += slow.eq((asked.payload.address != SLOW) | (since > PATIENCE + 9))
        with m.If((window.clear & (since != PATIENCE)) | waits(window.i_answer)):
            m.d.sync += self.untimely.eq(1)
        return m


def broken(old, new):
    return lambda config: Answered(edited(RegisterWindow, old, new)(PATIENCE))


class WindowBench(UnitBench):
    """What a host can do to registers, and to itself."""

    name = "pcie-window"
    bugs = {
        "open from the start": broken(
            "held, fresh, count = Signal(init=1)", "held, fresh, count = Signal()"
        ),
        "never fresh": broken(
            "fresh, count = Signal(init=1), Signal(init=1)",
            "fresh, count = Signal(init=1), Signal()",
        ),
        "goes on after a refusal": broken("held.eq(refused), ", ""),
        "refusals counted": broken("count + ~refused", "count + 1"),
        "writes not counted": broken("count + ~refused", "count"),
        "held writes done": broken("with m.If(access.write & held):", "with m.If(0):"),
        "opened by a read": broken("self.i.valid & ~access.write)", "self.i.valid & 0)"),
        "damage done": broken("(access.damaged | ~whole & is_queue)", "(~whole & is_queue)"),
        "bytes into a queue": broken("(access.damaged | ~whole & is_queue)", "access.damaged"),
        "bytes as a word": broken("access.write & whole)", "access.write)"),
        "other bytes cleared": broken("& mask | answer & ~mask", "& mask"),
        "bytes of the answer": broken("answer & ~mask", "answer"),
        "waits for ever": broken("(waited == self.patience - 1)", "(0)"),
        "no patience": broken("(waited == self.patience - 1)", "(waited == 20)"),
        "open after a reset": broken(
            "self.o.payload.eq(0), held.eq(1), fresh", "self.o.payload.eq(0), fresh"
        ),
        "word of a write": broken(
            'with m.If(merges):\n                    m.next = "IDLE"',
            'with m.If(0):\n                    m.next = "IDLE"',
        ),
        "merged but not written": broken(
            'with m.If(merges):\n                        m.next = "REQUEST"',
            "with m.If(0):\n                        pass",
        ),
        "no bytes are a read": broken(
            "(access.address < LINK // 4) & ~nothing", "(access.address < LINK // 4)"
        ),
        "registers over and over": broken("access.address < LINK // 4", "1"),
        "link everywhere": broken(
            "with m.If((access.address == LINK // 4) & ~nothing):", "with m.If(~nothing):"
        ),
    }
    not_stalled = {
        "i": "an access is taken when the one before is done",
        "i_answer": "it waits to be asked",
    }

    def dut(self, config):
        return Answered(RegisterWindow(PATIENCE))

    def cases(self, config, rng):
        host = Host(rng, 64)

        def case(name):
            made = Case(
                {"i": host.accesses, "i_answer": host.answers},
                {"o": host.words, "o_request": host.requests},
                finals={"cleared": host.cleared, "untimely": 0},
                name=name,
            )
            host.clear()
            return made

        def look():
            host.access(0, LINK_WORD)
            host.access(1, LINK_WORD, host.word())
            host.access(0, LINK_WORD)

        host.access(1, 3, host.word())
        host.access(0, 3)
        look()
        for address in (0, 1, 255):
            host.access(1, address, host.word())
            host.access(0, address)
        host.access(0, LINK_WORD)
        yield case("words")

        for enables in range(16):
            host.access(1, 9, host.word(), enables)
            host.access(0, 9, enables=enables)
            host.access(0, LINK_WORD, enables=enables)
        for address in (LINK_WORD + 1, LINK_WORD + 9, BAR_BYTES // 4 - 1):
            host.access(1, address, host.word())
            host.access(0, address)
        look()
        yield case("bytes, and what is no register")

        for address, enables, damaged in (
            (FULL, 15, False),
            (7, 15, True),
            *((address, 7, False) for address in sorted(QUEUE_ADDRESSES)),
            (FULL, 1, False),
        ):
            host.access(1, 5, host.word())
            host.access(1, address, host.word(), enables, damaged)
            for other in (FULL, 6, 7):
                host.access(1, other, host.word())
            host.access(1, LINK_WORD, 0, enables=0)
            host.access(0, 6)
            look()
        yield case("refused")

        host.access(1, SLOW, host.word())
        yield case("a write that takes long")

        for address, enables, write in ((DEAF, 15, 0), (MUTE, 15, 0), (DEAF, 3, 1), (MUTE, 3, 1)):
            host.access(1, 5, host.word())
            host.access(write, address, host.word(), enables)
            host.access(1, 6, host.word())
            look()
            host.access(1, 7, host.word())
            host.access(0, 7)
        yield case("not answered")


class ManyBench(WindowBench):
    """Thousands of writes, which are counted."""

    name = "pcie-window-many"
    slow_configs = bug_configs = ("default",)
    cocotb_configs = ()
    stalls = (Stalls(),)

    def cases(self, config, rng):
        host = Host(rng, 64)
        host.access(1, LINK_WORD, host.word())
        for number in range(9000):
            host.access(1, 5, host.word())
            if number % 500 == 0:
                host.access(0, LINK_WORD)
        host.access(0, LINK_WORD)
        yield Case(
            {"i": host.accesses, "i_answer": host.answers},
            {"o": host.words, "o_request": host.requests},
            finals={"untimely": 0},
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(WindowBench())
test_many, _, _ = bench_tests(ManyBench())
