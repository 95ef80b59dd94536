"""Sigmoid by table and linear interpolation."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec import tables
from sterna.spec.fixed import PRE_BITS
from sterna_rtl.arith.rounding import Shifter

__all__ = ["Sigmoid"]

_REST_BITS = 9
"""Position within a segment of the table: 1/8 at 12 fraction bits."""

_MAGNITUDE_BITS = 15
"""[0, 8) at 12 fraction bits: 64 segments."""

_ENTRY = StructLayout({"base": 16, "rise": 11})


class Sigmoid(Component):
    """Sigmoid of a fixed-point number, equal to `sterna.golden.sigmoid`.

    The magnitude, clamped to 8, selects a segment of the table, in which the product of rise and
    position is rounded to nearest; the sigmoid of a negative number is 1 less that of its
    magnitude.

    Attributes
    ----------
    value : Signal, in
        Signed, ``shift + 4`` fraction bits.
    shift : Signal, in
        0 to 15, the same for all numbers in flight.
    result : Signal, out
        Unsigned, 16 fraction bits.

    Latency
        6 clocks: shift (2), magnitude, table, product, sum.

    Throughput
        1 per clock, without backpressure.

    Resources
        One multiplier; the table lies in LUTs.
    """

    latency = Shifter.latency + 4

    def __init__(self) -> None:
        super().__init__({"value": In(signed(PRE_BITS)), "shift": In(4), "result": Out(16)})

    def elaborate(self, platform) -> Module:
        m = Module()
        # To 12 fraction bits; rounded downwards, so before the sign is taken off.
        m.submodules.shifter = shifter = Shifter(PRE_BITS + 8, 4, _MAGNITUDE_BITS + 1)
        m.d.comb += shifter.value.eq(Cat(C(0, 8), self.value).as_signed())
        m.d.comb += shifter.shift.eq(self.shift)

        sign, absolute, beyond = Signal(), Signal(_MAGNITUDE_BITS + 1), Signal()
        m.d.comb += [
            sign.eq(shifter.result[-1]),
            absolute.eq((shifter.result ^ sign.replicate(_MAGNITUDE_BITS + 1)) + sign),
            beyond.eq(shifter.overflow | absolute[_MAGNITUDE_BITS]),
        ]
        magnitude = Signal(_MAGNITUDE_BITS, reset_less=True)
        negative = Signal(3, reset_less=True)  # the sign, beside each of the following stages
        m.d.sync += magnitude.eq(absolute[:_MAGNITUDE_BITS] | beyond.replicate(_MAGNITUDE_BITS))
        m.d.sync += negative.eq(Cat(sign, negative))

        m.submodules.table = table = self._table()
        read = table.read_port(domain="comb")
        entry = Signal(_ENTRY, reset_less=True)
        rest = Signal(_REST_BITS, reset_less=True)
        m.d.comb += read.addr.eq(magnitude[_REST_BITS:])
        m.d.sync += [entry.eq(read.data), rest.eq(magnitude[:_REST_BITS])]

        base = Signal(16, reset_less=True)
        product = Signal(_REST_BITS + 11, reset_less=True)
        m.d.sync += product.eq(entry.rise * rest)
        # 1 - base, where 1 is 2**16 and falls off.
        m.d.sync += base.eq((entry.base ^ negative[1].replicate(16)) + negative[1])

        # Half of the last bit rounds. For negative numbers the product's complement is its negative
        # less one, which turns the rounding of halves round.
        width = 16 + _REST_BITS
        change = Cat(product, C(0, width - len(product))) ^ negative[2].replicate(width)
        total = Cat(C(1 << (_REST_BITS - 1), _REST_BITS), base) + change
        m.d.sync += self.result.eq(total[_REST_BITS:])
        return m

    @staticmethod
    def _table() -> Memory:
        base, rise = tables.sigmoid()
        return Memory(
            shape=_ENTRY,
            depth=tables.SEGMENTS,
            init=[{"base": b, "rise": r} for b, r in zip(base, rise, strict=True)],
            # Yosys would make a block RAM of it and the register behind.
            attrs={"rom_style": "logic"},
        )
