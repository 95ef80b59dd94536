"""From a row sum to the pre-activation y."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.fixed import PRE_BITS, SCALE_BITS
from sterna_rtl.arith.rounding import RoundShift

__all__ = ["PreActivation"]

_LOW_BITS = 17
"""Unsigned part of a sum that one 18 x 18 multiplier takes."""


class PreActivation(Component):
    """y = sum * mantissa / 2**shift, rounded and clamped: `sterna.golden.epilogue.pre_activation`.

    Parameters
    ----------
    sum_bits : int
        Width of the signed row sum.

    Attributes
    ----------
    sum, mantissa : Signal, in
        They go together.
    shift : Signal, in
        The same for all sums in flight.
    y : Signal, out
    clamped : Signal, out
    latency : int

    Latency
        5 clocks: input, product, shift and rounding (3); 6 if the sum is wider than 18 bits, as the
        product is then the sum of two.

    Throughput
        1 per clock, without backpressure.
    """

    def __init__(self, sum_bits: int) -> None:
        self.wide = sum_bits > _LOW_BITS + 1
        self.latency = 2 + self.wide + RoundShift.latency
        super().__init__(
            {
                "sum": In(signed(sum_bits)),
                "mantissa": In(SCALE_BITS),
                "shift": In(6),
                "y": Out(signed(PRE_BITS)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        total = Signal.like(self.sum, reset_less=True)
        mantissa = Signal.like(self.mantissa, reset_less=True)
        m.d.sync += [total.eq(self.sum), mantissa.eq(self.mantissa)]

        product = Signal(signed(len(total) + SCALE_BITS), reset_less=True)
        if self.wide:
            low = Signal(_LOW_BITS + SCALE_BITS, reset_less=True)
            high = Signal(signed(len(product) - _LOW_BITS), reset_less=True)
            m.d.sync += low.eq(total[:_LOW_BITS] * mantissa)
            m.d.sync += high.eq(total[_LOW_BITS:].as_signed() * mantissa)
            m.d.sync += product.eq(low + Cat(C(0, _LOW_BITS), high).as_signed())
        else:
            m.d.sync += product.eq(total * mantissa)

        m.submodules.rounding = rounding = RoundShift(len(product), len(self.shift), PRE_BITS)
        m.d.comb += [
            rounding.value.eq(product),
            rounding.shift.eq(self.shift),
            self.y.eq(rounding.result),
            self.clamped.eq(rounding.clamped),
        ]
        return m
