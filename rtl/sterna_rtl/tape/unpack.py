"""Unpacker: tape words to a "not zero" and a sign for each lane."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.trits import FIVE_THIRDS_PATTERNS, Packing, pattern_of
from sterna_rtl.layouts import Layouts

__all__ = ["Unpacker"]


def _two_bits(code: Value) -> tuple[list[Value], list[Value]]:
    return [code[0]], [code[1]]


def _table(index: Value, entries: list[bool]) -> Value:
    """One bit of `entries` per value of `index`: one LUT4 for four bits, one LUT6 for six."""
    return C(sum(entry << n for n, entry in enumerate(entries)), len(entries)).bit_select(index, 1)


def _five_thirds(code: Value) -> tuple[list[Value], list[Value]]:
    """Three "not zero" tables of the pattern; signs relative to that of the first trit.

    See `sterna.spec.trits`: the pattern was chosen so that bits 0 and 1 say whether trits 1 and 2
    have the sign of the first trit that is not zero. A zero trit gets any sign.
    """
    pattern, sign = code[:4], code[4]
    nonzero = [
        _table(pattern, [bool(trits and trits[n]) for trits in FIVE_THIRDS_PATTERNS])
        for n in range(3)
    ]
    return nonzero, [sign, sign ^ ~pattern[0], sign ^ ~pattern[1]]


def _eight_fifths(code: Value) -> tuple[list[Value], list[Value]]:
    """Five "not zero" tables of the magnitude; the signs of all but the first by tables too.

    Tables of seven inputs are two of six and a multiplexer.
    """
    magnitude, sign = code[:7], code[7]
    patterns = [pattern_of(number) or (0,) * 5 for number in range(1 << 7)]

    def table(entries: list[bool]) -> Value:
        return Mux(
            magnitude[6], _table(magnitude[:6], entries[64:]), _table(magnitude[:6], entries[:64])
        )

    nonzero = [table([trits[n] != 0 for trits in patterns]) for n in range(5)]
    negative = [table([trits[n] < 0 for trits in patterns]) for n in range(1, 5)]
    return nonzero, [sign, *(sign ^ other for other in negative)]


_DECODERS = {
    Packing.TWO_BITS: _two_bits,
    Packing.FIVE_THIRDS: _five_thirds,
    Packing.EIGHT_FIFTHS: _eight_fifths,
}


class Unpacker(Component):
    """Decode tape words in the packing of the configuration.

    A code that the packer never writes decodes without notice: 0b10 of two bits to a zero,
    patterns 9 and 13 of five bits to three zeros, magnitudes from 122 on of eight bits to five.
    Trits beyond the last lane are dropped.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i, o : stream.Interface
        Tape words in, `Layouts.weights` out, combinational: registers lie before and behind. A zero
        trit may carry any sign.

    Latency
        None.

    Throughput
        1 word per clock.

    Resources
        Five LUT4 per three lanes with five bits for three trits, none with two bits; 18 LUT6 and 4
        gates per five lanes with eight bits for five.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.word)),
                "o": Out(stream.Signature(layouts.weights)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        packing, lanes = self.config.packing, self.config.lanes
        weights = self.o.payload
        m.d.comb += [self.i.ready.eq(self.o.ready), self.o.valid.eq(self.i.valid)]
        # A statement for each code, not one for all: a simulator would compile a wide word's in one
        # function.
        starts = range(0, self.config.word_bits, packing.bits)
        for start, first in zip(starts, range(0, lanes, packing.trits), strict=True):
            nonzero, negative = _DECODERS[packing](self.i.payload[start : start + packing.bits])
            count = min(packing.trits, lanes - first)
            m.d.comb += [
                weights.nonzero[first : first + count].eq(Cat(nonzero[:count])),
                weights.negative[first : first + count].eq(Cat(negative[:count])),
            ]
        return m
