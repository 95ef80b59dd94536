"""Counters: every event is counted, on every clock, up to the most; wrapping and clearing."""

import pytest
from amaranth.sim import Simulator

from sterna.spec.registers import Counter
from sterna_rtl.control.counters import WIDTH, Counters
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.control.chips import chip
from tests.control.clocked import Clocked

LATENCY = 2


def most(config):
    """Events of each kind in one clock."""
    return {**dict.fromkeys(Counter, 1), Counter.SATURATIONS: 2 * config.elements}


def broken(old, new):
    return lambda config: Clocked(edited(Counters, old, new)(*config), LATENCY)


class CountersBench(UnitBench):
    """An item is one clock's events, a result the counters after it.

    Counters of a few bits go round: no bench could fill all of them.
    """

    name = "counters"
    stalls = (Stalls(), Stalls("random", "random"))
    configs = {f"E-{elements}": (chip(elements=elements), WIDTH) for elements in (8, 1)}
    configs["E-8-7-bits"] = (chip(elements=8), 7)
    bugs = {
        "two counters swapped": broken("self.values[counter]", "self.values[-1 - counter]"),
        "one event a clock at most": broken("value + seen", "value + seen.any()"),
        "starts again at 2**6": broken("value + seen", "(value + seen)[:6]"),
        "never cleared": broken("with m.If(clear):", "with m.If(0):"),
        "events on the clearing clock stay": broken("value.eq(0)", "value.eq(seen)"),
    }

    def dut(self, config):
        return Clocked(Counters(*config), LATENCY)

    def cases(self, config, rng):
        limits, size = most(config[0]), 1 << config[1]
        totals = dict.fromkeys(Counter, 0)
        events, values = [], []
        all_at_once = 20 if config[1] == WIDTH else size
        for clock in range(all_at_once + 180):
            full = clock < all_at_once
            now = {c: limits[c] if full else int(rng.integers(limits[c] + 1)) for c in Counter}
            clear = int(clock > all_at_once + 100 and rng.random() < 0.1)
            totals = {c: 0 if clear else (totals[c] + now[c]) % size for c in Counter}
            events.append({c.name.lower(): now[c] for c in Counter} | {"clear": clear, "shown": 1})
            values.append({f"values__{c.value}": totals[c] for c in Counter})
        yield Case({"i": events}, {"o": values}, clocks=len(events) + 1 + LATENCY)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(CountersBench())


@pytest.mark.parametrize("counter", list(Counter))
def test_wraps(counter):
    """From the largest value an event leads to 0, and to nothing in the other counters."""
    dut = Counters(chip())

    async def drive(ctx):
        ctx.set(dut.values[counter], (1 << WIDTH) - 1)
        ctx.set(getattr(dut, counter.name.lower()), 1)
        await ctx.tick()
        assert ctx.get(dut.values[counter]) == (1 << WIDTH) - 1
        await ctx.tick()
        assert [ctx.get(value) for value in dut.values] == [0] * len(Counter)
        await ctx.tick()
        assert ctx.get(dut.values[counter]) == 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
