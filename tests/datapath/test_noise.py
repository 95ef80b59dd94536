"""Noise: the golden sequence from any state on, also when it begins anew at any time."""

from amaranth import Module, Signal
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna.golden.sampler import gumbel, uniforms
from sterna.spec.xorshift import next_element
from sterna_rtl.datapath.noise import Noise
from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited

MOST = 4000


class Draws(Component):
    """The unit, begun anew for each draw, which is a state and how many items of it are taken."""

    def __init__(self, unit) -> None:
        self.unit = unit
        draw = StructLayout({"state": 64, "count": range(MOST + 1)})
        items = stream.Signature(unit.shape)
        super().__init__({"i": In(stream.Signature(draw)), "o": Out(items)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        left, state = Signal(range(MOST + 1)), Signal(64)
        taken = transfers(self.i)
        m.d.comb += [
            self.i.ready.eq(left == 0),
            unit.restart.eq(taken),
            # It counts that follows.
            unit.state.eq(state),
            self.o.payload.eq(unit.o.payload),
            self.o.valid.eq(unit.o.valid & (left != 0)),
            unit.o.ready.eq(self.o.ready & (left != 0)),
        ]
        with m.If(taken):
            m.d.sync += [left.eq(self.i.payload.count), state.eq(self.i.payload.state)]
        with m.Elif(transfers(self.o)):
            m.d.sync += left.eq(left - 1)
        return m


def broken(old, new):
    return lambda lanes: Draws(edited(Noise, old, new)(lanes))


class NoiseBench(UnitBench):
    """Draws of no, few and many items, from any state."""

    name = "noise"
    configs = {"4-lanes": 4, "1-lane": 1, "2-lanes": 2}
    bugs = {
        "old noise is still there": broken("~running & empty & ~restarts", "~running & ~restarts"),
        "old noise is given": broken("queue.o.valid & running", "queue.o.valid"),
        "old noise stays": broken("self.o.ready | ~running", "self.o.ready"),
        "not begun anew": broken("m.If(self.restart)", "m.If(0)"),
        "the queue overflows": broken("running & used[-1]", "running"),
        "begins with the next": broken("base.eq(state)", "base.eq(leap(state, 1))"),
        "an element for all lanes": broken("leap(base, self.lanes)", "leap(base, 1)"),
        "a lane's state of another": broken("leap(state, span)", "leap(state, 1)"),
        "an item every other clock": broken(
            "begin.eq(running & used", "begin.eq(running & ~queue.i.valid & used"),
    }  # fmt: skip
    not_stalled = {"i": "an item or none for a draw, or many"}

    def dut(self, lanes):
        return Draws(Noise(lanes))

    def cases(self, lanes, rng):
        latency = 3 * Noise(lanes).latency + 2
        yield self.one(lanes, rng, [200], clocks=1 + latency + 200)
        # None, one, fewer and more than are made ahead.
        yield self.one(lanes, rng, [25, 0, 1, 30, 0, 0, 2, 3, 40])

    def one(self, lanes, rng, counts, clocks=None):
        """A draw of each count."""
        draws, items = [], []
        for count in counts:
            state = int(rng.integers(1, 1 << 63)) << 1 | int(rng.integers(2))
            draws.append({"state": next_element(state), "count": count})
            items += gumbel(uniforms(state, count * lanes)).reshape(-1, lanes).tolist()
        return Case({"i": draws}, {"o": items}, clocks=clocks)


class ManyBench(NoiseBench):
    """Many more items: the lowest bits of a state seldom count."""

    name = "noise-many"
    configs = {"4-lanes": 4}
    stalls = (Stalls(),)

    def cases(self, lanes, rng):
        yield self.one(lanes, rng, [MOST])


test_pysim, test_cocotb, test_planted_bugs = bench_tests(NoiseBench())
_, test_many, _ = bench_tests(ManyBench())


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
