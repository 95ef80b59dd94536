"""of_slot: each slot's element, to be read and to be written, and no selection where one is all."""

import pytest
from amaranth import *
from amaranth.lib.data import ArrayLayout
from amaranth.sim import Simulator

from sterna_rtl.lib.slots import of_slot


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_elements_and_bits(slots):
    """Write every slot's number into it, and a one into its bit; the others stay."""
    m = Module()
    slot, number = Signal(3), Signal(8)
    array, bits = Signal(ArrayLayout(8, slots)), Signal(slots)
    read, bit = Signal(8), Signal()
    m.d.sync += [of_slot(array, slot).eq(number), of_slot(bits, slot).eq(number[0])]
    m.d.comb += [read.eq(of_slot(array, slot)), bit.eq(of_slot(bits, slot))]

    async def bench(ctx):
        for index in range(slots):
            ctx.set(slot, index)
            ctx.set(number, 100 + index)
            await ctx.tick()
            assert ctx.get(read) == 100 + index
            assert ctx.get(bit) == index % 2
        assert [ctx.get(array[index]) for index in range(slots)] == [
            100 + index for index in range(slots)
        ]
        assert ctx.get(bits) == sum(1 << index for index in range(slots) if index % 2)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_one_slot_needs_no_selection():
    array = Signal(ArrayLayout(8, 1))
    assert of_slot(array, Signal()).shape() == array[0].shape()
    bits = Signal(1)
    assert len(of_slot(bits, Signal())) == 1
