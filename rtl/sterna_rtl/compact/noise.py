"""Noise: Gumbel noise for one logit after the other, by a table and a sum."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec import tables
from sterna.spec.compact import NOISE_WORDS
from sterna.spec.xorshift import UNIFORM_BITS, next_element
from sterna_rtl.arith.gumbel import GUMBEL_BITS

__all__ = ["Noise"]

_STATE_BITS, _PIECE_BITS = 64, 16
_NUMBER = range(NOISE_WORDS)
_ITEM = StructLayout({"element": _NUMBER, "noise": signed(GUMBEL_BITS)})

_REST_BITS, _SEGMENT_BITS = 12, 6
_LOG, _CORRECTION = tables.log_mantissa(), tables.gumbel_correction()
_LN2 = sum(_LOG[1])


class Noise(Component):
    """Compute -ln(-ln(1 - w)) with w = (uniform + 1/2) / 2**24, as -ln(w) - c(w).

    c(w) is looked up first. Then w is shifted until its leading one has left it, and each shift
    adds ln 2; what is left is the place in the logarithm's table, at the same bits as c's was.

    Attributes
    ----------
    piece : Signal, in
    loads : Signal, in
        A draw's state comes in four pieces, the lowest first; not while noise is made.
    i : stream.Interface
        Number of the last logit. Accepted when its noise is made.
    o : stream.Interface
        Noise, from logit 0 on.

    Latency
        An item takes 9 clocks and a shift for each zero above w's leading one and for that: 11 on
        average, at most 34.

    Throughput
        One item at a time.

    Backpressure
        The next item begins when one has been taken.

    Resources
        Two block RAMs of 4 Kbit, one multiplier.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "piece": In(_PIECE_BITS),
                "loads": In(1),
                "i": In(stream.Signature(_NUMBER)),
                "o": Out(stream.Signature(_ITEM)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        state, steps = Signal(_STATE_BITS), Signal()
        with m.If(self.loads):
            m.d.sync += state.eq(Cat(state[_PIECE_BITS:], self.piece))
        with m.Elif(steps):
            m.d.sync += state.eq(next_element(Value.cast(state))[:_STATE_BITS])
        half = _STATE_BITS // 2
        uniform = (state[:half] + state[half:])[half - UNIFORM_BITS : half]

        w = Signal(UNIFORM_BITS + 1, reset_less=True)
        noise = Signal(signed(GUMBEL_BITS), reset_less=True)
        corrects = Signal()  # the logarithm is still to come
        value = self._table(m, w, corrects)
        element = Signal(_NUMBER)
        m.d.comb += [self.o.payload.element.eq(element), self.o.payload.noise.eq(noise)]
        with m.FSM(name="noise"):
            with m.State("STEP"):
                m.d.comb += steps.eq(self.i.valid)
                with m.If(self.i.valid):
                    m.next = "UNIFORM"
            with m.State("UNIFORM"):
                m.d.sync += [w.eq(Cat(C(1, 1), uniform)), noise.eq(0), corrects.eq(1)]
                m.next = "ROW"
            with m.State("ROW"):
                m.next = "PRODUCT"
            with m.State("PRODUCT"):
                m.next = "VALUE"
            with m.State("VALUE"):
                m.d.sync += [noise.eq(noise - value), corrects.eq(0)]
                m.next = "DONE"
                with m.If(corrects):
                    m.next = "SHIFT"
            with m.State("SHIFT"):
                m.d.sync += [noise.eq(noise + _LN2), w.eq(w << 1)]
                with m.If(w[-1]):
                    m.next = "ROW"
            with m.State("DONE"):
                m.d.comb += self.o.valid.eq(1)
                m.d.comb += self.i.ready.eq(self.o.ready & (element == self.i.payload))
                with m.If(self.o.ready):
                    m.d.sync += element.eq(Mux(self.i.ready, 0, element + 1))
                    m.next = "STEP"
        return m

    def _table(self, m: Module, w: Signal, corrects: Signal) -> Value:
        """Look up the upper bits of w and interpolate, 2 clocks later."""
        both = [zip(*table, strict=True) for table in (_LOG, _CORRECTION)]
        rows = [{"base": base, "rise": rise} for table in both for base, rise in table]
        widths = {name: max(row[name] for row in rows).bit_length() for name in ("base", "rise")}
        shape = StructLayout(widths)
        m.submodules.table = table = Memory(shape=shape, depth=len(rows), init=rows)
        read = table.read_port()
        start = len(w) - _SEGMENT_BITS
        m.d.comb += read.addr.eq(Cat(w[start:], corrects))
        rest, row = w[start - _REST_BITS : start], read.data
        total = Signal(_REST_BITS + widths["base"] + 1, reset_less=True)
        m.d.sync += total.eq(row.rise * rest + Cat(C(1 << _REST_BITS - 1, _REST_BITS), row.base))
        return total[_REST_BITS:]
