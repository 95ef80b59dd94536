"""Inverse square root of a normalised number, bit by bit."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import can_load, transfers

__all__ = ["InverseRoot"]


class InverseRoot(Component):
    """Compute ``floor(2**(2 * bits - 1) / sqrt(m))``, at most ``2**bits - 1``.

    The root q is the largest number with ``q**2 * m <= 2**(4 * bits - 2)``. From the uppermost down
    each bit is set if the remainder ``2**(4 * bits - 2) - q**2 * m`` stays positive: setting
    bit k takes ``2**k * (2 * q * m + 2**k * m)`` off it. Multiplications by powers of two apart, a
    step is two additions and a subtraction; the remainder is kept divided by ``2**k``.

    Parameters
    ----------
    bits : int
        Bits of the root.

    Attributes
    ----------
    i : stream.Interface
        Numbers m of ``2 * bits`` bits, at least ``2**(2 * bits - 2)``.
    o : stream.Interface
        Roots, with the uppermost bit set. The payload keeps its value after the transfer, until the
        next number comes.
    latency : int
        Clocks from a number's transfer to its root: `bits`.

    Latency
        `bits` clocks: the first bit is always set and costs none.

    Throughput
        One root at a time; the next number may come on the clock on which the root leaves.
    """

    def __init__(self, bits: int) -> None:
        if bits < 2:
            raise ValueError(f"bits must be at least 2, not {bits!r}")
        self.bits = bits
        self.latency = bits
        super().__init__({"i": In(stream.Signature(2 * bits)), "o": Out(stream.Signature(bits))})

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = self.bits
        number = self.i.payload
        root = Signal(bits)
        # The bit on trial is k. While 2 q m grows, the remainder stays below four times q m.
        remainder = Signal(3 * bits + 2)  # (2**(4 * bits - 2) - q**2 * m) / 2**k
        twice = Signal(3 * bits + 1)  # 2 q m
        weight = Signal(3 * bits - 2)  # 2**k m
        steps = Signal(range(bits))
        m.d.comb += [
            self.i.ready.eq((steps == 0) & can_load(self.o)),
            self.o.payload.eq(root),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)

        with m.If(transfers(self.i)):
            m.d.sync += [
                root.eq(1),
                remainder.eq((1 << 3 * bits) - (number << bits)),
                twice.eq(number << bits),
                weight.eq(number << (bits - 2)),
                steps.eq(bits - 1),
            ]
        with m.If(steps != 0):
            half = (twice + weight)[: len(twice)]  # 2 q m + 2**k m
            rest = remainder - half
            fits = ~rest[-1]
            m.d.sync += [
                root.eq(Cat(fits, root)),
                remainder.eq(Mux(fits, rest, remainder) << 1),
                twice.eq(Mux(fits, half + weight, twice)),
                weight.eq(weight >> 1),
                steps.eq(steps - 1),
                self.o.valid.eq(steps == 1),
            ]
        return m
