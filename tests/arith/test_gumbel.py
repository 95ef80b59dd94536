"""Gumbel noise: corners of every normalisation and table segment, and random uniforms."""

import numpy as np

from sterna.golden.sampler import gumbel
from sterna.spec.xorshift import UNIFORM_BITS
from sterna_rtl.arith.gumbel import Gumbel
from sterna_sim.kit import Case, UnitBench, bench_tests, edited
from tests.arith.streamed import Streamed

LARGEST = (1 << UNIFORM_BITS) - 1


def corners():
    """Both ends, every power of two and every start of a segment, with their neighbours."""
    powers = 1 << np.arange(UNIFORM_BITS)
    segments = np.arange(64) << UNIFORM_BITS - 6
    mantissas = np.concatenate([(64 + np.arange(64) << 11) >> shift for shift in range(18)])
    around = np.concatenate([powers, segments, mantissas, [0, LARGEST]])[:, None] + [-1, 0, 1]
    return np.unique(np.clip(around, 0, LARGEST))


def streamed(unit):
    return Streamed(unit(), "uniform", ["noise"])


class GumbelBench(UnitBench):
    """Equal to the golden function; one number per clock."""

    name = "gumbel"
    configs = {"few": 300, "many": 20000}
    cocotb_configs = ("few",)
    bug_configs = ("few",)
    bugs = {
        name: lambda _, old=old, new=new: streamed(edited(Gumbel, old, new))
        for name, old, new in (
            ("w without its half", "Cat(C(1, 1), self.uniform)", "Cat(C(0, 1), self.uniform)"),
            ("rounds down", "+ product[_REST_BITS - 1]", ""),
            ("one ln 2 too few", "_LN2 * (1 + zeros)", "_LN2 * zeros"),
            ("correction a clock early", "return value[2]", "return value[1]"),
            ("shift by 1 left out", "[(16,), (8,), (4, 2), (1,)]", "[(16,), (8,), (4, 2), ()]"),
        )
    }

    def dut(self, config):
        return streamed(Gumbel)

    def cases(self, config, rng):
        # Evenly spread exponents: a uniform below 2**-12 would hardly ever come otherwise.
        small = LARGEST >> rng.integers(0, UNIFORM_BITS, config)
        for name, uniforms in (("corners", corners()), ("random", rng.integers(0, small + 1))):
            noise = [{"noise": value} for value in gumbel(uniforms)]
            clocks = len(uniforms) + Gumbel.latency + 1
            yield Case({"i": uniforms}, {"o": noise}, clocks=clocks, name=name)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(GumbelBench())
