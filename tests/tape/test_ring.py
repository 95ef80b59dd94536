"""TapeRing: words as often as plays say, at full rate, kept as long as needed and no longer."""

from dataclasses import replace

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import transfers
from sterna_rtl.tape.ring import _QUEUE, TapeRing
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.tape.test_walk import places

LATENCY = 4  # from a word, or from its play if that comes later


def chip(ring_words, slots, columns=6):
    small = replace(REFERENCE, rows=1, columns=columns, elements=1, packing=Packing.TWO_BITS)
    return replace(small, tape_words=0, ring_words=ring_words, slots=slots)


class Restarted(wiring.Component):
    """A ring that restarts once it has taken `words` and `plays` and given `count`.

    On the clock of the restart it gets one more of each and one that waits is taken.
    """

    def __init__(self, config, unit=TapeRing):
        self.ring = unit(config)
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.word)),
                "i_play": In(stream.Signature(layouts.play)),
                "o": Out(stream.Signature(layouts.tape_word)),
                **{name: In(16) for name in ("words", "plays", "count")},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.ring = ring = self.ring
        more = []
        for port, inner, limit in (
            (self.i, ring.i, self.words),
            (self.i_play, ring.i_play, self.plays),
            (self.o, ring.o, self.count),
        ):
            number = Signal(16)
            given, taken = (port, inner) if port is not self.o else (inner, port)
            m.d.comb += [
                taken.payload.eq(given.payload),
                taken.valid.eq(given.valid & (number != limit)),
                given.ready.eq(taken.ready & (number != limit)),
            ]
            m.d.sync += number.eq(number + transfers(port))
            with m.If(ring.restart):
                m.d.comb += [inner.valid.eq(1)] if port is not self.o else [inner.ready.eq(1)]
                m.d.sync += number.eq(0)
            more.append(number != limit)
        m.d.comb += ring.restart.eq(~sum(more, 0).any())
        return m


def broken(old, new):
    return lambda config: Restarted(config, edited(TapeRing, old, new))


def played(words, plays):
    """What the ring gives: each play's words, its times over."""
    return [
        {"word": words[place["address"]], "tag": place["tag"]}
        for place in places(plays, len(words))
    ]


class RingBench(UnitBench):
    """Plays of all lengths up to half a ring and of all times; rings that fill and that starve."""

    name = "ring"
    configs = {
        "11-words-3-slots": chip(11, 3),
        "8-words-2-slots": chip(8, 2),
        "16-words-1-slot": chip(16, 1),
        "20-words-8-slots": chip(20, 8),
    }
    cocotb_configs = ("11-words-3-slots", "8-words-2-slots")
    bug_configs = ("11-words-3-slots",)
    bugs = {
        "freed each time": broken("freed.eq(reads & place.tag.final)", "freed.eq(reads)"),
        "never freed": broken("freed.eq(reads & place.tag.final)", "freed.eq(0)"),
        "full ring takes words": broken("self.i.ready.eq(~full)", "self.i.ready.eq(1)"),
        "a word too few fits": broken("(held == depth - 1) &", "(held == depth - 2) &"),
        "words are there once": broken("Mux(again, place.words, 0)", "0"),
        "words are always there": broken("(ready != 0) &", ""),
        "wraps a word late": broken("address == depth - 1", "address == depth"),
        "more words than room": broken(" & (room != 0)", ""),
        "reads wrap a word early": broken("walk.last.eq(depth - 1)", "walk.last.eq(depth - 2)"),
        "tag of the next word": broken(
            "m.d.sync += queue.i.payload.tag", "m.d.comb += queue.i.payload.tag"
        ),
        "words survive a restart": broken("held.eq(0), ready.eq(0), written.eq(0),", ""),
        "plays survive a restart": broken("walk = ResetInserter(self.restart)(", "walk = ("),
        "words in the queue survive a restart": broken(
            "queue = ResetInserter(self.restart)(", "queue = ("
        ),
        "a word in flight survives a restart": broken("in_flight.eq(0),", ""),
        "room is lost by a restart": broken("room.eq(_QUEUE),\n", "\n"),
        "written elsewhere after a restart": broken("words.write.address.eq(0), ", ""),
    }  # fmt: skip

    def dut(self, config):
        return Restarted(config)

    def cases(self, config, rng):
        depth, slots = config.ring_words, config.slots
        half = depth // 2

        def play(words, times):
            return {"words": words, "times": times, "header": int(rng.integers(2))}

        def some(count):
            return [
                play(int(rng.integers(1, half + 1)), int(rng.integers(1, slots + 1)))
                for _ in range(count)
            ]

        def case(name, plays, count=None, held=0, waiting=0, clocks=True):
            """`held` words and `waiting` plays more than are given, or with a count some less."""
            needed = sum(play["words"] for play in plays)
            words = rng.integers(0, 1 << config.word_bits, needed + held).tolist()
            outputs = played(words, plays)[:count]
            return Case(
                {"i": words, "i_play": plays + [play(half, slots)] * waiting},
                {"o": outputs},
                {"words": len(words), "plays": len(plays) + waiting, "count": len(outputs)},
                clocks=len(outputs) + LATENCY if clocks else None,
                name=name,
            )

        yield case("all", some(15))
        yield case("word by word", [play(1, 1)] * 30)
        # Going back costs nothing, even with one word; going on waits for the next one to come.
        yield case("one word", [play(1, slots)] * 20, clocks=depth > 2 * LATENCY)
        yield case("the whole ring", [play(depth, slots)] * 2, clocks=depth >= 2 * LATENCY)
        yield case("headers and words", [play(1, 1), play(half, slots)] * 4)
        # Whatever is dropped, the next case begins with nothing.
        for count in rng.integers(0, half * slots + half, 6).tolist():
            yield case("cut short", [play(half, slots), play(half, 1)], count, clocks=False)
        yield case("words nobody plays", [], held=depth, clocks=False)
        yield case("plays without words", [], waiting=2, clocks=False)
        yield case("both", some(5), held=half, waiting=1, clocks=False)
        yield case("and on", some(10))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(RingBench())


def run(unit, bench):
    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("first", ["i", "i_play"])
def test_latency(first):
    """From the later of word and play to the word."""
    unit = TapeRing(chip(8, 1))

    async def bench(ctx):
        for port in (first, "i" if first == "i_play" else "i_play"):
            payload = 5 if port == "i" else {"words": 1, "times": 1, "header": 0}
            ctx.set(getattr(unit, port).payload, payload)
            ctx.set(getattr(unit, port).valid, 1)
            await ctx.tick()
            ctx.set(getattr(unit, port).valid, 0)
            if port == first:
                await ctx.tick().repeat(10)
        await ctx.tick().repeat(LATENCY - 2)
        assert not ctx.get(unit.o.valid)
        await ctx.tick()
        assert ctx.get(unit.o.valid)
        assert ctx.get(unit.o.payload.word) == 5

    run(unit, bench)


@pytest.mark.parametrize(("words", "times"), [(3, 3), (8, 2)])
def test_words_are_kept_until_their_last_time(words, times):
    """While nobody takes a word the ring fills; each word of the last time makes room for one."""
    unit = TapeRing(chip(8, 3))

    async def bench(ctx):
        taken = given = 0
        ctx.set(unit.i_play.payload, {"words": words, "times": times, "header": 0})
        ctx.set(unit.i_play.valid, 1)
        await ctx.tick()
        ctx.set(unit.i_play.valid, 0)
        ctx.set(unit.i.valid, 1)
        while given < words * times:
            for _ in range(20):
                *_, moved = await ctx.tick().sample(unit.i.ready)
                taken += moved
            read = min(given + _QUEUE, words * times)  # the queue is full
            assert taken == 8 + max(0, read - words * (times - 1))
            ctx.set(unit.o.ready, 1)
            *_, moved = await ctx.tick().sample(unit.i.ready)
            ctx.set(unit.o.ready, 0)
            taken += moved
            given += 1

    run(unit, bench)


def test_contract():
    config = chip(2, 2, columns=1)
    never = edited(TapeRing, "connect_stream(m, queue.o, self.o)",
        "connect_stream(m, queue.o, self.o); m.d.comb += queue.o.ready.eq(1)")  # fmt: skip
    contract = StreamContract()
    check_contract(lambda: TapeRing(config), contract, {"never stalls": lambda: never(config)})
