"""A delay line: a value and what it was on each clock before, registers reset or not."""

import random

import pytest
from amaranth import Module, Signal, signed, unsigned
from amaranth.lib.wiring import Component, Out
from amaranth.sim import Simulator

from sterna_rtl.lib.delay import delay_line


class Delayed(Component):
    """A value that a test sets, and what its delay line says."""

    def __init__(self, shape, clocks, reset_less):
        self.value, self.clocks, self.reset_less = Signal(shape), clocks, reset_less
        super().__init__({f"o_{clock}": Out(shape) for clock in range(clocks + 1)})

    def elaborate(self, platform):
        m = Module()
        self.line = delay_line(m, self.value, self.clocks, "line", reset_less=self.reset_less)
        m.d.comb += [getattr(self, f"o_{n}").eq(late) for n, late in enumerate(self.line)]
        return m


@pytest.mark.parametrize("shape", [unsigned(1), unsigned(5), signed(5)], ids=str)
@pytest.mark.parametrize("clocks", [1, 4])
def test_what_it_was_on_the_clocks_before(shape, clocks):
    rng = random.Random(f"{shape} {clocks}")
    low = -(1 << shape.width - 1) if shape.signed else 0
    values = [0] * clocks + [low + rng.getrandbits(shape.width) for _ in range(50)]
    dut = Delayed(shape, clocks, reset_less=False)

    async def drive(ctx):
        for now in range(clocks, len(values)):
            ctx.set(dut.value, values[now])
            said = [ctx.get(getattr(dut, f"o_{late}")) for late in range(clocks + 1)]
            assert said == [values[now - late] for late in range(clocks + 1)]
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


def test_without_a_register():
    value = Signal(3)
    assert len(line := delay_line(Module(), value, 0, "line")) == 1
    assert line[0] is value


@pytest.mark.parametrize("reset_less", [False, True])
def test_data_are_not_reset(reset_less):
    dut = Delayed(unsigned(3), 2, reset_less)
    dut.elaborate(None)
    assert dut.line[0] is dut.value
    assert [late.reset_less for late in dut.line[1:]] == [reset_less] * 2
    assert [late.name for late in dut.line[1:]] == ["line_1", "line_2"]
