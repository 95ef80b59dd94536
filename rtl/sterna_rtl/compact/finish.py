"""From a product to a result: shift, rounding, addition and clamp."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.fixed import RESIDUAL_BITS, SCRATCH_BITS
from sterna_rtl.compact.multiplier import FACTOR_BITS, PRODUCT_BITS

__all__ = ["SHIFT_BITS", "Finish"]

SHIFT_BITS = 5

_KEPT = SCRATCH_BITS + 2
"""Bits of a shifted product to which something is added: who does not fit is beyond the clamp
whatever is added."""


class Finish(Component):
    """Compute ``clamp((product >> shift) + addend)``.

    The shift moves all bits of the product, so that a look at the upper ones says what is lost.

    Attributes
    ----------
    product, addend, shift : Signal, in
    rounds : Signal, in
        The shift rounds to nearest, halves upwards; otherwise down.
    wide : Signal, in
        Clamp to `SCRATCH_BITS`, otherwise to `RESIDUAL_BITS`, symmetrically.
    keep : Signal, in
        A clock later: the result of the clock before stays.
    result : Signal, out
    clamped : Signal, out

    Latency
        2 clocks: shift and addition, clamp.

    Throughput
        1 per clock, without backpressure.
    """

    latency = 2

    def __init__(self) -> None:
        super().__init__(
            {
                "product": In(signed(PRODUCT_BITS)),
                "addend": In(signed(FACTOR_BITS)),
                "shift": In(SHIFT_BITS),
                "rounds": In(1),
                "wide": In(1),
                "keep": In(1),
                "result": Out(signed(FACTOR_BITS)),
                "clamped": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        sign = self.product[-1]
        shifted = Signal(signed(PRODUCT_BITS + 1))  # the last bit that was shifted out is the first
        m.d.comb += shifted.eq(Cat(C(0, 1), self.product).as_signed() >> self.shift)
        half = shifted[0] & self.rounds
        total = Signal(signed(_KEPT + 1), reset_less=True)
        beyond, product_sign, wide = (
            Signal(name=name, reset_less=True) for name in ("beyond", "product_sign", "wide")
        )
        m.d.sync += [
            total.eq(shifted[1 : _KEPT + 1].as_signed() + self.addend + half),
            beyond.eq((shifted[_KEPT:] ^ sign.replicate(len(shifted) - _KEPT)).any()),
            product_sign.eq(sign),
            wide.eq(self.wide),
        ]

        negative, upper = Signal(), total[RESIDUAL_BITS - 1 : SCRATCH_BITS - 1]
        m.d.comb += negative.eq(Mux(beyond, product_sign, total[-1]))
        # It fits in 18 bits; in 16 too, if the two in between are signs.
        signs = total[SCRATCH_BITS - 1 : -1] ^ negative.replicate(_KEPT + 1 - SCRATCH_BITS)
        narrow = wide | (upper == negative.replicate(len(upper)))
        lowest = negative & ~total[: RESIDUAL_BITS - 1].any() & ~(wide & upper.any())
        clamped = Signal()
        m.d.comb += clamped.eq(beyond | signs.any() | ~narrow | lowest)
        limit = Cat(C(1, 1), (~negative).replicate(RESIDUAL_BITS - 2))
        above = Mux(wide, ~negative, negative).replicate(len(upper))
        result = Signal(signed(FACTOR_BITS), reset_less=True)
        m.d.sync += self.clamped.eq(clamped)
        with m.If(~self.keep):
            m.d.sync += result.eq(Mux(clamped, Cat(limit, above, negative), total[:FACTOR_BITS]))
        m.d.comb += self.result.eq(result)
        return m
