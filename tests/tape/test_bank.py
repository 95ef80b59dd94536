"""TapeBank: words come three clocks after their addresses, data a clock after theirs."""

import random

import pytest
from amaranth.sim import Simulator

from sterna_rtl.tape.bank import TapeBank
from sterna_sim.kit import edited

DEPTH = 6


def wrong_words(bank, clocks=400, seed=1):
    """How many words are not those that were last written to their address."""
    rng, wrong = random.Random(seed), 0

    async def drive(ctx):
        nonlocal wrong
        words = [None] * DEPTH
        expected = [None] * TapeBank.latency
        data = 0
        for _ in range(clocks):
            enable = rng.randrange(2)
            read_at, write_at = rng.sample(range(DEPTH), 2)
            ctx.set(bank.write.data, data)
            ctx.set(bank.write.enable, enable)
            ctx.set(bank.write.address, write_at)
            ctx.set(bank.read.address, read_at)
            data = rng.randrange(256)
            expected.append(words[read_at])
            if enable:
                words[write_at] = data
            await ctx.tick()
            word = expected[-TapeBank.latency]
            wrong += word is not None and ctx.get(bank.read.data) != word

    simulator = Simulator(bank)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return wrong


def test_words_come_after_their_latency():
    assert wrong_words(TapeBank(DEPTH, 8)) == 0


@pytest.mark.parametrize(
    "old, new",
    [
        ("register(self.write.address)", "self.write.address"),
        ("register(self.read.address)", "self.read.address"),
        ("register(ram.read.data)", "ram.read.data"),
        ("write.data.eq(self.write.data)", "write.data.eq(register(self.write.data))"),
        ("enable.eq(self.write.enable)", "enable.eq(1)"),
    ],
)
def test_planted_bugs(old, new):
    assert wrong_words(edited(TapeBank, old, new)(DEPTH, 8))
