"""Products of two 18-bit numbers by multipliers of 16 x 16 bits."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["FACTOR_BITS", "PRODUCT_BITS", "Multiplier"]

FACTOR_BITS, PRODUCT_BITS = 18, 36

_LOW = 16
"""Bits that one multiplier takes of each factor, unsigned."""


class Multiplier(Component):
    """Multiply two signed numbers.

    Each partial product is added to what is above the one before, as a multiplier with an adder
    behind it (SB_MAC16) does.

    Attributes
    ----------
    a, b : Signal, in
    product : Signal, out

    Latency
        1 clock.

    Throughput
        1 per clock, without backpressure.

    Resources
        Three multipliers of 16 x 16 bits.
    """

    latency = 1

    def __init__(self) -> None:
        factor = signed(FACTOR_BITS)
        super().__init__({"a": In(factor), "b": In(factor), "product": Out(signed(PRODUCT_BITS))})

    def elaborate(self, platform) -> Module:
        m = Module()
        a_low, b_low = self.a[:_LOW], self.b[:_LOW]
        a_high, b_high = self.a[_LOW:].as_signed(), self.b[_LOW:].as_signed()
        low = Signal(2 * _LOW)
        middle, both = Signal(signed(_LOW + 4)), Signal(signed(_LOW + 4))
        m.d.comb += [
            low.eq(a_low * b_low),
            middle.eq(a_high * b_low + low[_LOW:]),
            both.eq(b_high * a_low + middle),
        ]
        upper = Signal(signed(4))
        m.d.comb += upper.eq(a_high * b_high + (both >> _LOW))
        m.d.sync += self.product.eq(Cat(low[:_LOW], both[:_LOW], upper))
        return m
