"""Noise: the golden sequence from any state on, also when it begins anew at any time."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from sterna.golden.sampler import gumbel, uniforms
from sterna.spec.xorshift import next_element
from sterna_rtl.datapath.noise import Noise
from sterna_sim.kit import edited

COUNTS = 25, 0, 1, 30, 0, 0, 2, 3
"""Items taken before each new beginning: none, one, fewer and more than are made ahead."""


def played(unit, ready):
    """Begin anew from many states; return the items, those that are right, and first clocks."""
    rng = np.random.default_rng(unit.lanes)
    states = [int(state) for state in rng.integers(1, 1 << 63, len(COUNTS))]
    expected = [
        gumbel(uniforms(state, count * unit.lanes)).reshape(-1, unit.lanes).tolist()
        for state, count in zip(states, COUNTS, strict=True)
    ]
    items, first_clocks = [], []

    async def take(ctx, count):
        of_state, clocks = [], 0
        while len(of_state) < count:
            takes = ctx.get(unit.o.valid) and rng.random() < ready
            ctx.set(unit.o.ready, takes)
            if takes:
                of_state.append(list(ctx.get(unit.o.payload)))
            await ctx.tick()
            clocks += 1
            if takes and len(of_state) == 1:
                first_clocks.append(clocks)
            assert clocks < 500, "no noise"
        ctx.set(unit.o.ready, 0)
        return of_state

    async def testbench(ctx):
        for state, count in zip(states, COUNTS, strict=True):
            ctx.set(unit.state, next_element(state))
            items.append(await take(ctx, count))
            for _ in range(rng.integers(3)):
                await ctx.tick()
            # The state counts that follows the strobe.
            ctx.set(unit.restart, 1)
            await ctx.tick()
            ctx.set(unit.restart, 0)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return items, expected, first_clocks


@pytest.mark.parametrize("ready", [1, 0.3])
@pytest.mark.parametrize("lanes", [1, 4])
def test_sequence(lanes, ready):
    unit = Noise(lanes)
    items, expected, first_clocks = played(unit, ready)
    assert items == expected
    if ready == 1:
        # With nothing to drop: two clocks to begin, the pipeline, the queue, the item's own clock.
        assert first_clocks[0] == unit.latency + 4
        assert max(first_clocks) <= 3 * unit.latency + 2


@pytest.mark.parametrize(
    "old, new",
    [
        ("~running & empty & ~restarts", "~running & ~restarts"),  # the old noise is still there
        ("queue.o.valid & running", "queue.o.valid"),
        ("self.o.ready | ~running", "self.o.ready"),
        ("m.If(self.restart)", "m.If(0)"),
        ("running & used[-1]", "running"),  # the queue overflows
        ("base.eq(state)", "base.eq(leap(state, 1))"),
        ("leap(base, self.lanes)", "leap(base, 1)"),
        ("leap(state, span)", "leap(state, 1)"),
    ],
)
def test_planted_bugs(old, new):
    bug = edited(Noise, old, new)(4)
    try:
        items, expected, _ = played(bug, 0.3)
    except AssertionError:
        return
    assert items != expected


def begun_again(unit, clocks):
    """Four items after a restart so many clocks after the reset."""
    items = []

    async def testbench(ctx):
        ctx.set(unit.state, next_element(1))
        ctx.set(unit.o.ready, 1)
        await ctx.tick().repeat(clocks)
        ctx.set(unit.restart, 1)
        await ctx.tick()
        ctx.set(unit.restart, 0)
        ctx.set(unit.state, next_element(2))
        while len(items) < 4:
            if ctx.get(unit.o.valid):
                items.append(list(ctx.get(unit.o.payload)))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return items


def test_restart_soon_after_another():
    """Also on the clock on which the first item begins, when there has been none for long."""
    expected = gumbel(uniforms(2, 16)).reshape(-1, 4).tolist()
    assert all(begun_again(Noise(4), clocks) == expected for clocks in range(1, 9))
    bug = edited(Noise, "restarts.eq(self.restart)", "restarts.eq(0)")
    assert not all(begun_again(bug(4), clocks) == expected for clocks in range(1, 9))
