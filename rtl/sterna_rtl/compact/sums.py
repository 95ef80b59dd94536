"""What a pass leaves of its products: their sum and the largest magnitude."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import LONGEST, SCORE_SHIFT
from sterna_rtl.compact.multiplier import FACTOR_BITS, PRODUCT_BITS

__all__ = ["LARGEST_BITS", "TOTAL_BITS", "Largest", "Total"]

TOTAL_BITS = (LONGEST * (1 << 34)).bit_length()
"""Squares of 18-bit numbers, of one vector."""

LARGEST_BITS = 34
"""Products of 18-bit and 16-bit numbers, signed."""


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
    """Keep the largest magnitude of products, or the largest product.

    The magnitude of a negative number is its complement and one more. That one is kept aside, so
    that there is no adder for it: ``rest + more`` is the largest so far. Of signed products `rest`
    is the largest, and half of its range.

    Attributes
    ----------
    product, addend : Signal, in
        The addend is added `SCORE_SHIFT` places up. It is 0 where magnitudes are compared.
    signed : Signal, in
        Compare products, not magnitudes.
        Keeps still while products come.
    clear : Signal, in
        Begin with 0, or the lowest number; not on the clock after one with `compare`.
    compare : Signal, in
    rest, more : Signal, out
    larger : Signal, out
        The product that was to be compared a clock ago is the largest so far.

    Latency
        1 clock for `larger`, 2 for the others.

    Throughput
        1 per clock, without backpressure.
    """

    latency = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "product": In(signed(PRODUCT_BITS)),
                "addend": In(signed(FACTOR_BITS)),
                "signed": In(1),
                "clear": In(1),
                "compare": In(1),
                "rest": Out(LARGEST_BITS),
                "more": Out(1),
                "larger": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        score, compares = Signal(signed(LARGEST_BITS), reset_less=True), Signal()
        m.d.sync += score.eq(self.product + (self.addend << SCORE_SHIFT))
        m.d.sync += compares.eq(self.compare)
        sign, rest = score[-1], Signal(LARGEST_BITS)
        complements = sign & ~self.signed
        bits = score[:-1] ^ complements.replicate(LARGEST_BITS - 1)
        m.d.comb += rest.eq(Cat(bits, self.signed & ~sign))
        # Equal rests: only one more makes a number the larger.
        difference = Signal(LARGEST_BITS + 1)
        m.d.comb += [
            difference.eq(rest + ~self.rest + (complements & ~self.more)),
            self.larger.eq(compares & difference[-1]),
        ]
        with m.If(self.clear):
            m.d.sync += [self.rest.eq(0), self.more.eq(0)]
        with m.Elif(self.larger):
            m.d.sync += [self.rest.eq(rest), self.more.eq(complements)]
        return m
