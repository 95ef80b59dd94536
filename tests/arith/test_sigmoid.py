"""Sigmoid: every input at one shift, and samples and corners at the others."""

import numpy as np

from sterna.golden.sigmoid import sigmoid
from sterna_rtl.arith.sigmoid import Sigmoid
from sterna_sim.kit import Case, Stalls, UnitBench, edited
from sterna_sim.kit.suite import bench_tests
from tests.arith.streamed import Streamed

INPUTS = np.arange(-(1 << 15), 1 << 15)
EXHAUSTIVE_SHIFT = 8
"""The shift at which the input is the table's argument as it is: all of the table is met."""


def corners(shift):
    """Inputs around both ends, zero and the clamp at +-8, which lies at 2**(shift + 7)."""
    around = np.array([0, -(1 << 15), (1 << 15) - 1, 1 << (shift + 7), -(1 << (shift + 7))])
    inputs = (around[:, None] + np.arange(-2, 3)).ravel()
    return inputs[(inputs >= INPUTS[0]) & (inputs <= INPUTS[-1])]


def case(inputs, shift):
    outputs = [{"result": result} for result in sigmoid(inputs.astype(np.int64), shift)]
    # One clock through the queue behind it.
    clocks = len(inputs) + Sigmoid.latency + 1
    return Case({"i": inputs}, {"o": outputs}, {"shift": shift}, clocks=clocks, name=f"{shift=}")


class SigmoidBench(UnitBench):
    """Equal to the golden function; one result per clock."""

    name = "sigmoid"
    configs = {"samples": 24}
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"))
    bugs = {
        name: lambda _, old=old, new=new: streamed(edited(Sigmoid, old, new))
        for name, old, new in (
            ("no clamp", "| beyond.replicate(_MAGNITUDE_BITS)", ""),
            ("rounds down", "C(1 << (_REST_BITS - 1), _REST_BITS)", "C(0, _REST_BITS)"),
            ("sign too early", "negative[2]", "negative[1]"),
            (
                "1 less one bit",
                "negative[1].replicate(16)) + negative[1]",
                "negative[1].replicate(16))",
            ),
        )
    }

    def dut(self, config):
        return streamed(Sigmoid)

    def cases(self, config, rng):
        for shift in range(16):
            yield case(np.concatenate([corners(shift), rng.choice(INPUTS, config)]), shift)


class ExhaustiveBench(SigmoidBench):
    """All inputs at one shift, in the compiled unit."""

    name = "sigmoid-exhaustive"
    configs = {"all": None}
    cocotb_configs = ("all",)
    stalls = (Stalls(),)
    reset_test = False

    def cases(self, config, rng):
        yield case(INPUTS, EXHAUSTIVE_SHIFT)


def streamed(unit):
    return Streamed(unit(), "value", ["result"], ["shift"])


test_samples, _, test_planted_bugs = bench_tests(SigmoidBench())
_, test_exhaustive, _ = bench_tests(ExhaustiveBench())
