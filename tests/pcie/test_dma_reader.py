"""DmaReader: order, clocks, reservation and errors, before a host that does all that hosts may."""

from dataclasses import dataclass
from functools import partial

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import Assert
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.dma import BLOCK_BYTES, REQUEST_BLOCKS, DmaError
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.pcie.block import RQ_DESCRIPTOR, rc_beat, rq_beat
from sterna_rtl.pcie.dma_reader import DmaReader
from sterna_rtl.pcie.pages import DMA_PLACE
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from tests.pcie.answers import FAULTS, AnswersBeside, Behaviour

PAGES = 4
PATIENCE = 120
FIELDS = ("data", "keep", "last", "user")
RIGHT = ("errors", "faults", "mistagged", "untimely")
"""What must be 0 at the end."""


class Watched(wiring.Component):
    """A reader with the block's streams as plain ports, whose errors are cleared after a while.

    `seen` gathers errors. With `mute` words are dropped, and counted: after an error they may be
    anything. `faults` is up if something was asked for during one, `mistagged` if under another tag
    than the next. `untimely` tells whether the reader lost patience too early or too late, or
    dropped errors before it was told to.
    """

    def __init__(self, width, tags, reader=DmaReader):
        self.reader = reader(width, PATIENCE, tags)
        super().__init__(
            {
                "i": In(stream.Signature(DMA_PLACE)),
                "o": Out(stream.Signature(width)),
                **{f"rq_{name}": Out(rq_beat(width)[name].width) for name in FIELDS},
                **{f"rc_{name}": In(rc_beat(width)[name].width) for name in FIELDS},
                "rq_valid": Out(1),
                "rq_ready": In(1),
                "rc_valid": In(1),
                "mute": In(1),
                "wait": In(8),
                "seen": Out(len(DmaError)),
                "count": Out(16),
                "errors": Out(len(DmaError)),
                "faults": Out(1),
                "mistagged": Out(1),
                "untimely": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self.reader
        connect_stream(m, self.i, reader.i)
        rq, rc = reader.rq, reader.rc
        m.d.comb += [
            self.o.payload.eq(reader.o.payload),
            self.o.valid.eq(reader.o.valid & ~self.mute),
            reader.o.ready.eq(self.o.ready | self.mute),
            self.rq_valid.eq(rq.valid),
            rq.ready.eq(self.rq_ready),
            rc.valid.eq(self.rc_valid),
            *(getattr(self, f"rq_{name}").eq(rq.payload[name]) for name in FIELDS),
            *(Value.cast(rc.payload[name]).eq(getattr(self, f"rc_{name}"))
              for name in FIELDS),
            self.errors.eq(reader.errors),
            self.idle.eq(reader.idle),
        ]  # fmt: skip
        before, age = Signal(), Signal(8)
        m.d.comb += reader.clear.eq(reader.errors.any() & (age == self.wait))
        m.d.sync += [
            self.seen.eq(self.seen | reader.errors),
            before.eq(reader.errors.any()),
            age.eq(age + 1),
        ]
        with m.If(~reader.errors.any()):
            m.d.sync += age.eq(0)
        with m.If(transfers(reader.o)):
            m.d.sync += self.count.eq(self.count + 1)
        held = Signal()
        m.d.sync += held.eq(rq.valid & ~(rq.ready & rq.payload.last))
        with m.If(before & rq.valid & ~held):
            m.d.sync += self.faults.eq(1)
        self._watch_tags(m, before & ~reader.errors.any())
        self._watch_time(m, before & ~reader.errors.any())
        return m

    def _watch_tags(self, m, dropped):
        """Tags are used in turn, and count above how often errors have been dropped."""
        reader, rq = self.reader, self.reader.rq
        turn, drops = Signal(range(reader.tags)), Signal(8)
        now = drops + dropped
        tag = Signal(8)
        m.d.sync += drops.eq(now)
        with m.If(transfers(reader.i)):
            m.d.sync += [turn.eq(turn + 1), tag.eq(Cat(turn, now))]
        # It stands in the last of a descriptor's words.
        at = 96 % reader.width
        with m.If(rq.valid & rq.payload.last & (rq.payload.data[at : at + 8] != tag)):
            m.d.sync += self.mistagged.eq(1)

    def _watch_time(self, m, dropped):
        """Patience ends on its clock, and errors stay until they are cleared."""
        reader = self.reader
        silent, late = Signal(range(PATIENCE + 1)), reader.errors[DmaError.TIMEOUT]
        before, cleared = Signal(), Signal()
        m.d.sync += [
            silent.eq(Mux(reader.busy.any() & ~reader.known, silent + 1, 0)),
            before.eq(late),
            cleared.eq((cleared | reader.clear) & reader.errors.any()),
        ]
        # An answer that says so has just been heard.
        early = late & ~before & (silent != 0) & (silent != PATIENCE)
        with m.If(early | ((silent == PATIENCE) & ~late) | (dropped & ~cleared)):
            m.d.sync += self.untimely.eq(1)


@dataclass(frozen=True)
class Config:
    """Bits of a beat, tags, and blocks of the longest read."""

    width: int
    tags: int
    longest: int = REQUEST_BLOCKS


def broken(old, new):
    return lambda config: Watched(config.width, config.tags, edited(DmaReader, old, new))


class ReaderBench(UnitBench):
    """Hosts that are fast, slow, out of order, cutting, pausing and failing."""

    name = "dma reader"
    configs = {
        "256 bits": Config(256, 4),
        "64 bits": Config(64, 2),
        "128 bits": Config(128, 2, longest=1),
        "512 bits": Config(512, 8, longest=2),
    }
    cocotb_configs = ("256 bits", "64 bits")
    slow_configs = ("128 bits", "256 bits", "512 bits")  # 256 is played by cocotb
    bug_configs = ("256 bits", "64 bits")
    reset_between = True
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
    more = 0  # drawn cases
    drain = 3 * PATIENCE  # an answer that is late comes
    bugs = {
        "asks without a place": broken(" & (self.free != 0)", ""),
        "a place too many": broken(
            "Signal(range(tags + 1), init=tags)", "Signal(range(tags + 2), init=tags + 1)"),
        "places are lost": broken("- transfers(self.i) + ends", "- transfers(self.i)"),
        "in the order of the answers": broken("slot.eq(slot + 1)", "slot.eq(self.slot + 1)"),
        "half a request": broken("head.dwords.eq(read.blocks << words)",
            "head.dwords.eq(read.blocks << words - 1)"),
        "another address": broken("head.address.eq(read.address << words)",
            "head.address.eq(read.address << words - 1)"),
        "writes": broken("head.type.eq(RequestType.READ)", "head.type.eq(RequestType.WRITE)"),
        "one byte short": broken("last_bytes.eq(0b1111)", "last_bytes.eq(0b0111)"),
        "no bytes": broken("first_bytes.eq(0b1111)", "first_bytes.eq(0)"),
        "a word too few": broken("(1 << min(RQ_DESCRIPTOR.size, self.width) // DWORD) - 1",
            "(1 << min(RQ_DESCRIPTOR.size, self.width) // DWORD) // 2 - 1"),
        "tags are not counted": broken("[tag.eq(tag + 1), ", "["),
        "pauses within an answer": broken("with m.If(rc.valid):", "with m.If(1):"),
        "turned by a word": broken("// DWORD % lanes * DWORD", "// DWORD % lanes * DWORD - DWORD"),
        "all at the beginning": broken("come[: exact_log2(self.pieces)]",
            "come[: exact_log2(self.pieces)] & 0"),
        "done with the first part": broken("whole.eq(here == left)", "whole.eq(1)"),
        "status not seen": broken("(head.status != Status.SUCCESS) | ", ""),
        "the block's refusal not seen": broken(" | (head.error == Found.REFUSED)", ""),
        "poison not seen": broken("head.poisoned | ", ""),
        "the block's poison not seen": broken(" | (head.error == Found.POISONED)", ""),
        "the block's timeout not seen": broken(
            "late.eq(head.error == Found.TIMEOUT)", "late.eq(0)"),
        "what the block found not seen": broken("(head.error == Found.NOTHING)", "1"),
        "damage not seen": broken("self._error(m, DmaError.DAMAGED, damaged)", "pass"),
        "poison called a refusal": broken(
            "DmaError.DAMAGED, ~refused", "DmaError.FAILED, ~refused"),
        "odd words taken": broken("(head.dwords[:4] == 0)", "1"),
        "too much taken": broken("& (here <= left)", ""),
        "another count taken": broken("& (head.bytes == left << exact_log2(_PIECE))", ""),
        "another place taken": broken(
            "& (head.lower_address[:7] == Cat(C(0, 6), come[0]))", ""),
        "short ones taken": broken("good & (words != 1)", "good & words[1]"),
        "end of a failed one": broken("with m.If(~good | (words != 1) | damaged | whole):",
            "with m.If(whole & good):"),
        "failure without data not ended": broken(
            "m.d.comb += ended.eq(1 << slot)", "pass"),
        "waits for ever": broken("waited == self.patience - 1", "C(0)"),
        "no patience": broken("waited == self.patience - 1", "waited == 20"),
        "given up but not done": broken("| Mux(expired, self.busy, 0)", ""),
        "given up but waited for": broken("Mux(expired, 0, (self.busy | asked) & ~ended)",
            "(self.busy | asked) & ~ended"),
        "late answers taken": broken(" & (age == self.age)", ""),
        "same age once cleared": broken(", self.age.eq(self.age + 1)", ""),
        "asks on after an error": broken("read.outside | self.errors.any()", "read.outside"),
        "asks outside": broken("read.outside | self.errors.any()", "self.errors.any()"),
        "outside not told": broken("self._error(m, DmaError.OUTSIDE, read.outside)", "pass"),
        "errors stay": broken("[self.errors.eq(0), self.age", "[self.age"),
        "words of a failed read are lost": broken("m.d.comb += skipped.eq(1 << tag)", "pass"),
    }  # fmt: skip

    def dut(self, config):
        return Watched(config.width, config.tags)

    def cases(self, config, rng):
        size, longest = config.width // 8, config.longest * BLOCK_BYTES
        pages = sorted(int(at) << 12 for at in rng.integers(1 << 52, size=PAGES))
        memory = {page: rng.bytes(4096) for page in pages}

        def read(place, blocks=config.longest, outside=0):
            """Read from a place that is counted in longest reads."""
            page, at = divmod(place, 4096 // longest)
            address = (pages[page] + at * longest) // BLOCK_BYTES
            return {"address": address, "blocks": blocks, "outside": outside}

        def words(reads):
            found = []
            for each in reads:
                address = each["address"] * BLOCK_BYTES
                page = max(page for page in pages if page <= address)
                part = memory[page][address - page :][: each["blocks"] * BLOCK_BYTES]
                found += [
                    int.from_bytes(part[n : n + size], "little") for n in range(0, len(part), size)
                ]
            return found

        def case(name, reads, seen=0, clocks=None, wait=0, asked=None, seed=0, **behaviour):
            host = Behaviour(**behaviour)
            beside = AnswersBeside, config.width, longest, memory, host, asked, seed
            expected = words(reads)
            return Case(
                {"i": reads},
                {"o": [] if seen else expected},
                {"mute": int(seen != 0), "wait": wait},
                {"seen": seen, "count": len(expected), **dict.fromkeys(RIGHT, 0)},
                beside=[partial(*beside)],
                clocks=clocks,
                name=name,
            )

        def some(count):
            places = rng.integers(PAGES * 4096 // longest, size=count)
            return [read(int(n), int(rng.integers(1, config.longest + 1))) for n in places]

        whole = [read(n) for n in range(2 * config.tags + 3)]
        packets = len(whole) * longest // min(longest, 256)
        beats = len(words(whole)) + packets * -(-96 // config.width)
        yield case("at once", whole, asked=len(whole), latency=1)
        if config.width == 256:  # whose places last for the latency
            # Words are given once all of a read has come.
            clocks = beats + 20 + longest // size + 4
            yield case("full rate", whole, latency=20, clocks=clocks)
        yield case("out of order", whole, shuffle=True, latency=15)
        yield case("all lengths, cut", some(12), shuffle=True, cut=0.5, latency=7, payload=128)
        yield case("pauses", some(10), shuffle=True, cut=0.3, pauses=0.4, boundary=128)
        errors = {error.name: 1 << error for error in DmaError}
        for number, (fault, error) in enumerate(FAULTS.items()):
            faults = {number % len(whole): fault}
            yield case(
                fault, whole, errors[error], wait=number * 7 % 90, shuffle=True, cut=0.5,
                faults=faults, latency=9,
            )  # fmt: skip
        # It comes when its tag has been given to a shorter read.
        late = [*whole[: config.tags], *(read(n % 4, 1) for n in range(50))]
        faults = {1: "late"}
        yield case("late for another", late, errors["TIMEOUT"], faults=faults, latency=40)
        outside = [*whole[:3], read(1, outside=1), *whole[3:5]]
        # Of few large places the last two find one only when the error has been cleared.
        asked = 5 if config.tags == 2 and config.longest == REQUEST_BLOCKS else 3
        yield case("outside", outside, errors["OUTSIDE"], wait=60, asked=asked)
        for seed in range(self.more):
            fault = list(FAULTS)[seed % len(FAULTS)]
            count, wait, latency = (int(rng.integers(*ends)) for ends in ((4, 12), (90,), (40,)))
            yield case(
                f"{fault} {seed}", some(count), errors[FAULTS[fault]], wait=wait, latency=latency,
                seed=seed, shuffle=True, cut=0.5, faults={int(rng.integers(count)): fault},
            )  # fmt: skip
            yield case(f"after {seed}", some(6), seed=seed, shuffle=True, latency=latency)


class ManyBench(ReaderBench):
    """Each fault in many reads, and without a reset reads that have none."""

    name = "dma reader many"
    configs = {"256 bits": ReaderBench.configs["256 bits"]}
    slow_configs = bug_configs = tuple(configs)
    cocotb_configs = ()
    stalls = (Stalls(),)
    more = 6 * len(FAULTS)
    reset_between = False

    def cases(self, config, rng):
        seen = count = 0
        for case in super().cases(config, rng):
            seen |= case.finals["seen"]
            count += case.finals["count"]
            case.finals = {**case.finals, "seen": seen, "count": count % (1 << 16)}
            yield case


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ReaderBench())
test_many, _, _ = bench_tests(ManyBench())


def asks_what_was_given(m, reader):
    """What goes to the host is the last read that was taken, if it is neither outside nor late."""
    given, read, rq = Signal(DMA_PLACE), reader.i.payload, reader.rq
    with m.If(transfers(reader.i) & ~read.outside & ~reader.errors.any()):
        m.d.sync += given.eq(read)
    head = RQ_DESCRIPTOR(rq.payload.data[: RQ_DESCRIPTOR.size])
    with m.If(rq.valid):
        m.d.comb += [
            Assert(head.address == given.address << 5, "another address"),
            Assert(head.dwords == given.blocks << 5, "another length"),
            Assert((head.type == 0) & (head.address_type == 0), "no read"),
            Assert(rq.payload.last, "more than a descriptor"),
        ]


def test_asks_nothing_else():
    contract = StreamContract(also=asks_what_was_given, free=("clear",), depth=8, induction=2)
    edits = {
        "asks outside": ("read.outside | self.errors.any()", "self.errors.any()"),
        "asks on after an error": ("read.outside | self.errors.any()", "read.outside"),
        "longer": ("read.blocks << words", "read.blocks << words + 1"),
    }
    bugs = {
        name: lambda edit=edit: edited(DmaReader, *edit)(256, 8, 2) for name, edit in edits.items()
    }
    check_contract(lambda: DmaReader(256, 8, 2), contract, bugs)
