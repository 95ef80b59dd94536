"""Gumbel noise: corners of every normalisation and table segment, and random uniforms."""

import numpy as np

from sterna.golden.sampler import gumbel
from sterna.spec.xorshift import UNIFORM_BITS
from sterna_rtl.arith.gumbel import Gumbel
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.arith.streamed import Streamed

LARGEST = (1 << UNIFORM_BITS) - 1


def corners():
    """Both ends, every power of two and every start of a segment, with their neighbours."""
    powers = 1 << np.arange(UNIFORM_BITS)
    segments = np.arange(64) << UNIFORM_BITS - 6
    mantissas = np.concatenate([(64 + np.arange(64) << 11) >> shift for shift in (0, 1, 6, 17)])
    around = np.concatenate([powers, segments, mantissas, [0, LARGEST]])[:, None] + [-1, 0, 1]
    return np.unique(np.clip(around, 0, LARGEST))


def streamed(unit):
    return Streamed(unit(), "uniform", ["noise"])


def case(uniforms, name):
    noise = [{"noise": value} for value in gumbel(uniforms)]
    # One clock through the queue behind it.
    return Case({"i": uniforms}, {"o": noise}, clocks=len(noise) + Gumbel.latency + 1, name=name)


class GumbelBench(UnitBench):
    """Equal to the golden function; one number per clock."""

    name = "gumbel"
    configs = {"samples": 200}
    cocotb_configs = ()
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
        # Every exponent is as likely: a uniform below 2**-12 would hardly ever come otherwise.
        largest = LARGEST >> rng.integers(0, UNIFORM_BITS, config)
        yield case(rng.integers(0, largest + 1), "random")


class CornersBench(GumbelBench):
    """Corners and many numbers, in the compiled unit."""

    name = "gumbel-corners"
    configs = {"corners": 4000}
    cocotb_configs = ("corners",)
    stalls = (Stalls(),)
    reset_test = False

    def cases(self, config, rng):
        yield case(corners(), "corners")
        yield from super().cases(config, rng)


test_samples, _, test_planted_bugs = bench_tests(GumbelBench())
_, test_corners, _ = bench_tests(CornersBench())
