"""Statistics of the quantizer's input: largest product and two sums of squares."""

from __future__ import annotations

from collections.abc import Callable

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS, SCRATCH_BITS, SUM_BITS, SUM_SHIFT, VECTOR_BITS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import transfers

__all__ = ["LARGEST_BITS", "PRODUCT_BITS", "SUMS", "Statistics", "beat_layout"]

PRODUCT_BITS = SCRATCH_BITS + VECTOR_BITS - 1
"""Bits of x * w12, signed: saturation is symmetric, so that x is never -2**17."""

LARGEST_BITS = PRODUCT_BITS - 1
"""Bits of its magnitude."""

SUMS = StructLayout({"sum1": SUM_BITS, "sum2": SUM_BITS})


def beat_layout(config: ChipConfig) -> StructLayout:
    """Return the layout of E elements, their weights and the statistics that they enter."""
    weights = ArrayLayout(signed(VECTOR_BITS), config.elements)
    return StructLayout(
        {
            "values": Layouts(config).scratch,
            "second": ArrayLayout(signed(PRE_BITS), config.elements),
            "w1": weights,
            "w12": weights,
            "unit": 1,
            "first": 1,
            "last": 1,
            "largest": 1,
            "sums": 1,
        }
    )


class Statistics(Component):
    """Multiply elements x by w12, find the largest product and sum up squares.

    All exact: the largest of ``|x * w12|``, the sum of ``floor(x * w1 / 2**15 + 1/2)**2`` (of
    ``x**2`` if `unit`) and the sum of ``second**2``. Products of all beats are there to be used; a
    beat enters the largest product if `largest` is up and the sums if `sums` is. `first` begins a
    vector and `last` ends it.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        Beats (`beat_layout`). Always ready.
    products : View, out
        x * w12 of the beat of two clocks ago.
    o_largest, o_sums : stream.Interface
        Statistics of a vector. To be taken before the next vector begins: nothing holds the
        input up.
    largest_latency, sums_latency : int
        Clocks from the last beat to each.

    Latency
        Products 2 clocks. With ``L = log2(E)``: `o_largest` ``4 + max(L - 1, 0)`` clocks, `o_sums`
        ``5 + L``.

    Throughput
        One beat per clock.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.elements = config.elements
        levels = ceil_log2(config.elements)
        self.largest_latency = 4 + max(levels - 1, 0)
        self.sums_latency = 5 + levels
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(config))),
                "products": Out(ArrayLayout(signed(PRODUCT_BITS), config.elements)),
                "o_largest": Out(stream.Signature(LARGEST_BITS)),
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
            w12 = _register(m, self.i.payload.w12[index], f"w12_{index}")
            product = Signal(signed(PRODUCT_BITS), name=f"product_{index}", reset_less=True)
            m.d.sync += product.eq(value * w12)
            m.d.comb += self.products[index].eq(product)
            # |p| is p, or ~p + 1. With the sign behind them as a last bit, p and ~p are in the same
            # order as the magnitudes: only the largest has to have its 1 added.
            sign = product[-1]
            keys.append(Cat(sign, product[:-1] ^ sign.replicate(LARGEST_BITS)))

        # The last two meet the largest of the beats before in one clock: three comparisons abreast.
        pair = _halve(m, keys, lambda a, b: Mux(a >= b, a, b), "larger", until=2)
        larger = Mux(pair[0] >= pair[-1], pair[0], pair[-1])
        largest = Signal(LARGEST_BITS + 1, reset_less=True)
        valid, first, last = self._tags(m, self.i.payload.largest, self.largest_latency - 2)
        with m.If(valid & (first | (pair[0] > largest) | (pair[-1] > largest))):
            m.d.sync += largest.eq(larger)
        m.d.sync += self.o_largest.payload.eq(largest[1:] + largest[0])
        found = Signal()
        m.d.sync += found.eq(valid & last)
        _offer(m, self.o_largest, found)

    def _sum_up(self, m: Module, values: list[Signal]) -> None:
        squares1, squares2 = [], []
        for index, value in enumerate(values):
            w1 = Signal(signed(VECTOR_BITS + 1), name=f"w1_{index}", reset_less=True)
            m.d.sync += w1.eq(self.i.payload.w1[index])
            with m.If(self.i.payload.unit):
                m.d.sync += w1.eq(1 << SUM_SHIFT)
            scaled = _register(m, value * w1, f"scaled_{index}")
            rounded = ((scaled >> SUM_SHIFT) + scaled[SUM_SHIFT - 1])[:SCRATCH_BITS].as_signed()
            second = self.i.payload.second[index]
            for clock in range(3):
                second = _register(m, second, f"second_{index}_{clock}")
            squares1.append(
                _square(m, _register(m, rounded, f"rounded_{index}"), f"square1_{index}")
            )
            squares2.append(_square(m, second, f"square2_{index}"))

        valid, first, last = self._tags(m, self.i.payload.sums, self.sums_latency - 1)
        for name, squares in ("sum1", squares1), ("sum2", squares2):
            (total,) = _halve(m, squares, lambda a, b: a + b, f"{name}_part", until=1)
            accumulator = self.o_sums.payload[name]
            with m.If(valid):
                m.d.sync += accumulator.eq(Mux(first, 0, accumulator) + total)
        _offer(m, self.o_sums, valid & last)

    def _tags(self, m: Module, counts: Value, clocks: int) -> tuple[Value, ...]:
        """Return whether the beat of some clocks ago counts, and its `first` and `last`."""
        tags = Cat(counts & self.i.valid, self.i.payload.first, self.i.payload.last)
        for clock in range(clocks):
            later = Signal(len(tags), name=f"tags_{clock}")
            m.d.sync += later.eq(tags)
            tags = later
        return tuple(tags)


def _register(m: Module, value: Value, name: str) -> Signal:
    """Return a value of the clock before."""
    register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


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
