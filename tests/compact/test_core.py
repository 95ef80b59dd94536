"""Core: a segment and its quantisation by commands, with nothing but sums written from outside."""

import numpy as np
from amaranth.sim import Simulator

from sterna.golden import epilogue, quantizer, statistics
from sterna.golden.epilogue import Counters
from sterna.spec.compact import CELLS, Cell, Place, Program, Shift
from sterna.spec.fixed import normalise
from sterna_rtl.compact.core import Core
from sterna_sim.kit.bench import default_seed

PLACE = {Place.STATE: 1000, Place.WEIGHTS: 2000, Place.QUANTISE: 2000, Place.ONE: 3000}
PLACE |= {Place.SUM_WEIGHTS: 4000}


class Control:
    """Who gives the core its commands."""

    def __init__(self, ctx, core):
        self.ctx, self.core = ctx, core
        self.activations = {}

    async def tick(self):
        port = self.core.activation
        if self.ctx.get(port.enable):
            self.activations[self.ctx.get(port.address)] = self.ctx.get(port.data)
        await self.ctx.tick()

    async def write(self, name, address, value):
        port = getattr(self.core, f"new_{name}")
        self.ctx.set(port.address, address)
        self.ctx.set(port.data, int(value))
        self.ctx.set(port.enable, 1)
        await self.tick()
        self.ctx.set(port.enable, 0)

    async def run(self, program, first, last):
        i, o = self.core.i, self.core.o
        self.ctx.set(i.payload, {"program": program, "first": first, "last": last})
        self.ctx.set(i.valid, 1)
        self.ctx.set(o.ready, 1)
        while not self.ctx.get(o.valid):
            await self.tick()
        done = self.ctx.get(o.payload)
        await self.tick()
        self.ctx.set(i.valid, 0)
        return done

    async def load(self, place, values):
        await self.write("place", Place.STATE, PLACE[place])
        await self.sums(values)
        await self.run(Program.LOAD, 0, len(values) - 1)

    async def sums(self, values):
        for row, value in enumerate(values):
            await self.write("sums", row, value)

    async def constant(self, cell, value):
        await self.write("sums", CELLS + cell, value)
        await self.run(Program.SET_FACTORS, CELLS + cell, CELLS + cell)


def test_segment():
    """An embedding row, one residual segment on top, its statistics, and what the engine gets."""
    rng = np.random.default_rng(default_seed())
    rows, counters = 48, Counters()
    part = 0, rows - 1
    embedding, sums = rng.integers(-8, 8, rows), rng.integers(-9000, 9000, rows)
    w1, w12 = (rng.integers(-(1 << 15), 1 << 15, rows) for _ in "ab")
    scales = (40000, 12), (51234, 20)
    (x, y) = (
        epilogue.pre_activation(values[None], np.array([[m]]), np.array([[s]]), counters)
        for values, (m, s) in zip((embedding, sums), scales, strict=True)
    )
    x = epilogue.residual(y, x, 1, counters)
    expected = statistics.statistics(x, w1, w12, x)
    largest = expected.largest[0]
    q = quantizer.quantise(x, w12, [largest])[0]
    core = Core()

    async def drive(ctx):
        control = Control(ctx, core)
        for place, values in (
            (Place.SUM_WEIGHTS, w1),
            (Place.WEIGHTS, w12),
            (Place.ONE, np.ones(rows)),
            (Place.STATE, rng.integers(100, size=rows)),
        ):
            await control.load(place, values)
        for place, address in PLACE.items():
            await control.write("place", place, address)
        for shift, amount in ((Shift.NONE, 0), (Shift.SQUARE, 15), (Shift.RESIDUAL, 1)):
            await control.write("shift", shift, amount)
        second = 0
        for values, (mantissa, shift), program in zip(
            (embedding, sums), scales, (Program.EMBED, Program.RESIDUAL), strict=True
        ):
            await control.constant(Cell.MANTISSA, mantissa)
            await control.write("shift", Shift.SCALE, shift)
            await control.sums(values)
            await control.run(Program.SUMS, *part)
            second = (await control.run(program, *part)).total
        assert [second] == expected.sum2
        done = await control.run(Program.STATISTICS, *part)
        assert [done.total] == expected.sum1
        assert done.rest + done.more == largest
        assert (await control.run(Program.SHOW_X, rows - 3, rows - 3)).result == x[0, -3]

        mantissa, exponent = normalise(largest, quantizer.MAXIMUM_BITS)
        reciprocal = quantizer.reciprocal(mantissa)
        await control.constant(Cell.RECIPROCAL, reciprocal)
        await control.write("shift", Shift.CUT, exponent)
        await control.write("shift", Shift.ACTIVATION, quantizer.RECIPROCAL_SHIFT)
        await control.run(Program.CUT, *part)
        await control.run(Program.ACTIVATE, *part)
        assert control.activations == dict(enumerate(q.tolist()))

        # A word of the vectors is seen as its product with a sum.
        await control.write("place", Place.STATE, PLACE[Place.WEIGHTS])
        await control.write("sums", 7, 1)
        assert (await control.run(Program.SHOW_VECTORS, 7, 7)).result == w12[7]

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    print(f"core: seed {default_seed()}, largest {largest}")
