"""Axi4Reader: order, clocks, reservation and errors, beside a memory that checks the rules."""

from functools import partial

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.plan.axi4 import least_outstanding, read_clocks
from sterna.spec.axi4 import BEATS, Axi4
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.memory.axi4 import ReadChannels
from sterna_rtl.memory.axi4_reader import Axi4Reader
from sterna_rtl.memory.bursts import burst_layout
from sterna_sim.axi4_model import Axi4Beside, Behaviour
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
    run_pysim,
)
from tests.memory.stalls import FEW_STALLS


def memory(data_bits=64, outstanding=4, **more):
    return Axi4(data_bits=data_bits, port_bytes=1 << 16, outstanding=outstanding, **more)


class Watched(wiring.Component):
    """A reader whose errors are cleared `wait` clocks after they rise, and now and then in vain.

    `errors` counts them; `faults` is up if a burst was asked for during one, or if one fell before
    it was cleared and all had come.
    """

    def __init__(self, config, reader=Axi4Reader):
        self.reader = reader(config)
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(config))),
                "o": Out(stream.Signature(config.data_bits)),
                "axi": Out(ReadChannels(config)),
                "wait": In(8),
                "errors": Out(4),
                "faults": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self.reader
        connect_stream(m, self.i, reader.i)
        connect_stream(m, reader.o, self.o)
        connect(m, reader.axi, flipped(self.axi))
        before, age, cleared, tick = Signal(), Signal(8), Signal(), Signal(5)
        m.d.comb += reader.clear.eq(reader.error & (age == self.wait) | ~reader.error & (tick == 0))
        m.d.sync += [
            tick.eq(tick + 1),
            before.eq(reader.error),
            age.eq(age + 1),
            cleared.eq(cleared | reader.clear),
        ]
        with m.If(~reader.error):
            m.d.sync += [age.eq(0), cleared.eq(0)]
        with m.If(reader.error & ~before):
            m.d.sync += self.errors.eq(self.errors + 1)
        with m.If(reader.error & transfers(reader.i)):
            m.d.sync += self.faults.eq(1)
        with m.If(before & ~reader.error & ~(cleared & reader.idle)):
            m.d.sync += self.faults.eq(1)
        return m


def broken(old, new):
    return lambda config: Watched(config, edited(Axi4Reader, old, new))


class ReaderBench(UnitBench):
    """Bursts of all lengths from memories that are fast, slow, pausing and failing."""

    name = "axi4 reader"
    configs = {
        "64 bits, 4 bursts": memory(),
        "512 bits, 2 bursts": memory(512, 2),
    }
    bug_configs = ("64 bits, 4 bursts",)
    reset_between = True
    stalls = FEW_STALLS
    bugs = {
        "asks without room": broken(" & (free >= BEATS)", ""),
        "asks with room for a beat": broken("free >= BEATS", "free != 0"),
        "a burst less on its way": broken("init=depth)", "init=depth - BEATS)"),
        "ready only with room": broken("axi.rready.eq(1)", "axi.rready.eq(free >= BEATS)"),
        "room is not given back": broken("free + transfers(self.o) - beats", "free - beats"),
        "address not held": broken("(~axi.arvalid | axi.arready)", "1"),
        "address not taken back": broken("m.d.sync += axi.arvalid.eq(0)", "pass"),
        "a beat too many": broken("axi.arlen.eq(burst.more)", "axi.arlen.eq(burst.more + 1)"),
        "in words of half the width": broken("Cat(C(0, exact_log2(memory.beat_bytes))",
            "Cat(C(0, exact_log2(memory.beat_bytes) - 1)"),
        "beats of half the width": broken("arsize.eq(exact_log2(memory.beat_bytes))",
            "arsize.eq(exact_log2(memory.beat_bytes) - 1)"),
        "always the same place": broken("arburst.eq(Burst.INCR)", "arburst.eq(Burst.FIXED)"),
        "errors not seen": broken("axi.rresp.matches(Response.SLVERR, Response.DECERR)", "0"),
        "errors seen without a beat": broken("with m.If(axi.rvalid & (axi.rresp",
            "with m.If((axi.rresp"),
        "a beat nobody asked for not seen": broken(" | ~comes)", ")"),
        "a beat nobody asked for given": broken("queue.i.valid.eq(comes)",
            "queue.i.valid.eq(axi.rvalid)"),
        "asks on after an error": broken(" & ~self.error),", "),"),
        "error dropped at once": broken("with m.If(self.idle):", "with m.If(1):"),
        "cleared before it rose": broken("with m.If(self.clear & self.error):",
            "with m.If(self.clear):"),
        "error stays for ever": broken("m.d.sync += self.error.eq(0)", "pass"),
    }  # fmt: skip

    def dut(self, config):
        return Watched(config)

    def cases(self, config, rng):
        words = {at: int.from_bytes(rng.bytes(config.beat_bytes)) for at in range(config.words)}

        def case(name, bursts, wait=0, errors=0, clocks=None, **behaviour):
            beats = [range(b["word"], b["word"] + b["more"] + 1) for b in bursts]
            return Case(
                {"i": bursts},
                {"o": [words[word] for beat in beats for word in beat]},
                {"wait": wait},
                {"errors": errors, "faults": 0},
                beside=[partial(Axi4Beside, config, Behaviour(**behaviour), words, ("axi",))],
                clocks=clocks,
                name=name,
            )

        def burst(word, more=BEATS - 1):
            return {"write": 0, "word": word, "more": more}

        def some(count):
            places = [int(rng.integers(config.words // BEATS)) * BEATS for _ in range(count)]
            lengths = [int(rng.integers(BEATS)) for _ in range(count)]
            starts = [int(rng.integers(BEATS - more)) for more in lengths]
            each = zip(places, lengths, starts, strict=True)
            return [burst(place + start, more) for place, more, start in each]

        full = [burst(BEATS * (7 + n)) for n in range(12)]
        for latency in (1, 30):
            clocks = read_clocks([BEATS] * len(full), config.outstanding, latency)
            yield case(f"latency {latency}", full, latency=latency, clocks=clocks)
        singles = [burst(3 * n, 0) for n in range(25)]
        clocks = read_clocks([1] * len(singles), config.outstanding, 20)
        yield case("single beats", singles, latency=20, clocks=clocks)
        yield case("all lengths", some(16), latency=11)
        yield case("pauses and refresh", some(16), latency=17, pauses=0.4, refresh=(97, 30))
        for wait in (0, 60):
            at = full[5]["word"] + int(rng.integers(BEATS))
            yield case("an error", full, wait, 1, latency=30, failing=frozenset([(0, at)]))
        yield case("a surplus beat", full[:3], 5, 1, latency=4, surplus=(0,))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ReaderBench())


class SweepBench(UnitBench):
    """Full bursts, nothing stalls: for the clocks alone."""

    name = "axi4 reader, clocks"
    stalls = (Stalls(),)
    drain = 0
    reset_test = False
    bursts = 30

    def __init__(self, config, **behaviour):
        self.config = config
        self.behaviour = behaviour

    def dut(self, config):
        return Axi4Reader(self.config)

    def cases(self, config, rng):
        words = {at: int(rng.integers(1 << 32)) for at in range(self.config.words)}
        beside = partial(Axi4Beside, self.config, Behaviour(**self.behaviour), words, ("axi",))
        yield Case(
            {"i": [{"write": 0, "word": BEATS * n, "more": BEATS - 1} for n in range(self.bursts)]},
            {"o": [words[at] for at in range(self.bursts * BEATS)]},
            beside=[beside],
        )


@pytest.mark.parametrize(("latency", "outstanding"), [(16, 2), (16, 3), (100, 7), (100, 8)])
def test_clocks(latency, outstanding):
    """As many as the plan says; from the planned number of bursts on the memory never rests."""
    bench = SweepBench(memory(outstanding=outstanding), latency=latency)
    clocks, beats = run_pysim(bench, "default")["clocks"], bench.bursts * BEATS
    assert clocks == read_clocks([BEATS] * bench.bursts, outstanding, latency)
    if outstanding >= least_outstanding(latency):
        assert clocks == beats + latency + 4


def test_planned_clocks():
    """The rate over many bursts is the part of a round trip that the bursts on their way last."""
    bursts = [BEATS] * 1000
    for latency in (8, 16, 30, 64, 100, 128, 200):
        trip, least = Axi4Reader.round_trip(latency), least_outstanding(latency)
        for outstanding in range(1, least + 3):
            clocks = read_clocks(bursts, outstanding, latency)
            rate = len(bursts) * BEATS / clocks
            print(f"latency {latency}, {outstanding} bursts: {rate:.1%}")
            assert rate == pytest.approx(min(1, outstanding * BEATS / trip), rel=0.015)
            assert rate >= 0.985 or outstanding < least
        assert (least - 1) * BEATS < trip <= least * BEATS


def test_clocks_with_refresh():
    """A memory that rests 45 of 975 clocks, as DDR4 does, gives all that this leaves."""
    bench = SweepBench(memory(outstanding=least_outstanding(100)), latency=100, refresh=(325, 15))
    clocks, beats = run_pysim(bench, "default")["clocks"], bench.bursts * BEATS
    assert clocks <= beats + 100 + 4 + 15 * (-(-beats // (325 - 15)) + 1)


def reserved(m, reader):
    """Whatever the memory does: there is room for all that was asked for, and only for that.

    All this holds for all time: each of them is proven by induction.
    """
    axi, queue, depth = reader.axi, reader.queue, reader.memory.outstanding * BEATS
    burst = reader.i.payload
    m.d.comb += [
        # What Bursts gives.
        Assume(burst.word[:4] + burst.more < BEATS),
        Assert(axi.rready, "RREADY fell"),
        Assert(queue.i.ready | ~queue.i.valid, "a beat finds no room"),
        Assert(reader.free + reader.asked + queue.level == depth, "room got lost"),
        Assert(queue.level == queue.ready + queue.in_flight + queue.queue.level),
        Assert(queue.room + queue.in_flight + queue.queue.level == 3),
        Assert(queue.queue.consistent()),
        Assert(~axi.arvalid | (axi.araddr[3:7] + axi.arlen < BEATS), "over the end of a page"),
        Assert(~(reader.error & transfers(reader.i)), "asks on after an error"),
    ]
    address = Signal(len(axi.araddr) + 8)
    waited = Signal(reset_less=True)
    m.d.sync += [
        address.eq(axi.araddr << 8 | axi.arlen),
        waited.eq(axi.arvalid & ~axi.arready),
    ]
    fresh = Signal(init=1)
    m.d.sync += fresh.eq(0)
    with m.If(waited & ~fresh):
        kept = axi.arvalid & (address == (axi.araddr << 8 | axi.arlen))
        m.d.comb += Assert(kept, "an address changed while it waited")


@pytest.mark.parametrize("outstanding", [1, 2])
def test_reservation(outstanding):
    config = Axi4(data_bits=64, port_bytes=4096, outstanding=outstanding)
    inputs = ("arready", "rid", "rdata", "rresp", "rlast", "rvalid")
    contract = StreamContract(
        also=reserved, free=(*(f"axi__{name}" for name in inputs), "clear"), depth=12, induction=2
    )
    edits = {
        "asks without room": (" & (free >= BEATS)", ""),
        "asks with room for a beat": ("free >= BEATS", "free != 0"),
        "takes beats that nobody asked for": ("queue.i.valid.eq(comes)",
            "queue.i.valid.eq(axi.rvalid)"),
        "address not held": ("(~axi.arvalid | axi.arready)", "1"),
        "asks on after an error": (" & ~self.error),", "),"),
    }  # fmt: skip
    bugs = {
        name: partial(lambda edit: edited(Axi4Reader, *edit)(config), edit)
        for name, edit in edits.items()
    }
    check_contract(lambda: Axi4Reader(config), contract, bugs)
