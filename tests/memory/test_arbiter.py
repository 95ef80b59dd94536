"""Arbiter over the controller and the model of the memory: each has its own words, in order."""

from dataclasses import replace
from functools import partial

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from sterna.spec.sdram import BURST, PARTS, WORD_BITS
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.memory.arbiter import Arbiter
from sterna_rtl.memory.pins import Pins
from sterna_rtl.memory.sdram import Sdram
from sterna_rtl.memory.visits import request_layout
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from sterna_sim.sdram_model import SdramBeside
from tests.memory.stalls import FEW_STALLS

CLOCK_HZ = 100_000_000
# Few rows, so that a read can be of most of the memory.
PART = replace(PARTS["ULX3S"], power_up_ns=1000, column_bits=6, row_bits=5)
NAMES = ("first", "second", "third")


class Arbitrated(wiring.Component):
    """Arbiter and controller; words to write go past the arbiter."""

    def __init__(self, names, arbiter=Arbiter):
        self.names = names
        self.arbiter, self.sdram = arbiter(PART, names), Sdram(PART, CLOCK_HZ)
        request, word = stream.Signature(request_layout(PART)), stream.Signature(WORD_BITS)
        super().__init__(
            {
                **{f"i_{name}": In(request) for name in names},
                **{f"o_{name}": Out(word) for name in names},
                "i_word": In(word),
                "pins": Out(Pins(PART)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter, m.submodules.sdram = arbiter, sdram = self.arbiter, self.sdram
        for name in self.names:
            connect_stream(m, getattr(self, f"i_{name}"), getattr(arbiter, f"i_{name}"))
            connect_stream(m, getattr(arbiter, f"o_{name}"), getattr(self, f"o_{name}"))
        connect_stream(m, arbiter.o, sdram.i)
        connect_stream(m, sdram.o, arbiter.i_word)
        connect_stream(m, self.i_word, sdram.i_word)
        connect(m, sdram.pins, flipped(self.pins))
        return m


def broken(old, new):
    return lambda names: Arbitrated(names, edited(Arbiter, old, new))


class ArbiterBench(UnitBench):
    """One writes and reads single blocks, the others read some or many, each in a place of its own.

    How their requests mix differs from one stall pattern to the next; what each one reads does not.
    """

    name = "arbiter"
    configs = {"three": NAMES, "two": NAMES[:2]}
    reset_between = True
    reset_test = False  # the controller's bench does it; here each case takes a power-up
    drain = 0
    stalls = FEW_STALLS
    bugs = {
        "words to another": broken("oldest.reader == number", "oldest.reader != number"),
        "words to the first": broken("reader.eq(number)", "reader.eq(0)"),
        "words for a write": broken("valid.eq(~port.payload.write)", "valid.eq(1)"),
        "two requests at a time": broken("turn.eq(1 << number)", "turn[number].eq(1)"),
        "request lost while the last one waits": broken("free = ~self.o.valid & ", "free = "),
        "more reads than are remembered": broken(" & reads.i.ready & ~turn", " & ~turn"),
        "a block of each read": broken("last.eq(given == oldest.blocks - 1)", "last.eq(1)"),
        "a block too many": broken("given == oldest.blocks - 1", "given == oldest.blocks"),
        "blocks of all reads counted together": broken("Mux(last, 0, given + 1)", "given + 1"),
        "words not held": broken(
            "self.i_word.ready.eq(port.ready)", "self.i_word.ready.eq(1)"),
    }  # fmt: skip
    not_stalled = dict.fromkeys(
        (*(f"i_{name}" for name in NAMES), "i_word"), "few requests, and the others come first"
    ) | dict.fromkeys((f"o_{name}" for name in NAMES), "words come in bursts")

    def dut(self, names):
        return Arbitrated(names)

    def cases(self, names, rng):
        yield self.mixed(names, rng, writer=0)

    def mixed(self, names, rng, writer):
        """Requests of all, of which one writes."""
        words = {n: int(rng.integers(1 << WORD_BITS)) for n in range(3 * 100 * BURST)}
        inputs, outputs, before = {"i_word": []}, {}, dict(words)
        for number, name in enumerate(names):
            inputs[f"i_{name}"], outputs[f"o_{name}"] = requests, read = [], []
            for _ in range(30):
                block = 100 * number + int(rng.integers(60))
                write = number == writer and int(rng.integers(2))
                blocks = 1 if number == writer else int(rng.integers(1, 3 + 10 * number))
                requests.append({"write": write, "block": block, "blocks": blocks})
                for address in range(block * BURST, (block + blocks) * BURST):
                    if write:
                        words[address] = int(rng.integers(1 << WORD_BITS))
                        inputs["i_word"].append(words[address])
                    else:
                        read.append(words[address])
        return Case(inputs, outputs, beside=[partial(SdramBeside, PART, CLOCK_HZ, before, words)])


class LongBench(ArbiterBench):
    """Reads of up to the whole memory, from all places."""

    name = "arbiter-long"
    configs = {"three": NAMES}
    cocotb_configs = ()
    slow_configs = bug_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, names, rng):
        words = {n: int(rng.integers(1 << WORD_BITS)) for n in range(PART.words)}
        inputs, outputs = {}, {}
        for number, name in enumerate(names):
            inputs[f"i_{name}"], outputs[f"o_{name}"] = requests, read = [], []
            lengths = [*rng.integers(1, 1 << 6, 20).tolist(), PART.blocks >> number, 600 >> number]
            for blocks in lengths:
                block = int(rng.integers(PART.blocks - blocks + 1))
                requests.append({"write": 0, "block": block, "blocks": blocks})
                read += [words[n] for n in range(block * BURST, (block + blocks) * BURST)]
        yield Case(inputs, outputs, beside=[partial(SdramBeside, PART, CLOCK_HZ, words, words)])
        yield self.mixed(names, rng, writer=1)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ArbiterBench())
test_long, _, _ = bench_tests(LongBench())


def test_priority():
    """While all three ask, the first goes first, and the last when nobody else asks."""
    unit = Arbiter(PART, NAMES)
    left = {"first": 2, "second": 3, "third": 4}
    order = []

    async def bench(ctx):
        ctx.set(unit.o.ready, 1)
        ctx.set(unit.i_word.valid, 1)
        for name in NAMES:
            ctx.set(getattr(unit, f"o_{name}").ready, 1)
        while any(left.values()):
            for number, (name, count) in enumerate(left.items()):
                port = getattr(unit, f"i_{name}")
                ctx.set(port.valid, count > 0)
                ctx.set(port.payload, {"write": 0, "block": number, "blocks": 1})
            for name in NAMES:
                port = getattr(unit, f"i_{name}")
                left[name] -= ctx.get(port.valid & port.ready)
            await ctx.tick()
            if ctx.get(unit.o.valid):
                order.append(ctx.get(unit.o.payload.block))

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert order == [0] * 2 + [1] * 3 + [2] * 4


def test_contract():
    small = replace(PART, row_bits=1, bank_bits=1, column_bits=3)
    held = "with m.If(transfers(self.o)):", "with m.If(1):"
    check_contract(
        lambda: Arbiter(small, NAMES[:2]),
        StreamContract(combinational=True, depth=24),
        {"request not held": lambda: edited(Arbiter, *held)(small, NAMES[:2])},
    )
