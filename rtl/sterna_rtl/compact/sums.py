"""What a pass leaves of its products: their sum and the largest magnitude."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import LONGEST
from sterna_rtl.compact.multiplier import PRODUCT_BITS

__all__ = ["LARGEST_BITS", "TOTAL_BITS", "Largest", "Total"]

TOTAL_BITS = (LONGEST * (1 << 34)).bit_length()
"""Squares of 18-bit numbers, of one vector."""

LARGEST_BITS = 32
"""Products of 18-bit and 16-bit numbers, without sign."""


class Total(Component):
    """Sum up products that are not negative.

    Attributes
    ----------
    product : Signal, in
    clear : Signal, in
        Begin with 0.
    add : Signal, in
    total : Signal, out

    Latency
        1 clock.

    Throughput
        1 per clock, without backpressure.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "product": In(signed(PRODUCT_BITS)),
                "clear": In(1),
                "add": In(1),
                "total": Out(TOTAL_BITS),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        with m.If(self.clear):
            m.d.sync += self.total.eq(0)
        with m.Elif(self.add):
            m.d.sync += self.total.eq(self.total + self.product[:-1])
        return m


class Largest(Component):
    """Keep the largest magnitude of products.

    The magnitude of a negative number is its complement and one more. That one is kept aside, so
    that there is no adder for it: ``rest + more`` is the largest so far.

    Attributes
    ----------
    product : Signal, in
    clear : Signal, in
        Begin with 0.
    compare : Signal, in
    rest : Signal, out
    more : Signal, out

    Latency
        1 clock.

    Throughput
        1 per clock, without backpressure.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "product": In(signed(PRODUCT_BITS)),
                "clear": In(1),
                "compare": In(1),
                "rest": Out(LARGEST_BITS),
                "more": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        negative, rest = self.product[-1], Signal(LARGEST_BITS)
        m.d.comb += rest.eq(self.product ^ negative.replicate(LARGEST_BITS))
        # Equal rests: only one more makes a number the larger.
        difference = Signal(LARGEST_BITS + 1)
        m.d.comb += difference.eq(rest + ~self.rest + (negative & ~self.more))
        larger = difference[-1]
        with m.If(self.clear):
            m.d.sync += [self.rest.eq(0), self.more.eq(0)]
        with m.Elif(self.compare & larger):
            m.d.sync += [self.rest.eq(rest), self.more.eq(negative)]
        return m
