"""Inverse square root of a normalised number, two bits at a time."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import can_load, transfers

__all__ = ["InverseRoot"]

_STEPS = 2
"""Bits of the root that are found on a clock."""


class InverseRoot(Component):
    """Compute ``floor(2**(2 * bits - 1) / sqrt(m))``, at most ``2**bits - 1``.

    The root q is the largest number with ``q**2 * m <= 2**(4 * bits - 2)``. From the uppermost down
    each bit is set if the remainder ``2**(4 * bits - 2) - q**2 * m`` stays positive: bit k takes
    ``2**k * (2 * q + 2**k) * m`` off it. The remainder is kept divided by ``2**k``, so that a step
    subtracts ``trial = (2 * q + 2**k) * m``. The next trial is three times ``2**(k - 1) * m`` more
    if the bit is set, else once less.

    Two steps are made on a clock. The second is computed for both bits that the first may give, so
    that its carries follow those of the first and no choice stands between them.

    Parameters
    ----------
    bits : int
        Bits of the root, an even number.

    Attributes
    ----------
    i : stream.Interface
        Numbers m of ``2 * bits`` bits, at least ``2**(2 * bits - 2)``.
    o : stream.Interface
        Roots, with the uppermost bit set. The payload keeps its value after the transfer, until the
        next number comes.
    latency : int
        Clocks from a number's transfer to its root.

    Latency
        A clock, and one for every two bits.

    Throughput
        One root at a time; the next number may come on the clock on which the root leaves.
    """

    def __init__(self, bits: int) -> None:
        if bits < 2 or bits % 2:
            raise ValueError(f"bits must be an even number of at least 2, not {bits!r}")
        self.bits = bits
        self.latency = 1 + bits // _STEPS
        super().__init__({"i": In(stream.Signature(2 * bits)), "o": Out(stream.Signature(bits))})

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = self.bits
        root = Signal(bits, reset_less=True)
        # Bounds: q < 2**bits, m < 2**(2 * bits), and the remainder is below the next trial but one.
        remainder = Signal(3 * bits + 2, reset_less=True)
        trial = Signal(3 * bits + 1, reset_less=True)
        # 2**(k - 1) * m, once and three times
        once = Signal(3 * bits - 2, reset_less=True)
        thrice = Signal(3 * bits, reset_less=True)
        left = Signal(range(bits // _STEPS + 1))
        m.d.comb += [
            self.i.ready.eq((left == 0) & can_load(self.o)),
            self.o.payload.eq(root),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)

        with m.If(transfers(self.i)):
            whole = self.i.payload << bits  # q is 0 and k is bits - 1
            m.d.sync += [
                remainder.eq(1 << 3 * bits - 1),
                trial.eq(whole >> 1),
                once.eq(whole >> 2),
                thrice.eq((whole >> 1) + (whole >> 2)),
                left.eq(bits // _STEPS),
            ]
        with m.If(left != 0):
            found, rest, next_trial = _steps(remainder, trial, once, thrice, _STEPS)
            m.d.sync += [
                root.eq(Cat(found, root)),
                remainder.eq(rest),
                trial.eq(next_trial),
                once.eq(once >> _STEPS),
                thrice.eq(thrice >> _STEPS),
                left.eq(left - 1),
                self.o.valid.eq(left == 1),
            ]
        return m


def _steps(
    remainder: Value, trial: Value, once: Value, thrice: Value, count: int
) -> tuple[Value, Value, Value]:
    """Return so many bits of the root, and the remainder and the trial after them."""
    if count == 0:
        return C(0, 0), remainder, trial
    later = once >> 1, thrice >> 1, count - 1
    rest = remainder - trial
    bit = ~rest[-1]
    ones = _steps((rest << 1)[: len(remainder)], (trial + thrice)[: len(trial)], *later)
    zeros = _steps((remainder << 1)[: len(remainder)], (trial - once)[: len(trial)], *later)
    chosen, rest, trial = (Mux(bit, one, zero) for one, zero in zip(ones, zeros, strict=True))
    return Cat(chosen, bit), rest, trial
