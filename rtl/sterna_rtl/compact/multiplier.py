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

    The parts' products stay in the multipliers' own registers, and are added a clock later.

    Attributes
    ----------
    a, b : Signal, in
    product : Signal, out

    Latency
        2 clocks: products of the parts, their sum.

    Throughput
        1 per clock, without backpressure.

    Resources
        Three multipliers of 16 x 16 bits.
    """

    latency = 2

    def __init__(self) -> None:
        factor = signed(FACTOR_BITS)
        super().__init__({"a": In(factor), "b": In(factor), "product": Out(signed(PRODUCT_BITS))})

    def elaborate(self, platform) -> Module:
        m = Module()
        a_low, b_low = self.a[:_LOW], self.b[:_LOW]
        a_high, b_high = self.a[_LOW:].as_signed(), self.b[_LOW:].as_signed()
        low = Signal(2 * _LOW, reset_less=True)
        ab, ba = (Signal(signed(_LOW + 2), name=name, reset_less=True) for name in ("ab", "ba"))
        high = Signal(signed(4), reset_less=True)
        m.d.sync += [
            low.eq(a_low * b_low),
            ab.eq(a_high * b_low),
            ba.eq(b_high * a_low),
            high.eq(a_high * b_high),
        ]
        upper = Signal(signed(PRODUCT_BITS - _LOW))
        m.d.comb += upper.eq(Cat(low[_LOW:], high).as_signed() + ab + ba)
        product = Signal(signed(PRODUCT_BITS), reset_less=True)
        m.d.sync += product.eq(Cat(low[:_LOW], upper))
        m.d.comb += self.product.eq(product)
        return m
