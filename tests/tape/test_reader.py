"""TapeReader: word after word, round and round, at full rate, over the seams of its banks."""

from dataclasses import replace

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing
from sterna_rtl.lib.stream import transfers
from sterna_rtl.tape.reader import TapeReader
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

BANK = 8


def chip(tape_words, columns=6):
    small = replace(REFERENCE, rows=1, columns=columns, elements=1, packing=Packing.TWO_BITS)
    return replace(small, tape_words=tape_words)


class Loaded(wiring.Component):
    """A reader that is loaded from `i`, gives `count` words, restarts and is loaded again.

    A bit of `pauses` that is set takes `enable` away on one clock in eight.
    """

    def __init__(self, config, bank_words=BANK, unit=TapeReader):
        self.reader = unit(config, bank_words)
        word = self.reader.write.data.shape()
        super().__init__(
            {
                "i": In(stream.Signature(word)),
                "o": Out(stream.Signature(word)),
                "length": In(range(config.tape_words + 1)),
                "count": In(16),
                "pauses": In(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self.reader
        loaded, given, clock = Signal.like(self.length), Signal(16), Signal(3)
        ready, done = loaded == self.length, given == self.count
        m.d.comb += [
            self.i.ready.eq(~ready),
            reader.write.enable.eq(transfers(self.i)),
            reader.write.address.eq(loaded),
            reader.write.data.eq(self.i.payload),
            reader.length.eq(self.length),
            reader.restart.eq(~ready | done),
            reader.enable.eq(ready & ~self.pauses.bit_select(clock, 1)),
            self.o.valid.eq(reader.o.valid & ready & ~done),
            self.o.payload.eq(reader.o.payload),
            reader.o.ready.eq(self.o.ready & ready & ~done),
        ]
        m.d.sync += [
            clock.eq(clock + 1),
            loaded.eq(loaded + transfers(self.i)),
            given.eq(given + transfers(self.o)),
        ]
        with m.If(ready & done):
            m.d.sync += [loaded.eq(0), given.eq(0)]
        return m


def broken(old, new):
    return lambda config: Loaded(config, unit=edited(TapeReader, old, new))


class ReaderBench(UnitBench):
    """Tapes of all lengths around a bank's, read more than twice."""

    name = "reader"
    configs = {
        "3-banks": chip(3 * BANK),
        "1-bank": chip(BANK),
        "last-bank-short": chip(3 * BANK + 3),
        "2-words": chip(2),
        "1-word": chip(1),
    }
    cocotb_configs = ("3-banks", "1-bank")
    bug_configs = ("3-banks",)
    bugs = {
        "wraps a word late": broken("self.length - 1", "self.length"),
        "a gap is not seen by the stages before": broken(
            "~Cat(valid[stage:]).all()", "~valid[stage]"
        ),
        "never stalls": broken("self.o.ready | ~Cat", "1 | ~Cat"),
        "moves on while disabled": broken("m.If(load[0] & self.enable)", "m.If(load[0])"),
        "bank chosen a clock early": broken("m.Switch(number[-1])", "m.Switch(number[-2])"),
        "written to every bank": broken("self.write.enable & (", "self.write.enable | ("),
        "words in flight survive a restart": broken(", *(holds.eq(0) for holds in valid)", ""),
        "restart not at word 0": broken("address.eq(0), *", "*"),
        "a bubble after each word": broken("self.o.ready | ~Cat", "~Cat"),
    }

    def dut(self, config):
        return Loaded(config)

    def cases(self, config, rng):
        words = config.tape_words
        lengths = {1, 2, BANK - 1, BANK, BANK + 1, 2 * BANK, words - 1, words}
        for length in [words, *sorted(lengths & set(range(1, words + 1)))]:
            for pauses in (0, 0b01101000):
                tape = rng.integers(0, 1 << config.word_bits, length).tolist()
                count = 2 * length + 5
                yield Case(
                    {"i": tape},
                    {"o": (tape * 7)[:count]},
                    constants={"length": length, "count": count, "pauses": pauses},
                    clocks=length + count + Loaded(config).reader.latency if not pauses else None,
                    name=f"{length} words",
                )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ReaderBench())


@pytest.mark.parametrize("bank_words", [2, 4])
def test_contract(bank_words):
    config = chip(4, columns=1)
    free = ("enable", "length", "write__enable", "write__address", "write__data")
    contract = StreamContract(free=free)
    never = edited(TapeReader, "self.o.ready | ~Cat", "1 | ~Cat")
    bugs = {"never stalls": lambda: never(config, bank_words)}
    check_contract(lambda: TapeReader(config, bank_words), contract, bugs)


def test_banks_are_whole():
    with pytest.raises(ValueError, match="power of two"):
        TapeReader(REFERENCE, bank_words=1000)


@pytest.mark.parametrize("words", [1, BANK, 2 * BANK + 3])
def test_any_word_while_disabled(words):
    """Written, read back in any order, then read as a tape from word 0."""
    config = chip(words)
    reader = TapeReader(config, BANK)

    async def bench(ctx):
        tape = [(7 * n + 3) % (1 << config.word_bits) for n in range(words)]
        ctx.set(reader.write.enable, 1)
        for address, word in enumerate(tape):
            ctx.set(reader.write.address, address)
            ctx.set(reader.write.data, word)
            await ctx.tick()
        ctx.set(reader.write.enable, 0)
        ctx.set(reader.length, words)
        for address in (words - 1, *range(words), 0):
            ctx.set(reader.read.address, address)
            await ctx.tick().repeat(reader.latency)
            assert ctx.get(reader.read.data) == tape[address]
            assert not ctx.get(reader.o.valid)
        ctx.set(reader.enable, 1)
        ctx.set(reader.o.ready, 1)
        for word in 2 * tape:
            (given,) = await ctx.tick().sample(reader.o.payload).until(reader.o.valid)
            assert given == word

    simulator = Simulator(reader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
