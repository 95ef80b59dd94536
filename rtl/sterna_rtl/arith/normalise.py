"""Left shift by a given amount, or by as many places as there are leading zeros."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna_rtl.lib.stream import can_load

__all__ = ["Normalise", "ShiftUp", "leading_zeros", "shift_left"]


class Normalise(Component):
    """Shift numbers to the left until their uppermost bit is set.

    Bits that leave are lost, zeros come in. A shift of more places than there are bits gives 0.

    Parameters
    ----------
    width : int
        Bits of the numbers.
    keep : int, optional
        Uppermost bits of the shifted numbers that are wanted; by default all.

    Attributes
    ----------
    i : stream.Interface
        `value`; `even` to make the number of places even (one less if it is odd); `given` to shift
        by `places` instead.
    o : stream.Interface
        `value`, shifted, and the number of `places`. The places of 0 have no meaning.

    Latency
        2 clocks: count, shift.

    Throughput
        One number per clock.

    Backpressure
        Holds up to two numbers.
    """

    def __init__(self, width: int, keep: int | None = None) -> None:
        self.width = width
        self.keep = width if keep is None else keep
        places = ceil_log2(width)
        request = StructLayout({"value": width, "even": 1, "given": 1, "places": places})
        result = StructLayout({"value": self.keep, "places": places})
        super().__init__({"i": In(stream.Signature(request)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform) -> Module:
        m = Module()
        counted = Signal()  # a number waits between count and shift
        value = Signal(self.width)
        places = Signal.like(self.o.payload.places)
        m.d.comb += self.i.ready.eq(~counted | can_load(self.o))
        with m.If(self.i.ready):
            request = self.i.payload
            zeros = leading_zeros(request.value)
            m.d.sync += [
                counted.eq(self.i.valid),
                value.eq(request.value),
                places.eq(Mux(request.given, request.places, zeros)),
            ]
            with m.If(request.even & ~request.given):
                m.d.sync += places[0].eq(0)
        with m.If(can_load(self.o)):
            m.d.sync += [
                self.o.valid.eq(counted),
                self.o.payload.value.eq(shift_left(value, places)[self.width - self.keep :]),
                self.o.payload.places.eq(places),
            ]
        return m


class ShiftUp(Component):
    """Shift numbers to the left until their uppermost bit is set, with zeros counted before.

    Who adds the last 1 to a number counts zeros beside that addition: `places` may be one too many,
    if the addition gave a power of two.

    Parameters
    ----------
    width : int
        Bits of the numbers.
    keep : int
        Uppermost bits of the shifted numbers that are wanted.

    Attributes
    ----------
    i : stream.Interface
        `value` and `places`: leading zeros of the value or of one less, and ``width - 1`` for zeros
        of 0, as `leading_zeros` counts where `width` is a power of two.
    o : stream.Interface
        `value`, shifted, and the number of `places`. The places of 0 have no meaning.

    Latency
        1 clock.

    Throughput
        One number per clock.

    Backpressure
        Holds one number.
    """

    def __init__(self, width: int, keep: int) -> None:
        self.width, self.keep = width, keep
        places = ceil_log2(width)
        request = StructLayout({"value": width, "places": places})
        result = StructLayout({"value": keep, "places": places})
        super().__init__({"i": In(stream.Signature(request)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform) -> Module:
        m = Module()
        value, places = self.i.payload.value, self.i.payload.places
        shifted = shift_left(Cat(value, C(0, 1)), places)
        m.d.comb += self.i.ready.eq(can_load(self.o))
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                # Only of 0 is the uppermost bit not set, whatever the shift pushed out.
                self.o.payload.value.eq(
                    Cat(shifted[self.width - self.keep : self.width - 1], value.any())
                ),
                self.o.payload.places.eq(Mux(shifted[-1], places - 1, places)),
            ]
        return m


def shift_left(value: Value, places: Value) -> Value:
    """Shift within the width of a value: bits that leave are lost.

    Wide steps come first. What they push out the narrow ones need not move, and where only upper
    bits are wanted the last steps work on few: a quarter less LUTs than ``<<`` has.
    """
    for step in reversed(range(len(places))):
        moved = Cat(C(0, 1 << step), value)[: len(value)]
        value = Mux(places[step], moved, value)
    return value


def leading_zeros(value: Value) -> Value:
    """Count the zeros above the uppermost bit that is set; of 0 the count has no meaning.

    A tree: of two halves, the upper one has the say unless it is zero.
    """
    padded = Cat(C(0, (1 << ceil_log2(len(value))) - len(value)), value)
    return _count(padded)[1]


def _count(bits: Value) -> tuple[Value, Value]:
    """Return whether a power of two of bits are all zero, and their leading zeros."""
    if len(bits) == 1:
        return ~bits, C(0, 0)
    half = len(bits) // 2
    low_zero, low = _count(bits[:half])
    high_zero, high = _count(bits[half:])
    return low_zero & high_zero, Cat(Mux(high_zero, low, high), high_zero)
