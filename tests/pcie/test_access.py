"""RegisterAccess: requests of all kinds in beats of all widths, and what comes back."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.pcie import BAR_BYTES, BEAT_BITS, LINK
from sterna_rtl.control.registers import REQUEST
from sterna_rtl.lib.stream import transfers
from sterna_rtl.pcie.access import RegisterAccess
from sterna_rtl.pcie.block import cc_beat, cq_beat
from sterna_rtl.pcie.completer import LONGEST, Completer
from sterna_rtl.pcie.reader import CqReader
from sterna_rtl.pcie.window import RegisterWindow
from sterna_rtl.pcie.writer import CcWriter
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.pcie.host import (
    CAS,
    DEAF,
    FETCH_ADD,
    FULL,
    IO_READ,
    IO_WRITE,
    LOCKED,
    MESSAGE,
    MUTE,
    QUEUE_ADDRESSES,
    READ,
    SWAP,
    VENDOR_MESSAGE,
    WRITE,
    Host,
)

PATIENCE = 256
"""More than the stalls of a read and its answer."""


def flat(layout):
    """A beat whose sideband has no names."""
    sizes = {name: field.width for name, field in layout}
    return StructLayout(sizes)


class Answered(Component):
    """The unit with a chip that gives an answer once it is asked, if it does.

    `gap` tells of torn packets, `cleared` how often the chip was to be reset.
    """

    def __init__(self, width, access) -> None:
        self.access = access
        super().__init__(
            {
                "cq": In(stream.Signature(flat(cq_beat(width)))),
                "cc": Out(stream.Signature(flat(cc_beat(width)))),
                "o_request": Out(stream.Signature(REQUEST)),
                "i_answer": In(stream.Signature(32)),
                "gap": Out(1),
                "cleared": Out(8),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.access = access = self.access
        for ours, theirs in (
            (self.cq, access.cq),
            (access.cc, self.cc),
            (access.o, self.o_request),
        ):
            m.d.comb += [
                Value.cast(theirs.payload).eq(Value.cast(ours.payload)),
                theirs.valid.eq(ours.valid),
                ours.ready.eq(theirs.ready),
            ]
        with m.If(~access.o.payload.write):
            m.d.comb += self.o_request.payload.data.eq(0)  # what a read writes is anything
            with m.If(access.o.payload.address == DEAF):
                m.d.comb += [self.o_request.valid.eq(0), access.o.ready.eq(0)]
        m.d.comb += access.refused.eq(
            (access.o.payload.address == FULL) & access.o.payload.write & transfers(access.o)
        )
        owed = Signal()
        m.d.comb += [
            access.i.payload.eq(self.i_answer.payload),
            access.i.valid.eq(self.i_answer.valid & owed),
            self.i_answer.ready.eq(access.i.ready & owed),
        ]
        with m.If(transfers(access.i)):
            m.d.sync += owed.eq(0)
        with m.If(transfers(access.o) & ~access.o.payload.write):
            m.d.sync += owed.eq(access.o.payload.address != MUTE)
        m.d.sync += self.cleared.eq(self.cleared + access.clear)
        inside = Signal()
        with m.If(transfers(self.cc)):
            m.d.sync += inside.eq(~self.cc.payload.last)
        with m.If(inside & ~self.cc.valid):
            m.d.sync += self.gap.eq(1)
        return m


def impatient(width):
    """The unit, which does not wait as long."""
    access = RegisterAccess(width)
    access.window = RegisterWindow(PATIENCE)
    return access


def broken(part, unit, old, new, *parameters):
    """The whole unit with one broken part."""

    def make(width):
        access = impatient(width)
        of_width = [width] if part in ("reader", "writer") else []
        setattr(access, part, edited(unit, old, new)(*of_width, *parameters))
        return Answered(width, access)

    return make


class AccessBench(UnitBench):
    """All that can be asked, in turn and at random."""

    name = "pcie-access"
    configs = {str(width): width for width in BEAT_BITS}
    cocotb_configs = ("64", "512")  # the others under the root complex
    slow_configs = ("128", "256")
    bug_configs = ("64", "512")
    bugs = {
        "enables of the last beat": broken("reader", CqReader, "Mux(first, Cat", "Mux(1, Cat"),
        "damage not seen": broken("reader", CqReader, "beat.user.discontinue", "0"),
        "first word of each beat": broken(
            "reader", CqReader, "word_select(place,", "word_select(0,"
        ),
        "words of no beat": broken("reader", CqReader, "(beat.keep >> 1)", "beat.keep"),
        "gap in a packet": broken(
            "writer",
            CcWriter,
            "self.o.valid.eq(queue.o.valid & (packets != 0)),\n"
            "            queue.o.ready.eq(self.o.ready & (packets != 0))",
            "self.o.valid.eq(queue.o.valid),\n            queue.o.ready.eq(self.o.ready)",
            LONGEST,
        ),
        "words of the beat before": broken(
            "writer", CcWriter, "beat.keep.eq(1)]", "beat.keep.eq(beat.keep | 1)]", LONGEST
        ),
        "packet too long for the queue": broken(
            "writer", CcWriter, "self.beats = -(-words", "self.beats = -(-words // 2", LONGEST
        ),
        "requests in beats": broken("completer", Completer, "Cat(bits[DWORD:],", "Cat(bits[:96],"),
        "first enables for all": broken(
            "completer", Completer, "access.bytes.eq(last_bytes)", "access.bytes.eq(first_bytes)"
        ),
        "writes to other bars": broken("completer", Completer, "(request.bar == 0) &", ""),
        "writes to other functions": broken(
            "completer", Completer, "& (request.function == 0)", ""
        ),
        "completion of a message": broken("completer", Completer, "| kind[3]", ""),
        "locked as not": broken(
            "completer", Completer, "head.locked.eq(kind ==", "head.locked.eq(kind < 0 *"
        ),
        "completions in one": broken("completer", Completer, "words < room", "1"),
        "cut everywhere": broken(
            "completer",
            Completer,
            "room = _PIECE - address[: _PIECE.bit_length() - 1]",
            "room = C(_PIECE)",
        ),
        "bytes of the first enables": broken(
            "completer", Completer, "- skipped - missing", "- missing"
        ),
        "bytes of the last enables": broken(
            "completer", Completer, "- skipped - missing", "- skipped"
        ),
        "no bytes are four": broken("completer", Completer, "size.eq(1)", "size.eq(4)"),
        "bytes that stay": broken("completer", Completer, "size.eq(size - 4 +", "size.eq(size +"),
        "bytes of an atomic": broken(
            "completer", Completer, "request.dwords << 1)", "request.dwords)"
        ),
        "low address of a later one": broken(
            "completer", Completer, "Mux(first, skipped, C(0, 2))", "skipped"
        ),
        "answer to another tag": broken(
            "completer", Completer, "head.tag.eq(request.tag)", "head.tag.eq(0)"
        ),
        "no log of what failed": broken(
            "completer", Completer, "Cat(first_bytes, last_bytes)", "0"
        ),
        "address that stays": broken(
            "completer",
            Completer,
            "m.d.sync += [address.eq(address + 1), words",
            "m.d.sync += [words",
        ),
    }
    not_stalled = {
        "cq": "a request is taken when the one before is done",
        "i_answer": "it waits to be asked",
    }
    drain = 40
    # Of each side and of both: beats of 512 bits take long in Amaranth's simulator.
    stalls = (
        Stalls(),
        Stalls("3-in-4", "3-in-4"),
        Stalls("random", "none"),
        Stalls("none", "long"),
        Stalls("none", "late"),
    )

    def dut(self, config):
        return Answered(config, impatient(config))

    def cases(self, config, rng):
        host = Host(rng, config)

        def case(name, clocks=None):
            made = Case(
                {"cq": host.cq, "i_answer": host.answers},
                {"cc": host.cc, "o_request": host.requests},
                finals={"gap": 0, "cleared": host.cleared},
                clocks=clocks,
                name=name,
            )
            host.clear()
            return made

        words = lambda count: [host.word() for _ in range(count)]
        host.send(WRITE, 4 * 7, words(1))  # dropped: nobody has opened the link
        host.send(READ, LINK, count=1)
        host.send(WRITE, LINK, words(1))
        for address in (7, 0, 255):
            host.send(WRITE, 4 * address, words(1))
            host.send(READ, 4 * address, count=1)
        host.send(READ, LINK, count=1)
        yield case("words")

        for _ in range(10):
            host.send(WRITE, 4 * 7, words(1))
        yield case("fast writes", clocks=6 * 10 + 1)
        host.send(WRITE, 4 * 7, words(10))
        yield case("fast block", clocks=3 * 10 + 4)
        for _ in range(10):
            host.send(READ, 4 * 7, count=1)
        yield case("fast reads", clocks=14 * 10 + 3)
        host.send(READ, 4 * 7, count=10)
        yield case("fast block of reads", clocks=5 * 10 + 8)

        for enables in range(16):
            host.send(WRITE, 4 * 9, words(1), first=enables)
            host.send(READ, 4 * 9, count=1, first=enables)
        for first, last in ((1, 8), (8, 1), (12, 7), (14, 15), (15, 3)):
            host.send(WRITE, 4 * 11, words(2), first=first, last=last)
            host.send(READ, 4 * 11, count=2, first=first, last=last)
        yield case("bytes")

        for count in (3, 4, 13):
            host.send(WRITE, 4 * (190 - count), words(count))
            host.send(READ, 4 * (60 - count), count=count)
        for address, count in ((0, 32), (31, 2), (33, 70)):
            host.send(READ, 4 * address, count=count, first=8, last=1)
        host.send(READ, LINK - 8, count=8)  # over the end of the registers
        host.send(WRITE, LINK + 4, words(3))
        yield case("long")

        for kind in (
            READ,
            LOCKED,
            IO_READ,
            IO_WRITE,
            FETCH_ADD,
            SWAP,
            CAS,
            MESSAGE,
            VENDOR_MESSAGE,
        ):
            data = {IO_WRITE: 1, FETCH_ADD: 2, SWAP: 1, CAS: 4, VENDOR_MESSAGE: 3}.get(kind, 0)
            host.send(kind, 4 * 5, words(data), count=data or 1, bar=0 if kind else 1)
            host.send(READ, 4 * 5, count=1)
        host.send(READ, 4 * 5, count=5, function=1, first=12)
        host.send(WRITE, 4 * 5, words(9), function=2)
        host.send(WRITE, 4 * 5, words(9), bar=2)
        host.send(WRITE, 4 * 5, words(1))
        yield case("unsupported")

        for fault in (
            lambda: host.send(WRITE, 4 * FULL, words(1)),
            lambda: host.send(WRITE, 4 * (FULL - 2), words(5)),
            lambda: host.send(WRITE, 4 * min(QUEUE_ADDRESSES), words(1), first=3),
            lambda: host.send(WRITE, 4 * 3, words(1), damaged=True),
            lambda: host.send(WRITE, 4 * 3, words(20), damaged=True),
        ):
            fault()
            host.send(WRITE, 4 * 8, words(2))
            host.send(READ, 4 * 8, count=1)
            host.send(READ, LINK, count=1)
            host.send(WRITE, LINK, words(1))
            host.send(WRITE, 4 * 8, words(1))
        host.send(READ, LINK, count=1)
        yield case("refused")

        for _ in range(25):
            count = int(rng.integers(2, 20)) if rng.random() < 0.2 else 1
            address = 4 * int(rng.integers(0, 180))
            first = int(rng.integers(16)) if count == 1 else int(rng.choice([1, 8, 12, 14, 15]))
            if rng.random() < 0.5:
                host.send(WRITE, address, words(count), first=first)
            else:
                host.send(READ, address, count=count, first=first)
            if host.held:
                host.send(WRITE, LINK, words(1))
        yield case("any")


class ManyBench(AccessBench):
    """Hundreds of requests of any kind to any function and BAR, and long ones; many at once."""

    name = "pcie-access-many"
    configs = {"64": 64}
    slow_configs = bug_configs = tuple(configs)
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("none", "long"))

    def cases(self, config, rng):
        host = Host(rng, config)
        host.send(WRITE, LINK, [host.word()])
        sizes = {IO_WRITE: (1,), FETCH_ADD: (1, 2), SWAP: (1, 2), CAS: (2, 4, 8)}
        sizes[VENDOR_MESSAGE] = (3,)
        others = [LOCKED, IO_READ, IO_WRITE, FETCH_ADD, SWAP, CAS, MESSAGE, VENDOR_MESSAGE]
        for _ in range(300):
            kind = int(rng.choice([*[READ, WRITE] * 6, *others]))
            data = int(rng.choice(sizes.get(kind, (0,))))
            address, count = int(rng.integers(210)), data or 1
            function = 1 << int(rng.integers(8)) if rng.random() < 0.2 else 0
            bar = int(rng.integers(1, 8)) if rng.random() < 0.1 or kind == LOCKED else 0
            if kind in (READ, WRITE, LOCKED) and rng.random() < 0.5:
                count = int(rng.integers(1, 20))
            if kind == READ and rng.random() < 0.05:
                address, count = int(rng.integers(300)), int(rng.integers(20, 720))
            many = count if kind == WRITE else data
            first, last = 15, None
            if kind in (READ, WRITE, LOCKED, IO_READ, IO_WRITE):
                first = int(rng.integers(16)) if count == 1 else int(rng.choice([8, 12, 14, 15]))
                last = int(rng.choice([1, 3, 7, 15])) if count > 1 else 0
            words = [host.word() for _ in range(many)]
            where = {"function": function, "bar": bar}
            host.send(kind, 4 * address, words, count, first, last, **where)
            if host.held:
                host.send(WRITE, LINK, [host.word()])
        for address in (DEAF, MUTE):
            host.send(WRITE, 4 * address, [host.word()], first=7)
            host.send(WRITE, LINK, [host.word()])
        for _ in range(2):
            host.send(READ, 0, count=BAR_BYTES // 4)
        for _ in range(80):
            host.send(READ, LINK, count=1)  # the shortest completions
        for _ in range(20):
            host.send(LOCKED, 0, count=1)
        yield Case(
            {"cq": host.cq, "i_answer": host.answers},
            {"cc": host.cc, "o_request": host.requests},
            finals={"gap": 0, "cleared": host.cleared},
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(AccessBench())
test_many, _, _ = bench_tests(ManyBench())
