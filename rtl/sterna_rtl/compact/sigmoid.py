"""Sigmoid by a table in block RAM and one multiplier with an adder."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec import tables
from sterna.spec.compact import FRACTION_ONE

__all__ = ["Sigmoid"]

_REST_BITS = 9
"""Position within a segment of the table: 1/8 at 12 fraction bits."""

_ROW = StructLayout({"base": 16, "rise": signed(12), "down": 1})


class Sigmoid(Component):
    """Sigmoid of a number of 12 fraction bits within +-8, or one less the sigmoid.

    The table has segments for both signs and for both functions, so that neither magnitude nor
    difference is formed: what the golden function rounds up before it takes it from one rounds down
    here, which is half of the last bit less one place.

    Attributes
    ----------
    value : Signal, in
        Signed; -32768 does not come.
    complement : Signal, in
    result : Signal, out
        Unsigned, 16 fraction bits.

    Latency
        2 clocks.

    Throughput
        1 per clock, without backpressure.

    Resources
        Two block RAMs of 4 Kbit, one multiplier.
    """

    latency = 2

    def __init__(self) -> None:
        super().__init__({"value": In(signed(16)), "complement": In(1), "result": Out(16)})

    def elaborate(self, platform) -> Module:
        m = Module()
        rows = [_row(segment, complement) for complement in (0, 1) for segment in range(128)]
        m.submodules.table = table = Memory(shape=_ROW, depth=len(rows), init=rows)
        read = table.read_port()
        m.d.comb += read.addr.eq(Cat(self.value[_REST_BITS:], self.complement))
        rest = Signal(_REST_BITS, reset_less=True)
        m.d.sync += rest.eq(self.value[:_REST_BITS])

        row, total = read.data, Signal(signed(27), reset_less=True)
        half = Cat(row.down.replicate(_REST_BITS - 1), ~row.down)
        m.d.sync += total.eq(row.rise * rest + Cat(half, row.base))
        m.d.comb += self.result.eq(total[_REST_BITS:])
        return m


def _row(segment: int, complement: int) -> dict[str, int]:
    """Return a segment of 7 bits, the uppermost of which is the sign."""
    negative = segment >= tables.SEGMENTS
    bases, rises = tables.sigmoid()
    # From below, segment -k - 1 is segment k from its end.
    place = 2 * tables.SEGMENTS - 1 - segment if negative else segment
    start, rise = bases[place], rises[place]
    if negative:
        start = FRACTION_ONE - start - rise
    if complement:
        start, rise = FRACTION_ONE - start, -rise
    return {"base": start, "rise": rise, "down": negative ^ complement}
