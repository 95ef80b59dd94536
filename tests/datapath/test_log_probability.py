"""Log-probability: the golden bits at every lane count, and the stream contract."""

import numpy as np
from amaranth import *
from amaranth.sim import Simulator

from sterna.golden.log_probability import log_probability, log_scale
from sterna.spec.fixed import LOG_SCALE_BITS
from sterna_rtl.datapath.log_probability import LogProbability
from sterna_sim.kit import Case, Stalls, StreamContract, UnitBench, bench_tests, edited
from sterna_sim.kit.formal import prove
from tests.datapath.logits import chip, logits_of
from tests.datapath.parts import parts


def broken(old, new):
    return lambda config: edited(LogProbability, old, new)(config)


class LogProbabilityBench(UnitBench):
    """Passes back to back: all kinds of logits, targets in every lane, several scales."""

    name = "log-probability"
    configs = {
        "4-lanes": chip(4, 8, log_probability=True),
        "2-lanes": chip(2, 2, max_vocab=61, log_probability=True),
        "1-lane": chip(1, 4, max_vocab=40, log_probability=True),
        "8-lanes": chip(8, 8, max_vocab=65536, log_probability=True),
        "2-tokens": chip(4, 4, max_vocab=2, log_probability=True),
    }
    cocotb_configs = ("4-lanes", "1-lane")
    slow_configs = (*cocotb_configs, "8-lanes")
    bug_configs = ("4-lanes", "1-lane")
    bugs = {
        "mask ignored": broken("wanted & part.mask[lane]", "wanted"),
        "sum of another pair": broken("Mux(tag == row.tag, row.sum, 0)", "row.sum"),
        "lower pair takes the sum": broken("adds & ~older", "adds"),
        "pairs signed the wrong way": broken(" ^ 1 << _TAG_BITS - 1)", ")"),
        "odd octaves like even ones": broken(
            "Mux(upper[0], mantissa << 1", "Mux(upper[0], mantissa"
        ),
        "looked at too early": broken("_FLUSH = 5", "_FLUSH = 3"),
        "lowest pair left out": broken("step - (PAIRS - 1)", "step - (PAIRS - 2)"),
        "pair joined as octave": broken("total >> 2, total", "total >> 1, total"),
        "only one lane joined": broken("total >> 2, total)", "total >> 2, 0)"),
        "target of another lane": broken("exists & aimed & here", "exists & aimed"),
        "target of the pass before": broken("Mux(part.last, 0, position + 1)", "position + 1"),
        "logit without its sign": broken(
            "factor * self.scale", "factor.as_unsigned() * self.scale"
        ),
        "next pass too early": broken("self.i.ready.eq(take)", "self.i.ready.eq(1)"),
    }

    def dut(self, config):
        return LogProbability(config)

    def cases(self, config, rng):
        most = config.max_vocab
        for fraction, kind in ((10, "close"), (8, "random"), (13, "random"), (6, "extreme")):
            yield self.one(config, rng, fraction, kind, [min(n, most) for n in (1, 2, 31, 60)])
        for fraction, kind in ((9, "rising"), (9, "falling"), (11, "equal"), (20, "ties")):
            yield self.one(config, rng, fraction, kind, [min(100, most)])
        # A pass without a target leaves nothing behind.
        items = parts(logits_of("random", min(20, most), rng), 0, config, rng)
        yield Case({"i": items}, {}, {"scale": 1 << 20}, name="none")
        yield self.one(config, rng, 10, "close", [min(40, most)])
        steps = -np.arange(min(50, most)) * 1200 + 30000
        yield self.given(config, rng, 9, [steps, steps[::-1]])

    def one(self, config, rng, fraction, kind, lengths):
        return self.given(
            config, rng, fraction, [logits_of(kind, length, rng) for length in lengths], kind
        )

    def given(self, config, rng, fraction, passes, name="steps"):
        """Passes with the same target."""
        scale = log_scale(fraction)
        target = int(rng.integers(min(map(len, passes))))
        return Case(
            {"i": [part for logits in passes for part in parts(logits, 0, config, rng)]},
            {"o": [log_probability(logits, target, scale) for logits in passes]},
            {"scale": scale, "target": {"token": target, "valid": 1}},
            name=f"{name}-{fraction}-{target}",
        )


class ManyBench(LogProbabilityBench):
    """Whole vocabularies, with targets anywhere in them."""

    name = "log-probability-many"
    configs = {"4-lanes": LogProbabilityBench.configs["4-lanes"]}
    bug_configs = cocotb_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        for kind in ("close", "random", "rising", "falling") * 6:
            yield self.one(config, rng, 9, kind, [config.max_vocab - int(rng.integers(99))])


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LogProbabilityBench())
_, test_many, _ = bench_tests(ManyBench())


def test_contract():
    """What waits stays until it is taken: proven for all time.

    A result comes a hundred clocks after its part, too late for the cover of `check_contract` and
    for a counter-example from reset: of a broken unit the proof must fail.
    """
    config = chip(1, 1, max_vocab=2, log_probability=True)
    contract = StreamContract(induction=3)
    assert prove(LogProbability(config), contract, "prove")[0] == "PASS"
    bug = broken(
        "connect_stream(m, results.o, self.o)",
        "m.d.comb += [self.o.valid.eq(results.o.valid & self.i.valid), results.o.ready.eq(0)]",
    )
    assert prove(bug(config), contract, "prove")[0] != "PASS"


def test_factor_that_no_model_has():
    """Its result means nothing, but one comes, and the next pass knows nothing of it."""
    config = chip(1, 1, max_vocab=4, log_probability=True)
    dut = LogProbability(config)
    logits, scale = np.array([-32767, -32767, 900]), log_scale(9)
    results = []

    async def testbench(ctx):
        ctx.set(dut.target, {"token": 2, "valid": 1})
        for factor, row in (((1 << LOG_SCALE_BITS) - 1, logits - 900), (scale, logits)):
            ctx.set(dut.scale, factor)
            for number, logit in enumerate(row.tolist()):
                part = {"values": [max(logit, -32767)], "mask": 1, "last": number == 2}
                ctx.set(dut.i.payload, part)
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.o.ready, 1)
            *_, result = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
            results.append(result)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run_until(1e-8 * 2000)
    assert len(results) == 2
    assert results[1] == log_probability(logits, 2, scale)
