"""A falling function by table and linear interpolation."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna.spec.tables import CURVE_FRACTION, CURVE_SEGMENTS, Table

__all__ = ["Curve"]


class Curve(Component):
    """Interpolate between the rows of a table, equal to `sterna.golden.curve`.

    Parameters
    ----------
    table : sterna.spec.tables.Table
        Start and fall of each of `CURVE_SEGMENTS` segments, with `CURVE_FRACTION` fraction bits.
    bits : int
        Bits of a position, more than those that choose the segment.

    Attributes
    ----------
    load : Signal, in
        Take `position`.
    position : Signal, in
        Unsigned.
    done : Signal, out
        `result` has come on this clock.
    result : Signal, out
        Unsigned. Stays until that of the next position that was loaded.

    Latency
        4 clocks: row, the RAM's output register, product, difference.

    Throughput
        1 per clock, without backpressure.

    Resources
        One block RAM, one multiplier.
    """

    latency = 4

    def __init__(self, table: Table, bits: int) -> None:
        self.table = table
        self.rest_bits = bits - ceil_log2(CURVE_SEGMENTS)
        if self.rest_bits < 1:
            raise ValueError(f"bits must be more than {ceil_log2(CURVE_SEGMENTS)}, not {bits}")
        result = max(table[0]).bit_length() - CURVE_FRACTION
        super().__init__(
            {"load": In(1), "position": In(bits), "done": Out(1), "result": Out(result)}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        starts, falls = self.table
        shape = StructLayout({"start": max(starts).bit_length(), "fall": max(falls).bit_length()})
        rows = [{"start": start, "fall": fall} for start, fall in zip(starts, falls, strict=True)]
        m.submodules.rom = rom = Memory(shape=shape, depth=CURVE_SEGMENTS, init=rows)
        read = rom.read_port()
        m.d.comb += [read.en.eq(self.load), read.addr.eq(self.position[self.rest_bits :])]

        # Row and rest stay until the next load, and with them all that follows from them.
        rest, rest_2 = (Signal(self.rest_bits, name=f"rest_{n}", reset_less=True) for n in (1, 2))
        row = Signal(shape, reset_less=True)
        start = Signal.like(row.start, reset_less=True)
        product = Signal(len(row.fall) + self.rest_bits, reset_less=True)
        loaded = Signal(self.latency - 1)
        with m.If(self.load):
            m.d.sync += rest.eq(self.position[: self.rest_bits])
        m.d.sync += [
            row.eq(read.data),
            rest_2.eq(rest),
            start.eq(row.start),
            product.eq(row.fall * rest_2),
            self.result.eq((start - product[self.rest_bits :])[CURVE_FRACTION:]),
            Cat(loaded, self.done).eq(Cat(self.load, loaded)),
        ]
        return m
