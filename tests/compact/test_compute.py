"""Compute: matrices and choices step by step; tokens of the shipped model, and their clocks.

What comes in no time here is what a control processor will compute: reciprocals and scales.
"""

from pathlib import Path

import numpy as np
from amaranth.sim import Simulator

from sterna.golden.sampler import Sampler
from sterna.golden.step import Golden
from sterna.model import container
from sterna.model.layout import lay_out
from sterna.spec.chip import ICEBREAKER
from sterna.spec.compact import COLUMNS, PAGE, Page, Program
from sterna_rtl.compact.compute import Compute
from sterna_sim.kit import Stalls, UnitBench, edited
from sterna_sim.kit.bench import default_seed
from sterna_sim.kit.suite import bench_tests
from tests.compact.control import Control
from tests.compact.steps import Played, Script

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
TOKENS = 72, 101
TEMPERATURE = 3000
MOST_CLOCKS = 40_000
"""20 MHz and 500 tokens per second."""


def broken(old, new):
    return lambda _: Played(edited(Compute, old, new)())


def segments(rng, elements, rows):
    """Return an embedding, three matrices and choices, whose noise is made beside them."""
    script = Script(rng, elements)
    script.loads()
    script.scale(int(rng.integers(1 << 15, 1 << 16)), 16)
    script.noise(int(rng.integers(1, 1 << 63)), elements - 1)
    script.drawn_sums(8)
    for program in (Program.SUMS, Program.EMBED):
        script.run(program)
    script.set_quantiser(script.run(Program.STATISTICS).largest)
    script.scale(int(rng.integers(1 << 15, 1 << 16)), 14)
    script.matrix(Program.CUT, elements)
    for program in (Program.SILU, Program.SHOW_SCRATCH):
        script.run(program)
    script.set_quantiser(script.run(Program.SCRATCH_STATISTICS).largest)
    script.matrix(Program.CUT_SCRATCH, elements)
    script.run(Program.RESIDUAL)
    script.choices()
    script.set_quantiser(script.run(Program.LARGEST).largest)
    script.noise(int(rng.integers(1, 1 << 63)), elements - 1)
    script.matrix(Program.CUT, rows)
    script.choices()
    return script


class ComputeBench(UnitBench):
    """Matrices of drawn weights all over the tape, of one block and of more."""

    name = "compact-compute"
    configs = {"short": (2 * COLUMNS, 60), "long": (4 * COLUMNS, 288)}
    cocotb_configs = ("long",)
    slow_configs = ("long",)
    bug_configs = ("short",)
    stalls = (Stalls(), Stalls("random", "random"), Stalls("long", "long"), Stalls(outputs="late"))
    patience = 4000
    not_stalled = {"i": "ready only when the command that waits there has been done"}
    bugs = {
        "noise is lost while a sum is written": broken(
            "noise.o.ready.eq(~self.new_sums.enable & ~lanes.new_sums.enable)",
            "noise.o.ready.eq(1)",
        ),
        "noise instead of a sum": broken(
            "for given in (lanes.new_sums, self.new_sums):", "for given in (self.new_sums,):"
        ),
        "noise among the sums": broken("C(1, 1)", "C(0, 1)"),
        "noise of the state before": broken("noise.loads.eq(self.loads)", "noise.loads.eq(0)"),
        "no sums of the lanes": broken("| lanes.new_sums.enable |", "|"),
        "the tape goes on": broken("tape.seeks.eq(self.seeks)", "tape.seeks.eq(0)"),
        "the tape never stops": broken(
            "tape.o.ready.eq(lanes.i_words.ready | self.takes)", "tape.o.ready.eq(1)"
        ),
        "no activations": broken("lanes.shifts.eq(core.activation.enable)", "lanes.shifts.eq(0)"),
        "half an activation": broken("eq(core.activation.data)", "eq(core.activation.data[:7])"),
        "shifts in the places": broken(
            "(core.new_place, self.new_place)", "(core.new_place, self.new_shift)"
        ),
        "the tape is not written": broken("            (tape.write, self.new_tape),\n", ""),
    }

    def dut(self, config):
        return Played(Compute())

    def cases(self, config, rng):
        yield segments(rng, COLUMNS, 7).case("a block", False)
        yield segments(rng, *config).case("blocks", False)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ComputeBench())


def test_tokens():
    """Logits of two tokens, one after the other."""
    model = container.load(MODEL)
    golden = Golden(model)
    expected = golden.run(np.array(TOKENS))
    sampler = Sampler(temperature=TEMPERATURE, seed=default_seed())
    compute = Compute()
    found, clocks = [], []

    async def drive(ctx):
        control = Control(ctx, compute, lay_out(model, ICEBREAKER), model.embedding)
        await control.load()
        await control.temperature(TEMPERATURE)
        for token, row in zip(TOKENS, expected, strict=True):
            before = dict(control.clocks)
            await control.draw(sampler.state)
            await control.step(token)
            found.append(list(logits))
            assert await control.choose() == sampler.draw(row)
            spent = {name: n - before[name] for name, n in control.clocks.items()}
            clocks.append(sum(spent.values()))
            print(f"token {token}: {clocks[-1]} clocks, {spent}")
        print(f"loaded in {before['load']} clocks, {control.clamped} clamped")
        assert control.clamped == golden.counters.saturations

    logits = [0] * model.shape.vocab

    async def watch(ctx):
        port = compute.core.arithmetic.new_work
        async for _, _, enable, address, data in ctx.tick().sample(
            port.enable, port.address, port.data
        ):
            row = address - Page.Y * PAGE
            if enable and 0 <= row < len(logits):
                logits[row] = data

    simulator = Simulator(compute)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.add_testbench(watch, background=True)
    simulator.run()
    np.testing.assert_array_equal(np.array(found), expected)
    assert max(clocks) <= MOST_CLOCKS
