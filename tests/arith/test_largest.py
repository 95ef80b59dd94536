"""Largest: signed and unsigned numbers, ties, every place."""

import numpy as np
from amaranth import *

from sterna_rtl.arith.largest import Largest
from sterna_sim.kit import Case, UnitBench, bench_tests, edited
from tests.arith.streamed import Streamed


def streamed(config, unit=Largest):
    return Streamed(unit(*config), "values", ["value", "number"])


def broken(old, new):
    return lambda config: streamed(config, edited(Largest, old, new))


class LargestBench(UnitBench):
    """NumPy's argmax; one set of numbers per clock."""

    name = "largest"
    configs = {"signed": (signed(6), 8), "unsigned": (unsigned(4), 2)}
    bugs = {
        "last of equals": broken("(left - right)[-1]", "right >= left"),
        "number of the left one": broken(
            "Cat(Mux(greater, right_number", "Cat(Mux(0, right_number"
        ),
        "smallest": broken("(left - right)[-1]", "left > right"),
        "a bit short": broken("(left - right)[-1]", "(left - right)[-2]"),
    }

    def dut(self, config):
        return streamed(config)

    def cases(self, config, rng):
        shape, count = config
        ends = Shape.cast(shape)
        low = -1 << ends.width - 1 if ends.signed else 0
        high = low + (1 << ends.width)
        for name, values in {
            "random": rng.integers(low, high, (200, count)),
            "ends": rng.choice([low, high - 1], (40, count)),
            "ties": rng.integers(0, 2, (80, count)),
        }.items():
            results = [{"value": int(row.max()), "number": int(np.argmax(row))} for row in values]
            yield Case({"i": values}, {"o": results}, name=name)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LargestBench())
