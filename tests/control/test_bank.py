"""Bank: a word can be read two clocks after its write, in LUTs and in block RAM."""

import random

import pytest
from amaranth.sim import Simulator

from sterna.spec.ram import LUTRAM_WORDS
from sterna_rtl.control.bank import Bank
from sterna_sim.kit import edited

DEPTHS = (6, 40, LUTRAM_WORDS, LUTRAM_WORDS + 1)


def wrong_words(bank, clocks=1500, seed=1):
    """How many words are not those that were last written to their address."""
    rng, wrong = random.Random(seed), 0

    async def drive(ctx):
        nonlocal wrong
        words, written = [None] * bank.depth, {}
        for _ in range(clocks):
            read_at = rng.choice([at for at in range(bank.depth) if at not in written])
            write_at, data, enable = rng.randrange(bank.depth), rng.randrange(256), rng.randrange(2)
            ctx.set(bank.write.data, data)
            ctx.set(bank.write.enable, enable)
            ctx.set(bank.write.address, write_at)
            ctx.set(bank.read.address, read_at)
            expected = words[read_at]
            for address, word in written.items():
                words[address] = word
            written = {write_at: data} if enable else {}
            await ctx.tick()
            ctx.set(bank.read.address, rng.randrange(bank.depth))  # for the next clock
            wrong += expected is not None and ctx.get(bank.read.data) != expected

    simulator = Simulator(bank)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    return wrong


@pytest.mark.parametrize("depth", DEPTHS)
def test_words_are_those_written(depth):
    assert wrong_words(Bank(depth, 8)) == 0


@pytest.mark.parametrize(
    "old, new, depth",
    [
        ("late.enable.eq(self.write.enable)", "late.enable.eq(1)", DEPTHS[-1]),
        ("late.address.eq(self.write.address)", "late.address.eq(self.read.address)", 40),
        (" & written)", ")", 40),
        ("reduce(or_, shown)", "words[0]", 40),
        ("m.d.sync += here.eq", "m.d.comb += here.eq", 40),
    ],
)
def test_planted_bugs(old, new, depth):
    assert wrong_words(edited(Bank, old, new)(depth, 8))
