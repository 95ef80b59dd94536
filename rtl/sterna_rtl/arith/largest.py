"""The largest of several numbers, and which one it is."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

__all__ = ["Largest"]


class Largest(Component):
    """Find the largest number, the first of equals.

    Parameters
    ----------
    shape : ShapeLike
        Of a number, signed or not.
    count : int
        Numbers, a power of two.

    Attributes
    ----------
    values : View, in
    value : Signal, out
        The largest of them.
    number : Signal, out
        Which one it is.
    latency : int

    Latency
        One clock for each halving, so none for a single number.

    Throughput
        1 per clock, without backpressure.
    """

    def __init__(self, shape: ShapeLike, count: int) -> None:
        self.latency = exact_log2(count)
        super().__init__(
            {
                "values": In(ArrayLayout(shape, count)),
                "value": Out(shape),
                "number": Out(self.latency),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        count = 1 << self.latency
        candidates = [(self.values[number], Const(0, 0)) for number in range(count)]
        while len(candidates) > 1:
            winners = []
            for (left, left_number), (right, right_number) in zip(
                candidates[::2], candidates[1::2], strict=True
            ):
                value = Signal.like(self.value, name="value_kept", reset_less=True)
                number = Signal(len(left_number) + 1, reset_less=True)
                # The sign of a difference takes half the LUTs that Yosys makes of a comparison.
                greater = (left - right)[-1]
                m.d.sync += [
                    value.eq(Mux(greater, right, left)),
                    number.eq(Cat(Mux(greater, right_number, left_number), greater)),
                ]
                winners.append((value, number))
            candidates = winners
        value, number = candidates[0]
        m.d.comb += [self.value.eq(value), self.number.eq(number)]
        return m
