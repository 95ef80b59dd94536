"""Core: all programs on what was brought there by programs, and a segment, by its commands."""

import numpy as np
from amaranth.sim import Simulator

from sterna.golden import epilogue, quantizer, statistics
from sterna.golden.epilogue import Counters
from sterna.spec.compact import CELLS, NOISE_WORDS, Cell, Place, Program, Shift
from sterna.spec.fixed import normalise
from sterna_rtl.compact.core import Core
from sterna_sim.kit import Stalls, UnitBench, edited
from sterna_sim.kit.bench import default_seed
from sterna_sim.kit.suite import bench_tests
from tests.compact.steps import Played, Script

PLACE = {Place.STATE: 1000, Place.WEIGHTS: 2000, Place.QUANTISE: 2000, Place.ONE: 3000}
PLACE |= {Place.SUM_WEIGHTS: 4000}


def broken(old, new):
    return lambda _: Played(edited(Core, old, new)())


def programs(rng, elements):
    """Return all programs, each on what those before have left."""
    script = Script(rng, elements)
    script.loads()
    script.scale(int(rng.integers(1 << 15, 1 << 16)), 16)
    script.drawn_sums(8)
    for program in (Program.SUMS, Program.EMBED):
        script.run(program)
    script.set_quantiser(script.run(Program.STATISTICS).largest)
    for program in (Program.CUT, Program.ACTIVATE):
        script.run(program)
    for operation in (Program.SILU, Program.BOUNDED_STATE, Program.STATE, Program.GATE):
        script.drawn_sums()
        script.run(Program.SUMS)
        script.run(operation)
    script.set_quantiser(script.run(Program.SCRATCH_STATISTICS).largest)
    for program in (Program.CUT_SCRATCH, Program.ACTIVATE):
        script.run(program)
    script.drawn_sums(17)
    script.run(Program.FAR_SUMS)
    for program in (Program.PRODUCT, Program.PLAIN_STATISTICS, Program.RESIDUAL, Program.LARGEST):
        script.run(program)
    script.row_sums(rng.integers(-(1 << 13), 1 << 17, elements), NOISE_WORDS)
    script.run(Program.SCORE)
    for program in (Program.SHOW_X, Program.SHOW_SCRATCH):
        for element in rng.integers(elements, size=3).tolist():
            script.run(program, element, element)
    for place in Place:
        for element in rng.integers(elements, size=3).tolist():
            script.shows(place, element)
    return script


class CoreBench(UnitBench):
    """Vectors of drawn numbers through all programs; places all over the vectors' memory."""

    name = "compact-core"
    configs = {"short": 24, "long": 96}
    cocotb_configs = ("long",)
    slow_configs = ("long",)
    bug_configs = ("short",)
    stalls = (Stalls(), Stalls("random", "random"), Stalls("long", "long"), Stalls(outputs="late"))
    patience = 4000
    not_stalled = {"i": "ready only when the command that waits there has been done"}
    bugs = {
        "constants not there": broken("(STARTS | SETTINGS).get(name)", "None"),
        "half of each memory": broken(
            "ram.write.address.eq(new.address)", "ram.write.address.eq(new.address[:-1])"
        ),
        "nothing is read": broken("ram.read.address.eq(read.address)", "ram.read.address.eq(0)"),
        "written where it is read": broken(
            "ram.write.address.eq(new.address)", "ram.write.address.eq(read.address)"
        ),
        "always written": broken("ram.write.enable.eq(new.enable)", "ram.write.enable.eq(1)"),
        "only the first written": broken("new.address)", "0)"),
        "no activations": broken("getattr(unit.activation, part)", "0"),
    }

    def dut(self, config):
        return Played(Core())

    def cases(self, config, rng):
        for number in range(2):
            yield programs(rng, config).case(f"programs {number}", True)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(CoreBench())


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
