"""Divide a constant by a normalised number, digit by digit."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.stream import can_load, transfers

__all__ = ["Divide"]


class Divide(Component):
    """Compute ``floor(numerator / divisor)``; 0 for the divisor 0.

    Each clock takes the largest multiple of the divisor that fits off the remainder. All multiples
    are tried side by side, so that a step is one subtraction and one selection long; they are made
    while the first digit is found.

    Parameters
    ----------
    numerator : int
        Constant, at least ``2**divisor_bits``.
    divisor_bits : int
        Bits of the divisor.
    digit_bits : int
        Bits of the quotient per clock, 1 to 4: a subtractor for each digit but 0.

    Attributes
    ----------
    i : stream.Interface
        Divisors, normalised (the uppermost bit set) or 0.
    o : stream.Interface
        Quotients. The payload keeps its value after the transfer, until the next divisor comes.
    latency : int
        Clocks from a divisor's transfer to its quotient.

    Latency
        A clock for the first bit of the quotient and one for every `digit_bits` that follow.

    Throughput
        One division at a time; the next divisor may come on the clock on which the quotient leaves.
    """

    def __init__(self, numerator: int, divisor_bits: int, digit_bits: int = 2) -> None:
        if numerator >> divisor_bits == 0:
            raise ValueError(f"numerator must be at least 2**{divisor_bits}, not {numerator}")
        if digit_bits not in (1, 2, 3, 4):
            raise ValueError(f"digit_bits must be 1 to 4, not {digit_bits!r}")
        self.numerator = numerator
        self.divisor_bits = divisor_bits
        self.digit_bits = digit_bits
        quotient_bits = (numerator >> (divisor_bits - 1)).bit_length()
        self.latency = 1 + -(-(quotient_bits - 1) // digit_bits)
        super().__init__(
            {"i": In(stream.Signature(divisor_bits)), "o": Out(stream.Signature(quotient_bits))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        bits, later_bits = self.digit_bits, (self.latency - 1) * self.digit_bits
        divisor = Signal(self.divisor_bits)
        remainder = Signal(self.divisor_bits)
        # The numerator's later digits leave at the top while those of the quotient come in below.
        digits = Signal(1 + later_bits)
        steps = Signal(range(self.latency))
        m.d.comb += [
            self.i.ready.eq((steps == 0) & can_load(self.o)),
            self.o.payload.eq(digits),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)

        with m.If(transfers(self.i)):
            # The first digit is 0 or 1.
            taken = self.i.payload
            start, later = divmod(self.numerator, 1 << later_bits)
            digit, rest = _divide(C(start, self.divisor_bits), [taken])
            m.d.sync += [
                divisor.eq(taken),
                remainder.eq(rest),
                digits.eq(Cat(digit & taken[-1], C(later, later_bits))),
                steps.eq(self.latency - 1),
            ]
        multiples = [divisor]
        for digit in range(2, 1 << bits):
            if digit % 2:
                multiple = Signal(self.divisor_bits + bits, name=f"multiple_{digit}")
                with m.If(transfers(self.i)):
                    m.d.sync += multiple.eq(_times(self.i.payload, digit))
                multiples.append(multiple)
            else:
                multiples.append(multiples[digit // 2 - 1] << 1)
        with m.If(steps != 0):
            digit, rest = _divide(Cat(digits[-bits:], remainder), multiples)
            m.d.sync += [
                remainder.eq(rest),
                digits.eq(Cat(digit & divisor[-1].replicate(bits), digits)),
                steps.eq(steps - 1),
                self.o.valid.eq(steps == 1),
            ]
        return m


def _times(value: Value, factor: int) -> Value:
    """Return a product with a constant by few additions and subtractions, at most two up to 15.

    A multiplier would be further away. The factor's digits are -1, 0 and 1, every other one 0.
    """
    total, place = C(0), 0
    while factor:
        if factor % 2:
            digit = 2 - factor % 4
            total = total + (value << place) if digit == 1 else total - (value << place)
            factor -= digit
        factor, place = factor // 2, place + 1
    return total


def _divide(value: Value, multiples: list[Value]) -> tuple[Value, Value]:
    """Return how often the first of the multiples 1, 2, ... fits into a value, and the rest."""
    fits, rests = [], [value]
    for multiple in multiples:
        difference = value - multiple
        fits.append(~difference[-1])
        rests.append(difference)
    return _select(fits, rests)


def _select(fits: list[Value], rests: list[Value]) -> tuple[Value, Value]:
    """Return the number of multiples that fit and their rest; those that fit are the first ones."""
    if not fits:
        return C(0, 0), rests[0]
    half = len(rests) // 2
    low, low_rest = _select(fits[: half - 1], rests[:half])
    high, high_rest = _select(fits[half:], rests[half:])
    upper = fits[half - 1]
    return Cat(Mux(upper, high, low), upper), Mux(upper, high_rest, low_rest)
