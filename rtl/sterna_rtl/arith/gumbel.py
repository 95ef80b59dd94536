"""Gumbel noise from uniform random numbers, one a clock."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec import tables
from sterna.spec.tables import GUMBEL_FRACTION
from sterna.spec.xorshift import UNIFORM_BITS

__all__ = ["GUMBEL_BITS", "Gumbel"]

GUMBEL_BITS = 18
"""Bits of the noise, signed: -7475 to 70975, an operand of an 18 x 18 multiplier."""

_REST_BITS = 12
"""Bits of the position within a table's segment."""

_POSITION_BITS = 18
"""Bits that index a table: 6 for the segment above the rest."""

_LOG = tables.log_mantissa()
_CORRECTION = tables.gumbel_correction()
_LN2 = sum(_LOG[1])
_WHOLE = [_LN2 * (1 + zeros) for zeros in range(UNIFORM_BITS + 1)]


class Gumbel(Component):
    """Compute -ln(-ln(1 - w)) with w = (uniform + 1/2) / 2**24, as -ln(w) - c(w).

    w is shifted until its leading one is at the top: the distance selects a multiple of ln 2, the
    bits behind that one a place in the logarithm's table. Both tables are interpolated, each
    product rounded to nearest, halves upwards.

    Attributes
    ----------
    uniform : Signal, in
        Uniform.
    noise : Signal, out
        Noise, 12 fraction bits.

    Latency
        7 clocks.

    Throughput
        1 per clock, without backpressure.

    Resources
        Two multipliers; the tables lie in LUTs.
    """

    latency = 7

    def __init__(self) -> None:
        super().__init__({"uniform": In(UNIFORM_BITS), "noise": Out(signed(GUMBEL_BITS))})

    def elaborate(self, platform) -> Module:
        m = Module()
        w = Cat(C(1, 1), self.uniform)
        correction = self._correction(m, w)
        fraction, zeros = self._normalise(m, w)

        # Stage 4: tables, 5: product, 6: rounding, 7: the sum.
        whole = Signal(range(max(_WHOLE) + 1), reset_less=True)
        constant = Signal(signed(GUMBEL_BITS), reset_less=True)
        offset = Signal(signed(GUMBEL_BITS), reset_less=True)
        base, product = _interpolate(m, "log", _LOG, fraction)
        rise = Signal(len(product) - _REST_BITS + 1, reset_less=True)
        m.d.sync += [
            whole.eq(Array(_WHOLE)[zeros]),
            constant.eq(whole - base),
            offset.eq(constant - correction),
            rise.eq(_rounded(product)),
            self.noise.eq(offset - rise),
        ]
        return m

    def _normalise(self, m: Module, w: Value) -> tuple[Value, Value]:
        """Shift w until its leading one is at the top: bits behind that one, and how far.

        Registers after the shifts by 16, by 8 and by 4 and 2; none after the shift by 1.
        """
        zeros = Const(0, 0)
        for stage, shifts in enumerate([(16,), (8,), (4, 2), (1,)]):
            if stage > 0:
                stage_w = Signal(len(w), reset_less=True)
                stage_zeros = Signal(len(zeros), reset_less=True)
                m.d.sync += [stage_w.eq(w), stage_zeros.eq(zeros)]
                w, zeros = stage_w, stage_zeros
            for shift in shifts:
                shifted = ~w[-shift:].any()
                w = Mux(shifted, w << shift, w)[: len(w)]
                zeros = Cat(shifted, zeros)
        return w[-1 - _POSITION_BITS : -1], zeros

    def _correction(self, m: Module, w: Value) -> Signal:
        """c(w), 5 clocks later."""
        base, product = _interpolate(m, "correction", _CORRECTION, w[-_POSITION_BITS:])
        base_2 = Signal(len(base), reset_less=True)
        value = [
            Signal(range(2 << GUMBEL_FRACTION), name=f"correction_{n}", reset_less=True)
            for n in (3, 4, 5)
        ]
        m.d.sync += [
            base_2.eq(base),
            value[0].eq(base_2 + _rounded(product)),
            value[1].eq(value[0]),
            value[2].eq(value[1]),
        ]
        return value[2]


def _interpolate(
    m: Module, name: str, table: tables.Table, position: Value
) -> tuple[Value, Signal]:
    """Look a segment up: its start, 1 clock later, and its rise times the rest, 2 clocks later."""
    starts, rises = table
    shape = StructLayout({"start": max(starts).bit_length(), "rise": max(rises).bit_length()})
    rows = [{"start": start, "rise": rise} for start, rise in zip(starts, rises, strict=True)]
    # Yosys would make a block RAM of the table and the register behind it.
    rom = Memory(shape=shape, depth=tables.SEGMENTS, init=rows, attrs={"rom_style": "logic"})
    m.submodules[f"{name}_table"] = rom
    read = rom.read_port(domain="comb")
    row = Signal(shape, name=f"{name}_row", reset_less=True)
    rest = Signal(_REST_BITS, name=f"{name}_rest", reset_less=True)
    product = Signal(len(row.rise) + _REST_BITS, name=f"{name}_product", reset_less=True)
    m.d.comb += read.addr.eq(position[_REST_BITS:])
    m.d.sync += [
        row.eq(read.data),
        rest.eq(position[:_REST_BITS]),
        product.eq(row.rise * rest),
    ]
    return row.start, product


def _rounded(product: Value) -> Value:
    """floor(product / 2**_REST_BITS + 1/2): the highest bit that is dropped is the one to add."""
    return product[_REST_BITS:] + product[_REST_BITS - 1]
