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
    each bit is set if the remainder ``2**(4 * bits - 2) - q**2 * m`` stays positive: bit k takes
    ``2**k * (2 * q + 2**k) * m`` off it. The remainder is kept divided by ``2**k``, so that a step
    subtracts ``trial = (2 * q + 2**k) * m``. The next trial is three times ``2**(k - 1) * m`` more
    if the bit is set, else once less: both are computed beside the subtraction.

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
        root = Signal(bits, reset_less=True)
        # Bounds: q < 2**bits, m < 2**(2 * bits), and the remainder is below the next trial but one.
        remainder = Signal(3 * bits + 2, reset_less=True)
        trial = Signal(3 * bits + 1, reset_less=True)
        # 2**(k - 1) * m
        once = Signal(3 * bits - 3, reset_less=True)
        thrice = Signal(3 * bits - 1, reset_less=True)
        steps = Signal(range(bits))
        m.d.comb += [
            self.i.ready.eq((steps == 0) & can_load(self.o)),
            self.o.payload.eq(root),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)

        with m.If(transfers(self.i)):
            # The uppermost bit is set, the next one is on trial.
            whole = number << bits
            m.d.sync += [
                root.eq(1),
                remainder.eq((1 << 3 * bits) - whole),
                trial.eq(whole + (whole >> 2)),
                once.eq(whole >> 3),
                thrice.eq((whole >> 3) + (whole >> 2)),
                steps.eq(bits - 1),
            ]
        with m.If(steps != 0):
            rest = remainder - trial
            fits = ~rest[-1]
            m.d.sync += [
                root.eq(Cat(fits, root)),
                remainder.eq(Mux(fits, rest, remainder) << 1),
                trial.eq(Mux(fits, trial + thrice, trial - once)),
                once.eq(once >> 1),
                thrice.eq(thrice >> 1),
                steps.eq(steps - 1),
                self.o.valid.eq(steps == 1),
            ]
        return m
