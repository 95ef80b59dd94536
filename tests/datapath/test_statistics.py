"""Statistics: equal to the golden function; beats that do not count leave no trace."""

# amaranth: UnusedElaboratable=no

from itertools import pairwise

import numpy as np
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In

from sterna.golden.statistics import statistics
from sterna.spec.fixed import PRE_BITS, SCRATCH_BITS, VECTOR_BITS
from sterna_rtl.datapath.statistics import LARGEST, LARGEST_BITS, SUMS, Statistics, beat_layout
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.datapath.bench_quantizer import chip, random_vector


class Queued(Component):
    """The unit, with weights in its beats; several slots' statistics of results go into queues."""

    def __init__(self, config, unit=Statistics):
        self.config = config
        self.unit = unit(config)
        self.weights = {name: self.unit.signature.members[name].shape for name in ("w1", "w12")}
        self.beat = beat_layout(config)
        item = StructLayout({**self.beat.members, **self.weights})
        names = "o_largest", "o_measured", "o_sums"
        outputs = {name: self.unit.signature.members[name] for name in names}
        super().__init__({"i": In(stream.Signature(item)), **outputs})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.comb += [self.i.ready.eq(unit.i.ready), unit.i.valid.eq(self.i.valid)]
        for name in self.beat.members:
            m.d.comb += unit.i.payload[name].eq(self.i.payload[name])
        for name in self.weights:
            m.d.sync += getattr(unit, name).eq(self.i.payload[name])
        connect_stream(m, unit.o_measured, self.o_measured)
        for name, shape in ("o_largest", LARGEST), ("o_sums", SUMS):
            ours, theirs = getattr(self, name), getattr(unit, name)
            if self.config.slots > 1:
                m.submodules[f"queue_{name}"] = queue = Queue(shape, self.config.slots)
                connect_stream(m, theirs, queue.i)
                theirs = queue.o
            connect_stream(m, theirs, ours)
        return m


def near(rng, bits, times, shape):
    """Return values and weights of which all products are about the same, of either sign.

    With a multiple of x + d as value and x - d as weight they differ by that of small squares.
    """
    x = int(rng.integers(1 << bits - 1, (1 << bits) - 3))
    apart = rng.integers(-3, 4, shape)
    return rng.choice([-1, 1], shape) * times * (x + apart), x - apart


class Vectors:
    """Random vectors, or of given bits: their beats, and what is to be found.

    With `alone` the largest product of so many bits is a power of two; `times` makes all products
    nearly that of numbers of `bits`, times it.
    """

    def __init__(self, rng, words, elements, bits=None, alone=False, times=0, **kind):
        unit = rng.random() < 0.2
        values, second, w1, w12 = (
            random_vector(rng, bits, words * elements).reshape(words, elements)
            for bits in (SCRATCH_BITS, PRE_BITS, VECTOR_BITS, VECTOR_BITS)
        )
        if rng.random() < 0.3:
            w1[0], w12[0], values[0] = -(1 << 15), -(1 << 15), (1 << 17) - 1
        if times:
            values, w12 = near(rng, bits, times, (words, elements))
        elif bits == LARGEST_BITS and not alone:
            w1[:], w12[:] = -(1 << 15), -(1 << 15)
            values[:], second[:] = (1 << 17) - 1, (1 << 15) - 1
        elif bits is not None:
            # One product of so many bits.
            values[:] = 0
            of = rng.integers(words), rng.integers(elements)
            split = int(rng.integers(max(bits - 14, 1), min(bits, 17))) if bits < 31 else 17
            w12[of] = (int(rng.choice([-1, 1])) if bits < LARGEST_BITS else -1) << bits - split
            values[of] = 1 << split - 1 if alone else rng.integers(1 << split - 1, 1 << split)
            if alone:
                values[of] *= np.sign(w12[of])
        self.beats = [
            {
                "values": values[word],
                "second": second[word],
                "w1": w1[word],
                "w12": w12[word],
                "unit": unit,
                "first": word == 0,
                "last": word == words - 1,
                **kind,
            }
            for word in range(words)
        ]
        values, w1, w12, second = (part.reshape(1, -1) for part in (values, w1, w12, second))
        found = statistics(values, None if unit else w1, w12, second)
        self.largest = found.largest[0]
        self.negative = any(
            int(v) * int(w) == -int(self.largest) for v, w in zip(values[0], w12[0], strict=True)
        ) and not any(
            int(v) * int(w) == int(self.largest) for v, w in zip(values[0], w12[0], strict=True)
        )
        self.sums = {"sum1": found.sum1[0], "sum2": found.sum2[0]}

    def found(self):
        """Return the largest product and its zeros, counted before the 1 of a negative one."""
        counted = int(self.largest) - self.negative
        return {"value": self.largest, "places": min(LARGEST_BITS - counted.bit_length(), 31)}


class StatisticsBench(UnitBench):
    """A case has a vector of each slot's results at most, and one to be measured."""

    name = "statistics"
    configs = {f"{elements}": chip(elements, elements) for elements in (4, 1, 2, 8, 32)} | {
        f"{elements}-of-{slots}-slots": chip(elements, elements, slots=slots)
        for elements, slots in ((4, 2), (1, 3))
    }
    cocotb_configs = ()
    stalls = (
        Stalls(),
        Stalls("random", "random"),
        Stalls("long"),
        Stalls("3-in-4", "long"),
        Stalls(outputs="late"),
    )
    bugs = {
        name: lambda config, old=old, new=new: Queued(config, edited(Statistics, old, new))
        for name, old, new in (
            ("last of the four forgotten", "for key in candidates)", "for key in candidates[:-1])"),
            ("another of the four", 'Mux(less["01"], late[1], late[0])', "late[0]"),
            ("largest never cleared", "valid & (first | below)", "valid & below"),
            ("sums never cleared", "Mux(first, 0, accumulator)", "accumulator"),
            ("signed comparison", "^ sign.replicate(LARGEST_BITS)", ""),
            ("sign ignored in comparison", "Cat(sign, product[:-1]", "Cat(0, product[:-1]"),
            ("rounds down", "+ scaled[SUM_SHIFT - 1]", ""),
            ("w1 where there is none", "Mux(unit, C(1", "Mux(0, C(1"),
            ("second too early", "range(3)", "range(2)"),
            ("all beats count", "Cat(counts & self.i.valid,", "Cat(self.i.valid,"),
            ("idle clocks count", "Cat(counts & self.i.valid,", "Cat(counts,"),
            ("a square too narrow", "[: 2 * len(value) - 1], name", "[: 2 * len(value) - 3], name"),
            (
                "largest of results for the one measured",
                '("measure", self.o_measured, 1)',
                '("results", self.o_measured, 1)',
            ),
            ("sums of what is measured", "self.i.payload.results", "self.i.payload.measure"),
            ("one largest for all slots", "of_slot(every, slot).eq(larger)", "every[0].eq(larger)"),
            ("sums in one accumulator", "of_slot(every, slot)[name]", "every[0][name]"),
            (
                "largest of the next beat's slot",
                '_register(m, slot, f"found_slot_{name}")',
                "slot",
            ),
            ("sums of the next beat's slot", '_register(m, slot, "sums_slot")', "slot"),
        )
    }
    bug_configs = ("4-of-2-slots", "4")

    def dut(self, config):
        return Queued(config)

    def cases(self, config, rng):
        for words in (1, 9, *rng.integers(2, 9, 10)):
            kinds = rng.choice(["results", "both", "measure"], p=[0.4, 0.4, 0.2])
            yield self.one(config, rng, int(words), kinds)

    def one(self, config, rng, words, kinds, bits=None, **products):
        """Results of all slots or of none, part by part, with what is measured among them."""
        elements = config.elements
        order = rng.permutation(config.slots) if kinds != "measure" else []
        results = [
            Vectors(rng, words, elements, bits, slot=slot, results=1, measure=0, **products)
            for slot in order
        ]
        cuts = np.sort(rng.integers(words + 1, size=int(rng.integers(3)))).tolist()
        beats = [
            beat
            for start, stop in pairwise([0, *cuts, words])
            for vector in results
            for beat in vector.beats[start:stop]
        ]
        outputs = {
            "o_largest": [vector.found() for vector in results],
            "o_sums": [vector.sums for vector in results],
        }
        if kinds != "results":
            slot = rng.integers(config.slots)
            count = int(rng.integers(1, 9))
            kind = {"slot": slot, "results": 0, "measure": 1}
            measured = Vectors(rng, count, elements, bits, **kind, **products)
            outputs["o_measured"] = [measured.found()]
            places = np.sort(rng.integers(len(beats) + 1, size=count))
            for index, (place, beat) in enumerate(zip(places, measured.beats, strict=True)):
                beats.insert(place + index, beat)
        # Beats that do not count say anything.
        for place in sorted(rng.integers(len(beats), size=len(beats) // 2), reverse=True):
            other = {"results": 0, "measure": 0, "slot": rng.integers(config.slots)}
            other["first"], other["last"] = rng.integers(2, size=2)
            other["values"], other["second"] = rng.integers(-(1 << 15), 1 << 15, (2, elements))
            beats.insert(place, beats[place] | other)
        levels = elements.bit_length() - 1
        clocks = max(
            index + 1 + (5 + levels + (config.slots > 1) if kind == "results" else largest)
            for kind, largest in (("results", None), ("measure", 5 + max(levels - 1, 0)))
            for index, beat in enumerate(beats)
            if beat[kind]
        )
        return Case({"i": beats}, outputs, clocks=clocks, name=f"{words}-words-{kinds}")


class ManyBench(StatisticsBench):
    """Many vectors, and one so long that the sums' upper bits are used."""

    name = "statistics-many"
    configs = {name: StatisticsBench.configs[name] for name in ("4-of-2-slots", "1")}
    bug_configs = ("4-of-2-slots",)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        for words in rng.integers(1, 13, 80).tolist():
            yield self.one(config, rng, words, rng.choice(["results", "both", "measure"]))
        for bits in (*range(2, 31), *range(2, 31)):
            yield self.one(config, rng, 1, "both", bits)
        for bits in range(2, LARGEST_BITS + 1):
            yield self.one(config, rng, 1, "both", bits, alone=True)
        for bits in range(3, 16):
            for times in (1, 2, 4):
                yield self.one(config, rng, 2, "both", bits, times=times)
        of = {"slot": 0, "results": 1, "measure": 0}
        longest = Vectors(rng, 3000, config.elements, LARGEST_BITS, **of)
        outputs = {"o_largest": [longest.found()], "o_sums": [longest.sums]}
        yield Case({"i": longest.beats}, outputs, name="longest")


test_pysim, _, test_planted_bugs = bench_tests(StatisticsBench())
test_many, _, _ = bench_tests(ManyBench())


def test_widest_sums():
    """Extremes over the longest vector reach the sums' uppermost bits and no further."""
    limit = (1 << 17) - 1
    source = np.full((1, 1 << 16), limit)
    weights = np.full((1, 1 << 16), -(1 << 15))
    result = statistics(source, weights, weights, np.full_like(source, (1 << 15) - 1))
    assert result.sum1[0].bit_length() == 50
    assert result.largest[0].bit_length() == 32
