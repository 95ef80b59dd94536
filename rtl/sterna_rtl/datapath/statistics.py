"""Statistics of the quantizer's input: largest product and two sums of squares."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS, SCRATCH_BITS, SUM_BITS, SUM_SHIFT, VECTOR_BITS
from sterna_rtl.arith.normalise import leading_zeros
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.slots import of_slot, read_of_slot
from sterna_rtl.lib.stream import transfers

__all__ = ["LARGEST", "LARGEST_BITS", "PRODUCT_BITS", "SUMS", "Statistics", "beat_layout"]

PRODUCT_BITS = SCRATCH_BITS + VECTOR_BITS - 1
"""Bits of x * w12, signed: saturation is symmetric, so that x is never -2**17."""

LARGEST_BITS = PRODUCT_BITS - 1
"""Bits of its magnitude."""

LARGEST = StructLayout({"value": LARGEST_BITS, "places": ceil_log2(LARGEST_BITS)})
"""A largest magnitude and its leading zeros, as `ShiftUp` wants them."""

SUMS = StructLayout({"sum1": SUM_BITS, "sum2": SUM_BITS})


def beat_layout(config: ChipConfig) -> StructLayout:
    """Return the layout of E elements and the statistics that they enter."""
    return StructLayout(
        {
            "values": Layouts(config).scratch,
            "second": ArrayLayout(signed(PRE_BITS), config.elements),
            "unit": 1,
            "first": 1,
            "last": 1,
            "results": 1,
            "measure": 1,
            "slot": Layouts(config).slot,
        }
    )


class Statistics(Component):
    """Multiply elements x by w12, find the largest product and sum up squares.

    All exact: the largest of ``|x * w12|``, the sum of ``floor(x * w1 / 2**15 + 1/2)**2`` (of
    ``x**2`` if `unit`) and the sum of ``second**2``. Products of all beats are there to be used; a
    beat of `results` enters a largest product and the sums, one to `measure` a largest product of
    its own. `first` begins a vector and `last` ends it. Vectors of the two kinds may come in turns,
    and so may results of several slots, as they do where a matrix is cut.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        Beats (`beat_layout`). Always ready.
    w1, w12 : Signal, in
        Weights of the beat that came a clock before.
    products : list of Signal, out
        x * w12 of the beat of two clocks ago.
    o_largest, o_sums : stream.Interface
        Statistics of results. To be taken before the next results begin: nothing holds the input
        up. With several slots to be taken at once.
    o_measured : stream.Interface
        Largest product of what was measured. To be taken before the next measurement begins.
    largest_latency, sums_latency : int
        Clocks from the last beat to each; `o_measured` comes when `o_largest` would.

    Latency
        Products 2 clocks. With ``L = log2(E)``: `o_largest` ``5 + max(L - 1, 0)`` clocks, `o_sums`
        ``5 + L``.

    Throughput
        One beat per clock.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.elements = config.elements
        self.slots = config.slots
        levels = ceil_log2(config.elements)
        weights = ArrayLayout(signed(VECTOR_BITS), config.elements)
        self.largest_latency = 5 + max(levels - 1, 0)
        self.sums_latency = 5 + levels
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(config))),
                "w1": In(weights),
                "w12": In(weights),
                "products": Out(signed(PRODUCT_BITS)).array(config.elements),
                "o_largest": Out(stream.Signature(LARGEST)),
                "o_measured": Out(stream.Signature(LARGEST)),
                "o_sums": Out(stream.Signature(SUMS)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        values = [
            _register(m, self.i.payload.values[index], f"value_{index}")
            for index in range(self.elements)
        ]
        self._find_largest(m, values)
        self._sum_up(m, values)
        return m

    def _find_largest(self, m: Module, values: list[Signal]) -> None:
        keys = []
        for index, value in enumerate(values):
            product = Signal(signed(PRODUCT_BITS), name=f"product_{index}", reset_less=True)
            m.d.sync += product.eq(value * self.w12[index])
            m.d.comb += self.products[index].eq(product)
            # |p| is p, or ~p + 1. With the sign behind them as a last bit, p and ~p are in the same
            # order as the magnitudes: only the largest has to have its 1 added.
            sign = Signal(name=f"sign_{index}")
            m.d.comb += sign.eq(product[-1])
            key = Cat(sign, product[:-1] ^ sign.replicate(LARGEST_BITS))
            # Not compared at once, as products leave their multipliers late in the clock.
            keys.append(_register(m, key, f"key_{index}"))

        # The last four meet the largest of the beats before in one clock, and lie beside it then,
        # for they come from all over the chip. Which of them is largest is found on that way.
        candidates, larger = _largest_of_last(m, _halve(m, keys, _larger, "larger", until=4))
        for name, output, count in (
            ("results", self.o_largest, self.slots),
            ("measure", self.o_measured, 1),
        ):
            every = Signal(
                ArrayLayout(LARGEST_BITS + 1, count), name=f"largest_{name}", reset_less=True
            )
            counts = self.i.payload[name]
            valid, first, last, slot = self._tags(m, counts, self.largest_latency - 2)
            largest = read_of_slot(m, every, slot, f"largest_of_slot_{name}")
            below = Cat(_less(largest, key) for key in candidates).any()
            with m.If(valid & (first | below)):
                m.d.sync += of_slot(every, slot).eq(larger)
            found_slot = _register(m, slot, f"found_slot_{name}")
            found = read_of_slot(m, every, found_slot, f"found_of_slot_{name}")
            m.d.sync += output.payload.value.eq(found[1:] + found[0])
            # Beside the addition: a count behind it would cost each barrier a clock.
            m.d.sync += output.payload.places.eq(leading_zeros(found[1:]))
            complete = Signal(name=f"found_{name}")
            m.d.sync += complete.eq(valid & last)
            _offer(m, output, complete)

    def _sum_up(self, m: Module, values: list[Signal]) -> None:
        squares1, squares2 = [], []
        unit = _register(m, self.i.payload.unit, "unit")
        for index, value in enumerate(values):
            w1 = Mux(unit, C(1 << SUM_SHIFT, signed(VECTOR_BITS + 1)), self.w1[index])
            scaled = _register(m, value * w1, f"scaled_{index}")
            rounded = ((scaled >> SUM_SHIFT) + scaled[SUM_SHIFT - 1])[:SCRATCH_BITS].as_signed()
            second = self.i.payload.second[index]
            for clock in range(3):
                second = _register(m, second, f"second_{index}_{clock}")
            squares1.append(
                _square(m, _register(m, rounded, f"rounded_{index}"), f"square1_{index}")
            )
            squares2.append(_square(m, second, f"square2_{index}"))

        valid, first, last, slot = self._tags(m, self.i.payload.results, self.sums_latency - 1)
        every = Signal(ArrayLayout(SUMS, self.slots))
        m.d.comb += self.o_sums.payload.eq(of_slot(every, _register(m, slot, "sums_slot")))
        for name, squares in ("sum1", squares1), ("sum2", squares2):
            (total,) = _halve(m, squares, lambda a, b: a + b, f"{name}_part", until=1)
            accumulator = of_slot(every, slot)[name]
            with m.If(valid):
                m.d.sync += accumulator.eq(Mux(first, 0, accumulator) + total)
        _offer(m, self.o_sums, valid & last)

    def _tags(self, m: Module, counts: Value, clocks: int) -> tuple[Value, ...]:
        """Return whether the beat of some clocks ago counts, its `first`, `last` and `slot`."""
        beat = self.i.payload
        tags = Cat(counts & self.i.valid, beat.first, beat.last, beat.slot)
        tags = delay_line(m, tags, clocks, "tags")[-1]
        return tags[0], tags[1], tags[2], tags[3:]


def _register(m: Module, value: Value, name: str) -> Signal:
    """Return a value of the clock before."""
    register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _less(a: Value, b: Value) -> Value:
    """Return whether a is less than b: of a comparison Yosys may make an equality besides."""
    return (a - b)[-1]


def _larger(a: Value, b: Value) -> Value:
    return Mux(_less(a, b), b, a)


def _largest_of_last(m: Module, keys: list[Value]) -> tuple[list[Value], Value]:
    """Return what the largest of the beats before is to be compared with, and the largest of it."""
    if len(keys) < 4:
        return keys, _larger(keys[0], keys[-1])
    late = [_register(m, key, f"late_{index}") for index, key in enumerate(keys)]
    less = {
        f"{low}{high}": _register(m, _less(keys[low], keys[high]), f"less_{low}{high}")
        for low, high in combinations(range(4), 2)
    }
    of_2 = Mux(less["01"], less["12"], less["02"])
    of_3 = Mux(less["01"], less["13"], less["03"])
    first, second = Mux(less["01"], late[1], late[0]), Mux(less["23"], late[3], late[2])
    return late, Mux(Mux(less["23"], of_3, of_2), second, first)


def _square(m: Module, value: Value, name: str) -> Value:
    """Return the square of a value of the clock before."""
    return _register(m, (value * value)[: 2 * len(value) - 1], name)


def _halve(
    m: Module, values: list[Value], combine: Callable[..., Value], name: str, until: int
) -> list[Value]:
    """Combine pairs of a power of two of values, a level per clock, until few are left."""
    while len(values) > until:
        pairs = zip(values[::2], values[1::2], strict=True)
        count = len(values) // 2
        values = [
            _register(m, combine(a, b), f"{name}_{count}_{index}")
            for index, (a, b) in enumerate(pairs)
        ]
    return values


def _offer(m: Module, output: stream.Interface, complete: Value) -> None:
    """Show an output from the clock after `complete` until it is taken."""
    with m.If(transfers(output)):
        m.d.sync += output.valid.eq(0)
    with m.If(complete):
        m.d.sync += output.valid.eq(1)
