"""TapeBank: a part of the tape's RAM with registers at its ports."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.wiring import Component, In

from sterna_rtl.family.ice40 import Spram, is_ice40
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.ram import Ram

__all__ = ["TapeBank"]


class TapeBank(Component):
    """A `Ram`, on iCE40 a `Spram`, that is far from what addresses it.

    The block RAMs of a tape fill a chip. Registers of each bank's own for addresses part the way to
    the bank from the way to all of its block RAMs; the register behind can be the block RAMs' own,
    whose outputs are late in their clock.

    Parameters
    ----------
    depth : int
        Words.
    shape : ShapeLike
        One word.

    Attributes
    ----------
    read : ReadPort
    write : WritePort
        Its data belong to the address of the clock before: they need no register of each bank's
        own, as a bit goes to one block RAM of each. On the clock after a write nothing is read.

    Latency
        3 clocks from `read.address` to `read.data`. The address of a word that is written can be
        given on the next clock.
    """

    latency = 3

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        self.depth, self.shape = depth, shape
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = (Spram if is_ice40(platform) else Ram)(self.depth, self.shape)

        def register(value):
            late = Signal(value.shape(), reset_less=True)
            m.d.sync += late.eq(value)
            return late

        enable = Signal()
        m.d.sync += enable.eq(self.write.enable)
        m.d.comb += [
            ram.write.enable.eq(enable),
            ram.write.address.eq(register(self.write.address)),
            ram.write.data.eq(self.write.data),
            ram.read.address.eq(register(self.read.address)),
            self.read.data.eq(register(ram.read.data)),
        ]
        return m
