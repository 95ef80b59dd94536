"""TapeReader: words as plays say, at full rate, over the seams of its banks, or as they come."""

from dataclasses import replace

import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import transfers
from sterna_rtl.tape.reader import TapeReader
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.tape.test_walk import places

BANK = 8


def latency(config, bank_words):
    """Clocks from a play to its first word: walk, banks, queue."""
    return 2 + TapeReader(config, bank_words).latency + 1


def chip(tape_words, columns=6, slots=3):
    small = replace(REFERENCE, rows=1, columns=columns, elements=1, packing=Packing.TWO_BITS)
    return replace(small, tape_words=tape_words, slots=slots)


class Loaded(wiring.Component):
    """A reader that is loaded from `i`, gives `count` words, restarts and is loaded again.

    It also takes `plays` plays before it restarts, and while it does all that it is offered. With
    `streams` it is not loaded, but gives what comes on `i`.
    """

    def __init__(self, config, bank_words=BANK, unit=TapeReader):
        self.reader = unit(config, bank_words)
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.word)),
                "i_play": In(stream.Signature(layouts.play)),
                "o": Out(stream.Signature(layouts.tape_word)),
                "length": In(range(config.tape_words + 1)),
                "plays": In(16),
                "count": In(16),
                "streams": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = self.reader
        loaded = Signal.like(self.length)
        asked, given = Signal(16), Signal(16)
        ready = self.streams | (loaded == self.length)
        done = (given == self.count) & (asked == self.plays)
        asks, gives = ready & (asked != self.plays), ready & (given != self.count)
        m.d.comb += [
            self.i.ready.eq(Mux(self.streams, reader.i.ready, ~ready)),
            reader.write.enable.eq(transfers(self.i) & ~self.streams),
            reader.write.address.eq(loaded),
            reader.write.data.eq(self.i.payload),
            reader.i.payload.eq(self.i.payload),
            reader.i.valid.eq(self.i.valid & self.streams & ~reader.restart),
            reader.length.eq(self.length),
            reader.restart.eq(~ready | done),
            reader.idle.eq(~ready | self.streams),
            reader.i_play.payload.eq(self.i_play.payload),
            reader.i_play.valid.eq((self.i_play.valid & asks) | reader.restart),
            self.i_play.ready.eq(reader.i_play.ready & asks),
            self.o.valid.eq(reader.o.valid & gives),
            self.o.payload.eq(reader.o.payload),
            reader.o.ready.eq(self.o.ready & gives),
        ]
        m.d.sync += [
            loaded.eq(loaded + (transfers(self.i) & ~self.streams)),
            asked.eq(asked + transfers(self.i_play)),
            given.eq(given + transfers(self.o)),
        ]
        with m.If(ready & done):
            m.d.sync += [loaded.eq(0), asked.eq(0), given.eq(0)]
        return m


def broken(old, new):
    return lambda config: Loaded(config, unit=edited(TapeReader, old, new))


def played(tape, plays):
    """What the reader gives of a tape in its banks."""
    return [
        {"word": tape[place["address"]], "tag": place["tag"]} for place in places(plays, len(tape))
    ]


class ReaderBench(UnitBench):
    """Tapes of all lengths around a bank's, read more than twice by plays of all kinds.

    And tapes that come from outside.
    """

    name = "reader"
    configs = {
        "3-banks": chip(3 * BANK),
        "1-bank": chip(BANK),
        "last-bank-short": chip(3 * BANK + 3),
        "half-and-quarter": chip(2 * BANK + 6),
        "half-and-less": chip(BANK + 5),
        "2-words": chip(2),
        "1-word": chip(1),
        "1-slot": chip(BANK, slots=1),
        "8-slots": chip(2 * BANK, slots=8),
    }
    cocotb_configs = ("3-banks", "1-bank")
    slow_configs = ("3-banks", "half-and-less", "last-bank-short", "8-slots")  # cocotb plays one
    bug_configs = ("3-banks", "half-and-quarter")
    bugs = {
        "wraps a word late": broken("self.length - 1", "self.length"),
        "never stalls": broken("eq(offered & ~room[-1])", "eq(offered)"),
        "room for one too many": broken("shape(), depth)", "shape(), depth - 1)"),
        "no room back after a restart": broken("[room.eq(depth - 1), offered", "[offered"),
        "words that come are given twice": broken("~offered & ~Cat(in_flight).any()", "~offered"),
        "words that come are not waited for": broken("self.i.valid & ~offered", "~offered"),
        "words that come are read": broken("m.d.sync += word.eq(self.i.payload)", "pass"),
        "taken before they are given": broken("self.idle & in_flight[-3]", "self.idle & offered"),
        "tag of the word before": broken("tag.eq(tags[-1])", "tag.eq(tags[-2])"),
        "plays survive a restart": broken("walk = ResetInserter(self.restart)(", "walk = ("),
        "bank chosen a clock early": broken(
            "number = self._banks(m, address, self._depths()), numbers[-1]",
            "number = self._banks(m, address, self._depths()), numbers[-2]",
        ),
        "bank of a pair chosen a clock late": broken("numbers[-2][0]", "numbers[-1][0]"),
        "a half bank takes all of it": broken("address[bits - 1]", "0"),
        "written to every bank": broken("self.write.enable & mine", "self.write.enable | mine"),
        "a bubble after each word": broken("self.latency + 2", "self.latency + 1"),
    }

    def dut(self, config):
        return Loaded(config)

    def cases(self, config, rng):
        words, slots = config.tape_words, config.slots

        def play(number, times):
            return {"words": number, "times": times, "header": int(rng.integers(2))}

        lengths = {1, 2, BANK - 1, BANK, BANK + 1, 2 * BANK, words - 1, words}
        for length in [words, *sorted(lengths & set(range(1, words + 1)))]:
            several = [
                (length, 1),
                (1, slots),
                (length + 1, slots),
                (1, 1),
                (length, slots),
                (3, 1),
            ]
            some = rng.integers(1, (length + 2, slots + 1), (5, 2)).tolist()
            single = [(1, int(times)) for times in rng.integers(1, slots + 1, 8)]
            for name, kinds, left in (
                ("words", [(2 * length + 5, 1)], 0),
                ("several times", several, 0),
                ("some", some, 0),
                ("one at a time", single, 0),
                ("words, cut short", [(length, slots), (2, 1), (20, 1)], length // 2 + 20),
            ):
                tape = rng.integers(0, 1 << config.word_bits, length).tolist()
                plays = [play(*kind) for kind in kinds]
                outputs = played(tape, plays)
                count = max(1, len(outputs) - left)
                yield Case(
                    {"i": tape, "i_play": plays},
                    {"o": outputs[:count]},
                    {"length": length, "plays": len(plays), "count": count, "streams": 0},
                    clocks=None if left else length + count + latency(config, BANK),
                    name=f"{length} words, {name}",
                )
            plays = [play(*kind) for kind in some]
            tags = [place["tag"] for place in places(plays, length)]
            tape = rng.integers(0, 1 << config.word_bits, len(tags)).tolist()
            yield Case(
                {"i": tape, "i_play": plays},
                {"o": [{"word": word, "tag": tag} for word, tag in zip(tape, tags, strict=True)]},
                {"length": length, "plays": len(plays), "count": len(tape), "streams": 1},
                name=f"{length} words, as they come",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ReaderBench())


@pytest.mark.parametrize("words", [3, 4, 7])
def test_contract(words):
    config = chip(words, columns=1, slots=2)
    free = ("idle", "length", "read__address", "write__enable", "write__address", "write__data")
    contract = StreamContract(free=free)
    never = edited(TapeReader, "connect_stream(m, queue.o, self.o)",
        "connect_stream(m, queue.o, self.o); m.d.comb += queue.o.ready.eq(1)")  # fmt: skip
    bugs = {"never stalls": lambda: never(config, 4)}
    check_contract(lambda: TapeReader(config, 4), contract, bugs)


def test_banks_are_whole():
    with pytest.raises(ValueError, match="power of two"):
        TapeReader(REFERENCE, bank_words=1000)


@pytest.mark.parametrize("words", [1, BANK, 2 * BANK + 3])
def test_any_word_while_idle(words):
    """Written, read back in any order, then played from word 0, each word after its latency."""
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
        ctx.set(reader.idle, 1)
        for address in (words - 1, *range(words), 0):
            ctx.set(reader.read.address, address)
            await ctx.tick().repeat(reader.latency)
            assert ctx.get(reader.read.data) == tape[address]
            assert not ctx.get(reader.o.valid)
        ctx.set(reader.idle, 0)
        ctx.set(reader.o.ready, 1)
        for word in 2 * tape:
            ctx.set(reader.i_play.payload, {"words": 1, "times": 1, "header": 0})
            ctx.set(reader.i_play.valid, 1)
            await ctx.tick()
            ctx.set(reader.i_play.valid, 0)
            for _ in range(latency(config, BANK) - 1):
                assert not ctx.get(reader.o.valid)
                await ctx.tick()
            assert ctx.get(reader.o.valid)
            assert ctx.get(reader.o.payload.word) == word
            await ctx.tick()
            assert not ctx.get(reader.o.valid)

    simulator = Simulator(reader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def restarted(reader, clocks):
    """Words that come after a restart of one clock, `clocks` after the first play."""
    config, given = reader.config, []

    async def bench(ctx):
        ctx.set(reader.write.enable, 1)
        for address in range(config.tape_words):
            ctx.set(reader.write.address, address)
            ctx.set(reader.write.data, address)
            await ctx.tick()
        ctx.set(reader.write.enable, 0)
        ctx.set(reader.length, config.tape_words)
        ctx.set(reader.o.ready, 1)
        ctx.set(reader.i_play.payload, {"words": config.tape_words, "times": 1, "header": 0})
        ctx.set(reader.i_play.valid, 1)
        await ctx.tick().repeat(1 + clocks)
        ctx.set(reader.i_play.valid, 0)
        ctx.set(reader.restart, 1)
        await ctx.tick()
        ctx.set(reader.restart, 0)
        ctx.set(reader.i_play.payload, {"words": 3, "times": 1, "header": 0})
        ctx.set(reader.i_play.valid, 1)
        await ctx.tick()
        ctx.set(reader.i_play.valid, 0)
        for _ in range(16):
            if ctx.get(reader.o.valid):
                given.append(ctx.get(reader.o.payload.word))
            await ctx.tick()

    simulator = Simulator(reader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return given


def test_restart_of_one_clock():
    """Nothing that was in flight comes afterwards, whenever the restart comes."""
    config = chip(2 * BANK)
    for clocks in range(12):
        assert restarted(TapeReader(config, BANK), clocks) == [0, 1, 2]
    bug = edited(TapeReader, "valid.eq(0) for valid", "[] for valid")
    assert restarted(bug(config, BANK), 8) != [0, 1, 2]
