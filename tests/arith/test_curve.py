"""Curve: every reciprocal, roots around the rows and samples, in a row and one at a time."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.golden.curve import curve
from sterna.golden.quantizer import MAXIMUM_BITS, RECIPROCAL_SHIFT, reciprocal
from sterna.golden.scale import ROOT_BITS, rsqrt
from sterna.spec import tables
from sterna_rtl.arith.curve import Curve
from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, Stalls, UnitBench, edited
from sterna_sim.kit.suite import bench_tests
from tests.arith.streamed import Streamed

CURVES = {
    "reciprocal": (tables.reciprocal(), MAXIMUM_BITS - 1),
    "root": (tables.inverse_root(), ROOT_BITS),
}


class Held(Component):
    """One position at a time; the result is handed out from where it stays."""

    def __init__(self, unit):
        self.unit = unit
        super().__init__(
            {
                "i": In(stream.Signature(unit.position.shape())),
                "o": Out(stream.Signature(unit.result.shape())),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        waits, came = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~waits),
            unit.position.eq(self.i.payload),
            unit.load.eq(transfers(self.i)),
            self.o.valid.eq(waits & (unit.done | came)),
            self.o.payload.eq(unit.result),
        ]
        m.d.sync += [
            waits.eq((waits | transfers(self.i)) & ~transfers(self.o)),
            came.eq(self.o.valid & ~self.o.ready),
        ]
        return m


class CurveBench(UnitBench):
    """Equal to the golden function; one result per clock."""

    name = "curve"
    configs = CURVES
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"))
    bugs = {
        name: lambda config, old=old, new=new: streamed(edited(Curve, old, new)(*config))
        for name, old, new in (
            ("the next position's rest", "row.fall * rest_2", "row.fall * rest"),
            ("the next row's start", "start - product", "row.start - product"),
            ("rises", "start - product", "start + product"),
            ("fraction not cut", "[CURVE_FRACTION:]", "[CURVE_FRACTION - 1 :]"),
        )
    }

    def dut(self, config):
        return streamed(Curve(*config))

    def cases(self, config, rng):
        table, bits = config
        rest_bits = bits - 9
        around = (np.arange(1, 512)[:, None] << rest_bits) + np.arange(-1, 2)
        positions = np.append(around.ravel(), [0, (1 << bits) - 1])
        positions = np.append(positions, rng.integers(1 << bits, size=200))
        yield Case(
            {"i": positions},
            {"o": [{"result": curve(table, int(p), bits)} for p in positions]},
            {"load": 1},
            clocks=len(positions) + Curve.latency + 1,
        )


class HeldBench(UnitBench):
    """Results come after `latency` clocks and stay, whatever the position does."""

    name = "curve-held"
    configs = CURVES
    cocotb_configs = ("root",)
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
    bugs = {
        name: lambda config, old=old, new=new: Held(edited(Curve, old, new)(*config))
        for name, old, new in (
            ("row not held", "read.en.eq(self.load)", "read.en.eq(1)"),
            ("rest not held", "with m.If(self.load):", "with m.If(1):"),
            ("done a clock early", "self.done).eq(Cat(", "self.done).eq(Cat(C(0, 0), loaded[0], "),
        )
    }

    def dut(self, config):
        return Held(Curve(*config))

    def cases(self, config, rng):
        table, bits = config
        positions = rng.integers(1 << bits, size=60)
        results = [curve(table, int(p), bits) for p in positions]
        yield Case({"i": positions}, {"o": results}, clocks=1 + 60 * (1 + Curve.latency))


def streamed(unit):
    return Streamed(unit, "position", ["result"], ["load"])


test_pysim, _, test_planted_bugs = bench_tests(CurveBench())
test_held, test_held_cocotb, test_held_bugs = bench_tests(HeldBench())


def test_golden_reciprocal():
    """Within 1 of the exact one, and the largest product is always 127."""
    for mantissa in range(1 << 16, 1 << 17):
        found = reciprocal(mantissa)
        assert abs(found - (127 << RECIPROCAL_SHIFT) / mantissa) < 1
        assert (found * mantissa + (1 << RECIPROCAL_SHIFT - 1)) >> RECIPROCAL_SHIFT == 127


def test_golden_root():
    """Within 1 of the exact one; 16 bits, the uppermost set; 0 for 0."""
    rng = np.random.default_rng(0)
    low, high = 1 << 30, 1 << 32
    for mantissa in [low, high - 1, *rng.integers(low, high, 50000)]:
        found = rsqrt(int(mantissa))
        assert abs(found - 2**31 / float(mantissa) ** 0.5) <= 1
        assert 1 << 15 <= found < 1 << 16
    assert rsqrt(0) == 0


def test_out_of_range():
    with pytest.raises(ValueError, match="bits must be more than 9, not 9"):
        Curve(tables.reciprocal(), 9)
