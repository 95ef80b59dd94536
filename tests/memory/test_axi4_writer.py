"""Axi4Writer: what the memory holds afterwards, beside a model that checks the rules."""

from functools import partial

from sterna.spec.axi4 import BEATS, Axi4
from sterna_rtl.memory.axi4_writer import Axi4Writer
from sterna_sim.axi4_model import Axi4Beside, Behaviour, WritePort
from sterna_sim.kit import Case, CheckError, UnitBench, bench_tests, edited
from tests.memory.stalls import FEW_STALLS


class Idle:
    """Idle from a burst's response to the next burst, and not before it."""

    def __init__(self):
        self.busy = False

    def drive(self, engine):
        pass

    def sample(self, engine):
        idle = bool(engine.read("idle"))
        if idle == self.busy:
            raise CheckError("wrong idle", port="idle", expected=not self.busy, got=idle)
        if engine.read("axi__bvalid"):
            self.busy = False
        if engine.read("i__valid") and engine.read("i__ready"):
            self.busy = True

    def check(self):
        pass


def broken(old, new):
    return lambda config: edited(Axi4Writer, old, new)(config)


class WriterBench(UnitBench):
    """Bursts of all lengths to memories that are fast, slow, pausing and failing."""

    name = "axi4 writer"
    configs = {
        f"{bits} bits": Axi4(data_bits=bits, port_bytes=1 << 14, outstanding=1)
        for bits in (64, 512)
    }
    reset_between = True
    drain = 120
    stalls = FEW_STALLS
    bugs = {
        "address not held": broken("with m.If(axi.awready):", "with m.If(1):"),
        "address not taken back": broken("m.d.sync += axi.awvalid.eq(0)", "pass"),
        "a beat too few": broken("left.eq(burst.more + 1)", "left.eq(burst.more)"),
        "last on the first beat": broken("wlast.eq(left == 1)", "wlast.eq(left == BEATS)"),
        "a length too much": broken("awlen.eq(burst.more)", "awlen.eq(burst.more + 1)"),
        "some bytes": broken("axi.wstrb.eq(-1)", "axi.wstrb.eq(1)"),
        "beats of the next burst": broken("axi.wready & (left != 0)", "axi.wready"),
        "before its response": broken("self.i.ready.eq(~busy)", "self.i.ready.eq(left == 0)"),
        "responses held up": broken("axi.bready.eq(1)", "axi.bready.eq(left == 0)"),
        "always the same place": broken("Burst.INCR", "Burst.FIXED"),
        "errors not seen": broken("axi.bresp.matches(Response.SLVERR, Response.DECERR)", "0"),
        "errors seen without a response": broken("with m.If(axi.bvalid & (axi.bresp",
            "with m.If((axi.bresp"),
        "never busy": broken("self.idle.eq(~busy)", "self.idle.eq(1)"),
        "a place without its upper bits": broken("within = Cat(", "within = C(127) & Cat("),
        "error stays for ever": broken("m.d.sync += self.error.eq(0)", "pass"),
    }  # fmt: skip
    not_stalled = {"i": "one burst at a time", "i_beat": "the memory takes them at once"}

    def dut(self, config):
        return Axi4Writer(config)

    def cases(self, config, rng):
        def case(name, count, error=0, clear=0, **behaviour):
            how, bursts, beats, expected = Behaviour(**behaviour), [], [], {}
            for number in range(count):
                more = int(rng.integers(BEATS)) if number else BEATS - 1
                pages = 8 if how.failing else config.words // BEATS
                word = BEATS * int(rng.integers(pages)) + int(rng.integers(BEATS - more))
                bursts.append({"write": 1, "word": word, "more": more})
                for at in range(word, word + more + 1):
                    beats.append(int.from_bytes(rng.bytes(config.beat_bytes), "little"))
                    if (0, at) not in how.failing:
                        expected[at] = beats[-1]
            make = partial(Axi4Beside, config, how, {}, ("axi",), (WritePort,), expected)
            finals = {"error": error, "idle": 1}
            return Case(
                {"i": bursts, "i_beat": beats}, {}, {"clear": clear}, finals,
                beside=[make, Idle], name=name,
            )  # fmt: skip

        yield case("fast", 12, latency=1)
        yield case("slow", 8, latency=40)
        yield case("pauses", 12, latency=3, pauses=0.4, refresh=(40, 9))
        failing = frozenset((0, at) for at in range(3, 8 * BEATS, BEATS))
        yield case("an error", 4, 1, latency=2, failing=failing)
        yield case("cleared", 4, 0, 1, latency=2, failing=failing)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(WriterBench())
