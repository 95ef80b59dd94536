"""Statistics: equal to the golden function; beats that do not count leave no trace."""

# amaranth: UnusedElaboratable=no

import numpy as np

from sterna.golden.statistics import statistics
from sterna.spec.fixed import PRE_BITS, SCRATCH_BITS, VECTOR_BITS
from sterna_rtl.datapath.statistics import Statistics
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.datapath.bench_quantizer import chip, random_vector


class StatisticsBench(UnitBench):
    """A vector per case, as they must not overtake each other."""

    name = "statistics"
    configs = {f"{elements}": chip(elements, elements) for elements in (4, 1, 2, 8, 32)}
    cocotb_configs = ()
    stalls = (
        Stalls(),
        Stalls("random", "random"),
        Stalls("long"),
        Stalls("3-in-4", "long"),
        Stalls(outputs="late"),
    )
    bugs = {
        name: lambda config, old=old, new=new: edited(Statistics, old, new)(config)
        for name, old, new in (
            ("second half of the pair", "| (pair[-1] > largest)", ""),
            ("largest never cleared", "valid & (first | (pair[0]", "valid & ((pair[0]"),
            ("sums never cleared", "Mux(first, 0, accumulator)", "accumulator"),
            ("signed comparison", "^ sign.replicate(LARGEST_BITS)", ""),
            ("sign ignored in comparison", "Cat(sign, product[:-1]", "Cat(0, product[:-1]"),
            ("rounds down", "+ scaled[SUM_SHIFT - 1]", ""),
            ("w1 where there is none", "m.If(self.i.payload.unit)", "m.If(0)"),
            ("second too early", "range(3)", "range(2)"),
            ("all beats count", "Cat(counts & self.i.valid,", "Cat(self.i.valid,"),
            ("idle clocks count", "Cat(counts & self.i.valid,", "Cat(counts,"),
            ("a square too narrow", "[: 2 * len(value) - 1], name", "[: 2 * len(value) - 3], name"),
        )
    }
    bug_configs = ("4",)

    def dut(self, config):
        return Statistics(config)

    def cases(self, config, rng):
        elements = config.elements
        levels = elements.bit_length() - 1
        for words in (1, 9, *rng.integers(2, 9, 10)):
            sums = rng.random() < 0.7
            unit = rng.random() < 0.2
            values, second, w1, w12 = (
                random_vector(rng, bits, words * elements).reshape(words, elements)
                for bits in (SCRATCH_BITS, PRE_BITS, VECTOR_BITS, VECTOR_BITS)
            )
            if rng.random() < 0.3:
                w1[0], w12[0], values[0] = -(1 << 15), -(1 << 15), (1 << 17) - 1
            beats = []
            for word in range(words):
                beat = {
                    "values": values[word],
                    "second": second[word],
                    "w1": w1[word],
                    "w12": w12[word],
                    "unit": unit,
                    "first": word == 0,
                    "last": word == words - 1,
                    "largest": 1,
                    "sums": sums,
                }
                ends = rng.integers(2, size=2)
                other = {"largest": 0, "sums": 0, "first": ends[0], "last": ends[1]}
                other["values"], other["second"] = rng.integers(-(1 << 15), 1 << 15, (2, elements))
                beats += [beat | other] * int(rng.integers(2)) + [beat]
            flat = [part.reshape(1, -1) for part in (values, w1, w12, second)]
            values, w1, w12, second = flat
            expected = statistics(values, None if unit else w1, w12, second)
            outputs = {"o_largest": expected.largest}
            if sums:
                outputs["o_sums"] = [{"sum1": expected.sum1[0], "sum2": expected.sum2[0]}]
            clocks = len(beats) + (5 + levels if sums else 4 + max(levels - 1, 0))
            yield Case({"i": beats}, outputs, clocks=clocks, name=f"{words}-words")


test_pysim, _, test_planted_bugs = bench_tests(StatisticsBench())


def test_widest_sums():
    """Extremes over the longest vector reach the sums' uppermost bits and no further."""
    limit = (1 << 17) - 1
    source = np.full((1, 1 << 16), limit)
    weights = np.full((1, 1 << 16), -(1 << 15))
    result = statistics(source, weights, weights, np.full_like(source, (1 << 15) - 1))
    assert result.sum1[0].bit_length() == 50
    assert result.largest[0].bit_length() == 32
