"""Compute: tokens of the shipped model, bit for bit, and the clocks that they take.

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
from sterna.spec.compact import PAGE, Page
from sterna_rtl.compact.compute import Compute
from sterna_sim.kit.bench import default_seed
from tests.compact.control import Control

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
TOKENS = 72, 101
TEMPERATURE = 3000
MOST_CLOCKS = 40_000
"""20 MHz and 500 tokens per second."""


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
