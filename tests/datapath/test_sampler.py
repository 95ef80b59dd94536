"""Sampler: the golden tokens at every temperature, ties, seeds, and the stream contract."""

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator
from amaranth.utils import exact_log2

from sterna.golden import sampler as golden
from sterna.spec.xorshift import next_draw
from sterna_rtl.datapath.sampler import Sampler
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.datapath.logits import LARGEST, chip, logits_of


class Seeded(Component):
    """The unit with its seed behind a stream."""

    def __init__(self, config, unit=Sampler):
        self.unit = unit(config)
        self.top_k = config.top_k
        layouts = Layouts(config)
        super().__init__(
            {
                "i_seed": In(stream.Signature(64)),
                "i_logits": In(stream.Signature(layouts.logits)),
                "temperature": In(16),
                "draw": In(1),
                "among": In(5),
                "state": Out(64),
                "o_token": Out(stream.Signature(layouts.token)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i_logits, unit.i_logits)
        connect_stream(m, unit.o_token, self.o_token)
        m.d.comb += [
            unit.temperature.eq(self.temperature),
            unit.draw.eq(self.draw),
            unit.load_seed.eq(self.i_seed.valid),
            self.i_seed.ready.eq(1),
            self.state.eq(unit.state),
        ]
        if self.top_k:
            m.d.comb += unit.top_k.eq(self.among)
        # The seed is taken on the clock after the strobe.
        m.d.sync += unit.seed.eq(self.i_seed.payload)
        return m


def beats(logits, elements, rng):
    """A pass as the epilogue gives it; anything in the elements beyond the vocabulary."""
    count = -(-len(logits) // elements)
    values = rng.choice([LARGEST, -LARGEST], count * elements)
    values[: len(logits)] = logits
    exists = np.arange(count * elements) < len(logits)
    return [
        {
            "values": row,
            "mask": sum(1 << lane for lane in np.flatnonzero(mask).tolist()),
            "first": index == 0,
            "last": index == count - 1,
        }
        for index, (row, mask) in enumerate(
            zip(values.reshape(count, -1), exists.reshape(count, -1), strict=True)
        )
    ]


def broken(old, new):
    return lambda config: Seeded(config, edited(Sampler, old, new))


class SamplerBench(UnitBench):
    """Passes back to back, with one golden sampler beside them."""

    name = "sampler"
    configs = {
        "4-lanes-of-8": chip(4, 8),
        "2-lanes": chip(2, 2),
        "1-lane": chip(1, 1),
        "1-lane-of-8": chip(1, 8),
        "rows-beyond-elements": chip(8, 4),
        "4-lanes-8-best": chip(4, 8, top_k=8),
        "1-lane-5-best": chip(1, 2, top_k=5),
    }
    cocotb_configs = ("4-lanes-of-8", "1-lane")
    bug_configs = ("4-lanes-of-8", "1-lane-of-8", "4-lanes-8-best")
    bugs = {
        "last of equals": broken("| (largest.value > best)", "| (largest.value >= best)"),
        "mask ignored": broken("Mux(exists[1], ", "Mux(1, "),
        "best of the pass before": broken(
            "flags.first | (largest.value > best)", "largest.value > best"
        ),
        "no draw": broken("with m.Elif(done & self.draw):", "with m.Elif(0):"),
        "always draws": broken("with m.Elif(done & self.draw):", "with m.Elif(done):"),
        "noise goes on": broken("restart.eq(done | (load & ~begun))", "restart.eq(load & ~begun)"),
        "seed ignored by the noise": broken("done | (load & ~begun)", "done"),
        "temperature signed": broken(
            "factor * self.temperature", "factor * self.temperature.as_signed()"
        ),
        "next pass too early": broken("& ~finishing & ~self.o_token.valid", ""),
        "drawn among all": broken("done & (self.top_k == 0)", "done"),
        "parts while the best are given": broken("ready.eq(best.i.ready)", "ready.eq(1)"),
        "logit without its fraction": broken("<< GUMBEL_FRACTION", "<< (GUMBEL_FRACTION - 1)"),
    }
    drain = 32  # what is left of the old noise, and the first of the new
    not_stalled = {"o_token": "one token a pass, too few to meet every stall"}

    def dut(self, config):
        return Seeded(config)

    def cases(self, config, rng):
        lanes = min(config.rows, config.elements)
        state = golden.Sampler()
        lengths = [1, 2 * config.elements + 1, config.elements]
        yield self.one(config, rng, state, "ties", 0, lengths)
        yield self.one(config, rng, state, "random", 0, [24 * lanes + 1])
        for kind, temperature, draw in (
            ("equal", 0, 0), ("rising", 0, 1), ("close", 300, 1), ("equal", 1, 0),
            ("random", 9000, 1), ("extreme", 65535, 1),
        ):  # fmt: skip
            yield self.one(config, rng, state, kind, temperature, lengths, draw)
        for k in {1, (config.top_k + 1) // 2, config.top_k} if config.top_k else ():
            state.top_k = k
            yield self.one(config, rng, state, "close", 300, lengths)
            yield self.one(config, rng, state, "ties", 0, [3 * config.elements], 0)
        state.top_k = 0
        seed = int(rng.integers(1, 1 << 62)) | 1 << 63
        state.state = seed
        yield Case({"i_seed": [1, seed]}, finals={"state": seed}, name="seed")
        yield self.one(config, rng, state, "close", 300, [19])

    def one(self, config, rng, state, kind, temperature, lengths, draw=1):
        """Passes of the given lengths."""
        state.temperature = temperature
        items, tokens = [], []
        for length in lengths:
            logits = logits_of(kind, length, rng)
            items += beats(logits, config.elements, rng)
            before = state.state
            tokens.append(state.draw(logits))
            state.state = state.state if draw else before
        lanes = min(config.rows, config.elements)
        parts = len(items) * config.elements // lanes
        # A single pass finds its noise: one clock for each part and those of the pipeline.
        clocks = parts + 6 + exact_log2(lanes)
        if state.top_k:
            clocks = parts + 8 + state.top_k * (2 + exact_log2(lanes))
        return Case(
            {"i_logits": items},
            {"o_token": tokens},
            {"temperature": temperature, "draw": draw, "among": state.top_k},
            {"state": state.state},
            clocks=clocks if len(lengths) == 1 else None,
            name=f"{kind}-{temperature}-{state.top_k}",
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SamplerBench())


@pytest.mark.parametrize("draw", [0, 1])
def test_seed_during_a_pass(draw):
    """The pass that has begun keeps its noise; the seed is there for the next."""
    config = chip(2, 4)
    dut = Seeded(config)
    rng = np.random.default_rng(5)
    state = golden.Sampler(temperature=3000, seed=1)
    first, second = rng.integers(-999, 999, (2, 40))
    expected = [state.draw(first)]
    state.state = 12345 if not draw else next_draw(12345)
    expected.append(state.draw(second))
    tokens = []

    async def give(ctx, logits, seed_at=None):
        ctx.set(dut.i_logits.valid, 1)
        for index, beat in enumerate(beats(logits, config.elements, rng)):
            ctx.set(dut.i_logits.payload, {**beat, "values": beat["values"].tolist()})
            ctx.set(dut.i_seed.valid, index == seed_at)
            ctx.set(dut.i_seed.payload, 12345)
            await ctx.tick().until(dut.i_logits.ready)
        ctx.set(dut.i_logits.valid, 0)
        *_, token = await ctx.tick().sample(dut.o_token.payload).until(dut.o_token.valid)
        tokens.append(token)

    async def testbench(ctx):
        ctx.set(dut.temperature, state.temperature)
        ctx.set(dut.draw, draw)
        ctx.set(dut.o_token.ready, 1)
        await give(ctx, first, seed_at=5)
        await give(ctx, second)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert tokens == expected


def test_contract():
    """One logit at a time: two registers of logits, the pipeline, and a token that waits."""
    config = chip(1, 1, max_vocab=2)
    contract = StreamContract(
        items_in=1, input="i_logits", output="o_token", depth=24, induction=8, covers=1
    )
    bug = broken("with m.Elif(self.o_token.ready):", "with m.Else():")
    check_contract(lambda: Seeded(config), contract, {"token not held": lambda: bug(config)})


@pytest.mark.parametrize("top_k", [0, 4])
def test_draws_are_the_golden_ones(top_k):
    """A hundred draws from the same six logits; tests/golden shows that these are samples."""
    config = chip(2, 4, max_vocab=8, top_k=4)
    dut = Seeded(config)
    rng = np.random.default_rng(9)
    logits = np.array([256, 0, -256, 128, 64, 200])
    state = golden.Sampler(temperature=256, seed=1, top_k=top_k)
    expected = [state.draw(logits) for _ in range(100)]
    tokens = []

    async def give(ctx):
        for _ in expected:
            for beat in beats(logits, config.elements, rng):
                ctx.set(dut.i_logits.valid, 1)
                ctx.set(dut.i_logits.payload, {**beat, "values": beat["values"].tolist()})
                await ctx.tick().until(dut.i_logits.ready)
        ctx.set(dut.i_logits.valid, 0)

    async def take(ctx):
        ctx.set(dut.temperature, state.temperature)
        ctx.set(dut.among, top_k)
        ctx.set(dut.draw, 1)
        ctx.set(dut.o_token.ready, 1)
        for _ in expected:
            *_, token = await ctx.tick().sample(dut.o_token.payload).until(dut.o_token.valid)
            tokens.append(token)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(give)
    simulator.add_testbench(take)
    simulator.run()
    assert tokens == expected
    assert len(set(tokens)) == (top_k or len(logits))
