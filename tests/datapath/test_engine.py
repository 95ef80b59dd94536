"""TernaryEngine: exact row sums, no lost clock, no lost sums, and the counters' signals."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from amaranth import Mux, signed
from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume
from amaranth.sim import Simulator

from sterna.golden.engine import row_sums
from sterna.model.layout import _weight_words
from sterna.spec.chip import REFERENCE
from sterna_rtl.datapath.engine import TernaryEngine
from sterna_sim.kit import (
    Case,
    CheckError,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
    prove,
)

HAZARD = 5  # clocks from reading a partial sum to the first that reads the new one
BLOCKS = 5  # of C columns in the longest row


def chip(rows, columns, elements, psum_words=24):
    return replace(
        REFERENCE,
        rows=rows,
        columns=columns,
        elements=elements,
        max_columns=BLOCKS * columns,
        psum_words=psum_words,
    )


def expected_clocks(config, jobs):
    """Clocks from the first transfer to the last sums, if nothing outside stalls."""
    beats = config.columns // config.elements
    full, done, ahead, taken = beats - 1, 0, 2, 0  # the first clock on which each can be seen
    for groups, blocks in jobs:
        for block in range(blocks):
            if block == 0:
                begin = max(full, done, ahead)
                ahead = begin + 3
            elif groups < HAZARD:
                begin = max(full, taken + HAZARD - 1)
            else:
                begin = max(full, done)
            full, done, taken = begin + beats, begin + max(groups, 2), begin + groups
    return taken + TernaryEngine(config).latency + 1


def weights(trits, rng):
    """A word of the engine; zeros with any sign."""
    signs = np.where(trits == 0, rng.integers(0, 2, len(trits)), trits < 0)
    return {
        "nonzero": int("".join(str(int(t != 0)) for t in reversed(trits)), 2),
        "negative": int("".join(str(int(s)) for s in reversed(signs)), 2),
    }


class Signals:
    """What the counters count: each clock one thing, a word taken or why none is."""

    def drive(self, engine):
        pass

    def sample(self, engine):
        names = ("busy", "starved", "waiting", "blocked")
        busy, starved, waiting, blocked = (engine.read(name) for name in names)
        offered, ready = engine.read("i_weights__valid"), engine.read("i_weights__ready")
        taken = offered & ready
        if busy != taken or starved > 1 - offered or waiting + blocked != offered - taken:
            got = f"busy {busy}, starved {starved}, waiting {waiting}, blocked {blocked}"
            raise CheckError("the counters' signals are wrong", port="i_weights", got=got)

    def check(self):
        pass


def case(config, rng, name, matrices, **options):
    """Jobs of (trits [rows, columns], activations [columns]), one after the other."""
    jobs, words, beats, sums = [], [], [], []
    for trits, activations in matrices:
        groups = len(trits) // config.rows
        jobs.append((groups, len(activations) // config.columns))
        words += [weights(word, rng) for word in _weight_words(trits, config)]
        beats += activations.reshape(-1, config.elements).tolist()
        result = row_sums(activations[None], trits)[0].reshape(groups, config.rows)
        sums += [
            {"sums": beat, "last": group == groups - 1}
            for group, beat in enumerate(result.tolist())
        ]
    inputs = {
        "i_job": [{"groups": groups, "blocks": blocks} for groups, blocks in jobs],
        "i_weights": words,
        "i_activations": beats,
    }
    clocks = expected_clocks(config, jobs)
    return Case(inputs, {"o": sums}, clocks=clocks, beside=[Signals], name=name, **options)


def matrix(config, rng, groups, blocks):
    shape = groups * config.rows, blocks * config.columns
    return rng.integers(-1, 2, shape, dtype=np.int8), rng.integers(-127, 128, shape[1])


def extremes(config):
    """Largest sums of either sign, -127 with either weight, and nothing at all."""
    shape = 2 * config.rows, BLOCKS * config.columns
    alternating = np.resize([1, -1], shape[1])
    for trits, activations in (
        (1, 127), (-1, 127), (1, -127), (-1, -127), (0, 127), (1, 0),
        (alternating, 127 * alternating), (alternating, -127 * alternating),
    ):  # fmt: skip
        yield (
            np.broadcast_to(trits, shape).astype(np.int8),
            np.broadcast_to(activations, shape[1]).astype(np.int64),
        )


def broken(old, new):
    return lambda config: edited(TernaryEngine, old, new)(config)


class EngineBench(UnitBench):
    """Jobs of all shapes back to back; the golden row sums in the order of the layout."""

    name = "engine"
    configs = {
        "2x8-2": chip(2, 8, 2),
        "4x6-2": chip(4, 6, 2),
        "1x4-4": chip(1, 4, 4),
        "8x3-1": chip(8, 3, 1),
        "1x2-1": chip(1, 2, 1),
        "1x1-1": chip(1, 1, 1),
        "2x20-4": chip(2, 20, 4),
    }
    cocotb_configs = ("4x6-2", "1x4-4")
    bug_configs = ("2x8-2",)
    bugs = {
        "partial sums read too early": broken("groups < _HAZARD", "groups < 0"),
        "hazard one clock short": broken("_HAZARD = 5", "_HAZARD = 4"),
        "carry dropped": broken("both + carry_a", "both"),
        "last carry dropped": broken("shape.width] + carry", "shape.width]"),
        "signs swapped": broken(
            "self.nonzero[lane], self.negative[lane]",
            "self.nonzero[lane], self.nonzero[lane] & ~self.negative[lane]",
        ),
        "trit mixed up": broken("^ negative.replicate(8)", "^ (negative & nonzero).replicate(8)"),
        "last job's partial sums added": broken("later_block.eq(more_blocks)", "later_block.eq(1)"),
        "partial sums of the next group": broken("tags[levels].add", "tags[levels - 1].add"),
        "block used before it is loaded": broken("activations.full & next_ready", "next_ready"),
        "no credits": broken("(more_blocks | promised[-1])", "1"),
        "credit never given back": broken("- transfers(self.o)", ""),
        "a clock lost between blocks": broken("(~active | (take & last_word))", "~active"),
        "no job taken ahead": broken("ready.eq(~has_ahead)", "ready.eq(~has_ahead & ~self.busy)"),
        "last on every beat": broken("last.eq(written.end)", "last.eq(1)"),
        "two reasons at a time": broken("waiting.eq(~active & ", "waiting.eq("),
        "active a clock early": broken("m.If(moves)", "m.If(self.swap)"),
        "weights of the word after": broken(
            "m.d.sync += weights.eq(self.i", "m.d.comb += weights.eq(self.i"
        ),
        "beats in reverse": broken(
            "first = index * elements", "first = (self.beats - 1 - index) * elements"
        ),
    }

    def dut(self, config):
        return TernaryEngine(config)

    def cases(self, config, rng):
        beats = config.columns // config.elements
        long = [(beats + 9, 3), (beats + 1, 1), (beats + 5, 2), (24, 1)]
        short = [(groups, blocks) for groups in (1, 2, 3, 4, 5) for blocks in (3, 1)]
        short += [(1, 1), (1, 1), (24, 2)]
        for name, jobs in (("long", long), ("short", short)):
            matrices = [matrix(config, rng, *job) for job in jobs]
            yield case(config, rng, name, matrices)
        yield case(config, rng, "extremes", extremes(config))


class LongBench(EngineBench):
    """Jobs that fill the upper bits of both counts."""

    name = "engine-long"
    configs = {"2x8-2": EngineBench.configs["2x8-2"]}
    cocotb_configs = ()
    stalls = (Stalls(),)

    def cases(self, config, rng):
        jobs = [(8192 + 1600, 1), (4096 + 2048 + 64, 1), (3, 600), (2, 1)]
        yield case(config, rng, "long", [matrix(config, rng, *job) for job in jobs])


test_pysim, test_cocotb, test_planted_bugs = bench_tests(EngineBench())
test_long, _, _ = bench_tests(LongBench())


def test_a_word_on_every_clock():
    """Blocks longer than their loading cost their words and nothing else."""
    config = chip(4, 64, 8)
    jobs = [(9, 3), (20, 1), (12, 5), (9, 1)]
    words = sum(groups * blocks for groups, blocks in jobs)
    first_block = config.columns // config.elements
    assert expected_clocks(config, jobs) == first_block + words + TernaryEngine(config).latency


def test_counters():
    """Each of the four signals in its situation, and never two of them."""
    dut = TernaryEngine(chip(1, 2, 2))
    names = ("busy", "starved", "waiting", "blocked")

    async def since(ctx, clocks, **expected):
        seen = Counter()
        for _ in range(clocks):
            values = (await ctx.tick().sample(*(getattr(dut, name) for name in names)))[2:]
            assert sum(values) <= 1
            seen.update(name for name, value in zip(names, values, strict=True) if value)
        assert seen == expected

    async def drive(ctx):
        await since(ctx, 3)
        ctx.set(dut.i_weights.valid, 1)
        await since(ctx, 3, waiting=3)
        ctx.set(dut.i_job.payload.groups, 40)
        ctx.set(dut.i_job.payload.blocks, 1)
        ctx.set(dut.i_job.valid, 1)
        await since(ctx, 3, waiting=3)
        ctx.set(dut.i_activations.valid, 1)
        await since(ctx, 1, waiting=1)
        # 17 places in the queue, then the sums have nowhere to go.
        await since(ctx, 30, busy=17, blocked=13)
        ctx.set(dut.o.ready, 1)
        await since(ctx, 10, busy=9, blocked=1)
        ctx.set(dut.i_weights.valid, 0)
        await since(ctx, 4, starved=4)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


def test_contract():
    """Outputs hold; no sums are ever lost, from any state (the unit's own claims)."""
    config = chip(1, 3, 1, psum_words=2)
    bugs = {"no credits": lambda: broken("(more_blocks | promised[-1])", "1")(config)}
    contract = StreamContract(depth=30, covers=1)
    check_contract(lambda: TernaryEngine(config), contract, bugs)


def held(m, engine):
    """One word of weights and one block of activations, whatever they are, again and again."""
    config = engine.config
    nonzero, negative = AnyConst(config.columns), AnyConst(config.columns)
    activations = [AnyConst(signed(8)) for _ in range(config.columns)]
    job, word = engine.i_job.payload, engine.i_weights.payload
    m.d.comb += [
        Assume((job.groups == 1) & (job.blocks == 2)),
        Assume((word.nonzero == nonzero) & (word.negative == negative)),
    ]
    total = 0
    for lane, activation in enumerate(activations):
        given = engine.i_activations.payload[lane]
        m.d.comb += Assume((given == activation) & (activation != -128))
        signed_one = Mux(negative[lane], -activation, activation)
        total = total + Mux(nonzero[lane], signed_one, 0)
    with m.If(engine.o.valid):
        m.d.comb += Assert(engine.o.payload.sums[0] == 2 * total, "the sum is wrong")


@pytest.mark.parametrize("bug", ["", "carry dropped", "trit mixed up"])
def test_sums_for_all_inputs(bug):
    """Two blocks of two columns: every weight, every activation, every pattern of stalls."""
    config = chip(1, 2, 2, psum_words=2)
    engine = EngineBench.bugs[bug](config) if bug else TernaryEngine(config)
    contract = StreamContract(also=held, depth=engine.latency + 9)
    assert prove(engine, contract, "bmc")[0] == ("FAIL" if bug else "PASS")
