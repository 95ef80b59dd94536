"""Bench of the quantizer: vectors as the epilogue writes them, jobs as the tape has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from amaranth import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, connect, flipped

from sterna.golden import quantizer as golden
from sterna.golden import scale, statistics
from sterna.golden.statistics import Statistics
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS, RESIDUAL_BITS, SCALE_BITS, SCRATCH_BITS, VECTOR_BITS
from sterna.spec.program import Op, Stats
from sterna.spec.ram import BANK_WORDS
from sterna.spec.trits import Packing
from sterna_rtl.datapath.quantizer import Quantizer
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, Memory, Stalls, UnitBench, edited

__all__ = [
    "DeepBench",
    "ManyBench",
    "QuantizerBench",
    "WideBench",
    "chip",
    "random_constants",
    "random_vector",
]

PLACES = 8
"""Vectors in each side RAM, for each slot."""


def chip(
    columns: int,
    elements: int,
    words: int = 9,
    slots: int = 1,
    rows: int = 1,
    deep: bool = False,
) -> ChipConfig:
    """Return a small chip with banks of some words; side RAMs hold `PLACES` vectors a slot.

    `deep` ones have more than a bank.
    """
    side = PLACES * slots * words + deep * BANK_WORDS
    return ChipConfig(
        rows=rows,
        columns=columns,
        elements=elements,
        packing=Packing.TWO_BITS,
        tape_words=16,
        vector_a_words=side,
        vector_b_words=side,
        embedding_bits=8,
        embedding_words=16,
        residual_words=words,
        scratch_words=words + 1,
        state_words=16,
        psum_words=64,
        max_columns=words * elements,
        max_vocab=64,
        slots=slots,
    )


def random_vector(rng: np.random.Generator, bits: int, count: int) -> np.ndarray:
    """Return signed numbers of some bits: any, extremes, tiny, one or none that is not 0."""
    limit = (1 << (bits - 1)) - 1
    size = int(rng.choice([limit, limit >> int(rng.integers(bits)), 1]))
    values = rng.integers(-size, size + 1, count)
    match rng.integers(6):
        case 0:
            values = rng.choice([-limit, limit], count)
        case 1:
            values *= np.arange(count) == rng.integers(count)
        case 2 if rng.random() < 0.5:
            values[:] = 0
    return values


def random_constants(rng: np.random.Generator) -> dict[str, int]:
    """Return the header's constants of a scale: as they occur, and the corners."""
    low, high = 1 << (SCALE_BITS - 1), (1 << SCALE_BITS) - 1
    return {
        "scale_mantissa": int(rng.choice([0, low, high, *rng.integers(low, high + 1, 7)])),
        "scale_exponent": int(rng.choice([rng.integers(-128, 128), rng.integers(-40, 10)])),
        "eps_mantissa": int(rng.choice([0, low, high, *rng.integers(low, high + 1, 7)])),
        "eps_exponent": int(rng.choice([rng.integers(-128, 128), rng.integers(-50, -10)])),
        "eps_constant": int(rng.choice([0, (1 << 32) - 1, rng.integers(1 << 32)])),
    }


@dataclass
class Slot:
    """What the quantizer has to remember of a slot: as after a reset, everything is zero."""

    bank: str = "residual"
    place: int = 0
    length: int = 1
    statistics: Statistics = field(default_factory=lambda: Statistics([0], [0], [0]))
    root: tuple[int, int] = (0, 0)
    gathered: Slot | None = None  # what its next FRESH job goes on with


class Player:
    """Plays the epilogue and the tape: fills the banks, remembers what the quantizer has to.

    Parameters
    ----------
    config : ChipConfig
    rng : numpy.random.Generator
    """

    def __init__(self, config: ChipConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.rng = rng
        self.banks = {
            name: np.zeros((config.slots, words * config.elements), dtype=np.int64)
            for name, words in (
                ("residual", config.residual_words),
                ("scratch", config.scratch_words),
            )
        }
        self.places, size = PLACES * config.slots, config.residual_words * config.elements
        self.weights = {name: np.zeros((self.places, size), dtype=np.int64) for name in "ab"}
        self.slots = [Slot() for _ in range(config.slots)]
        self._begin()

    def _begin(self) -> None:
        self.inputs: dict[str, list] = {"i_results": [], "i_job": []}
        self.outputs: dict[str, list] = {"o_activations": [], "o_scale": []}
        # RAMs keep still during a case.
        used = {known.place for slot in self.slots for known in (slot, slot.gathered) if known}
        self.free_places = [place for place in range(self.places) if place not in used]

    def _fill(self, ram: str, length: int) -> int:
        """Fill a place of a side RAM; return the place."""
        place = self.free_places.pop()
        part = self.weights[ram][place]
        self._clear(part, length)
        part[:length] = random_vector(self.rng, VECTOR_BITS, length)
        return place

    def _clear(self, part: np.ndarray, length: int) -> None:
        """Put zeros after a vector to the end of its last word, and anything behind it."""
        part[:] = self.rng.integers(-(1 << 15), 1 << 15, len(part))
        part[: self._words(length) * self.config.elements] = 0

    def _words(self, length: int) -> int:
        return -(-length // self.config.elements)

    def gather(self, length: int, order: Sequence[int] = (0,), parts: int = 1) -> None:
        """Write a vector of each slot to its other bank: first parts of all, then second ones."""
        vectors = [self._results(length, slot) for slot in order]
        # Words are cut where they may be, so that some parts are empty.
        cuts = np.sort(self.rng.integers(self._words(length) + 1, size=parts - 1)).tolist()
        for start, stop in pairwise([0, *cuts, self._words(length)]):
            for beats in vectors:
                self.inputs["i_results"] += beats[start:stop]

    def _results(self, length: int, slot: int) -> list[dict]:
        """Write a vector to the other bank than that of the last one; return its results."""
        rng, elements, words = self.rng, self.config.elements, self._words(length)
        bank = "scratch" if self.slots[slot].bank == "residual" else "residual"
        values, second = np.zeros((2, words * elements), dtype=np.int64)
        bits = SCRATCH_BITS if bank == "scratch" else RESIDUAL_BITS
        values[:length] = random_vector(rng, bits, length)
        second[:length] = random_vector(rng, PRE_BITS, length)
        self._clear(self.banks[bank][slot], length)
        self.banks[bank][slot, : len(values)] = values
        place1, place12 = self._fill("a", length), self._fill("b", length)
        unit = rng.random() < 0.2
        gathered = statistics.statistics(
            values[None],
            None if unit else self.weights["a"][place1, : len(values)],
            self.weights["b"][place12, : len(values)],
            second[None],
        )
        self.slots[slot].gathered = Slot(bank, place12, length, gathered)
        return [
            {
                "values": values[word * elements : (word + 1) * elements],
                "second": second[word * elements : (word + 1) * elements],
                "vector_a": place1 * self.config.residual_words + word,
                "vector_b": place12 * self.config.residual_words + word,
                "unit": unit,
                "first": word == 0,
                "last": word == words - 1,
                "slot": slot,
            }
            for word in range(words)
        ]

    def fresh(self, slot: int = 0, **job) -> None:
        """Quantise what was gathered."""
        gathered = self.slots[slot].gathered
        assert gathered is not None
        self.slots[slot] = gathered
        self.job(Stats.FRESH, slot, **job)

    def maximum(self, slot: int = 0, **job) -> None:
        """Quantise the same source with other weights."""
        known = self.slots[slot]
        known.place = self._fill("b", known.length)
        self.job(Stats.MAXIMUM, slot, **job)

    def keep(self, slot: int = 0, **job) -> None:
        """Quantise the same source with the same weights."""
        self.job(Stats.KEEP, slot, **job)

    def job(self, stats: Stats, slot: int, blocks: int | None = None) -> None:
        """Append a job and what must come of it."""
        config, rng, known = self.config, self.rng, self.slots[slot]
        constants = random_constants(rng)
        eps = constants["eps_mantissa"], constants["eps_exponent"]
        count = self._words(known.length) * config.elements
        source = self.banks[known.bank][slot, None, :count]
        w12 = self.weights["b"][known.place, :count]
        of_source = known.statistics
        if stats is Stats.MAXIMUM:
            of_source.largest = statistics.largest_product(source, w12)
        if stats is Stats.FRESH:
            known.root = scale.inverse_root(
                scale.denominator(
                    of_source.sum1[0], of_source.sum2[0], eps, constants["eps_constant"]
                )
            )
        blocks = -(-count // config.columns) if blocks is None else blocks
        activations = np.zeros(blocks * config.columns, dtype=np.int64)
        activations[:count] = golden.quantise(source, w12, of_source.largest)[0]
        others = [op for op in Op if op not in (Op.EMBED, Op.RESIDUAL)]
        self.inputs["i_job"].append(
            {
                "op": Op.RESIDUAL if known.bank == "scratch" else rng.choice(others),
                "stats": stats,
                "blocks": blocks,
                "source_words": self._words(known.length),
                "vector_q": known.place * config.residual_words,
                "slot": slot,
                **constants,
            }
        )
        self.outputs["o_activations"] += list(activations.reshape(-1, config.elements))
        constant = constants["scale_mantissa"], constants["scale_exponent"]
        mantissa, shift = scale.output_scale(of_source.largest[0], known.root, constant)
        self.outputs["o_scale"].append({"mantissa": mantissa, "shift": shift})

    def case(self, name: str, clocks: int | None = None) -> Case:
        """Return everything since the last case."""
        elements = self.config.elements
        words = {name: bank.reshape(-1, elements).copy() for name, bank in self.banks.items()}
        words |= {
            f"vector_{name}": ram.reshape(-1, elements) & 0xFFFF
            for name, ram in self.weights.items()
        }
        memories = [
            Memory(
                content,
                [(f"{ram}_read__address", f"{ram}_read__data")],
                latency=self.config.side_clocks if ram.startswith("vector") else 1,
                name=ram,
            )
            for ram, content in words.items()
        ]
        case = Case(self.inputs, self.outputs, memories=memories, clocks=clocks, name=name)
        self._begin()
        return case


class Fed(Component):
    """The quantizer; where its norm weights lie comes with each result, which waits for them."""

    def __init__(self, config: ChipConfig, unit: Callable[..., Quantizer] = Quantizer) -> None:
        self.unit = unit(config)
        layouts = self.unit.layouts
        self.results, self.norms = layouts.results, layouts.norms
        item = StructLayout({**self.results.members, **self.norms.members})
        members = dict(self.unit.signature.members)
        del members["i_norms"]
        super().__init__({**members, "i_results": In(stream.Signature(item))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        for name in unit.signature.members:
            if name == "i_job":
                connect_stream(m, self.i_job, unit.i_job)
            elif name.startswith("o_"):
                connect_stream(m, getattr(unit, name), getattr(self, name))
            elif name.endswith("_read"):
                connect(m, getattr(unit, name), flipped(getattr(self, name)))
        ours, results, norms = self.i_results, unit.i_results, unit.i_norms
        m.d.comb += [ours.ready.eq(1), norms.valid.eq(ours.valid)]
        for name in self.norms.members:
            m.d.comb += norms.payload[name].eq(ours.payload[name])
        late = Signal.like(results.payload)
        for name in self.results.members:
            m.d.comb += late[name].eq(ours.payload[name])
        waits = delay_line(m, Cat(ours.valid, late), unit.config.side_clocks - 1, "waits")
        m.d.comb += Cat(results.valid, results.payload).eq(waits[-1])
        return m


class QuantizerBench(UnitBench):
    """Vectors of all lengths, jobs of all kinds, results beside activations; then clocks."""

    name = "quantizer"
    configs = {
        "6-2": chip(6, 2),
        "1-1": chip(1, 1),
        "6-2-of-2-slots": chip(6, 2, slots=2),
        "1-1-of-3-slots": chip(1, 1, words=6, slots=3),
        "2-2-of-2-slots-R-4": chip(2, 2, words=6, slots=2, rows=4),
    }
    slow_configs = ("1-1-of-3-slots", "2-2-of-2-slots-R-4")
    bug_configs = ("6-2-of-2-slots", "1-1-of-3-slots", "6-2")
    drain = 60
    not_stalled = {"i_job": "accepted when the job is done, so never ready without one"}

    bugs = {
        name: lambda config, old=old, new=new: Fed(config, edited(Quantizer, old, new))
        for name, old, new in (
            ("reads while results come", "read.quantise.eq(free & room)", "read.quantise.eq(room)"),
            ("no credits", "return some", "return C(1)"),
            ("a short queue", "activations, self.read_ahead)", "activations, _QUEUE)"),
            ("reciprocal not kept", "with m.If(reciprocal.done):", "with m.If(0):"),
            ("a slow barrier", "m.d.comb += reciprocal.load.eq", "m.d.sync += reciprocal.load.eq"),
            (
                "the other bank",
                "read.scratch.eq(job.op == Op.RESIDUAL)",
                "read.scratch.eq(job.op != Op.RESIDUAL)",
            ),
            ("the other bank's first word", "RESIDUAL, *starts", "RESIDUAL, *starts[::-1]"),
            ("no zeros beyond the source", "with m.If(beyond[-1]):", "with m.If(0):"),
            (
                "beyond one word late",
                "beyond.eq(beyond | read.last)",
                "beyond.eq(beyond | (word == job.source_words))",
            ),
            ("a block too few", "(block + 1 == job.blocks)", "(block + 2 == job.blocks)"),
            ("a job of one block", "(parts == 1) & (job.blocks == 1)", "0"),
            (
                "first word not restarted",
                "[word.eq(0), place.eq(",
                "[place.eq(",
            ),
            ("rounds down", "+ scaled[RECIPROCAL_SHIFT - 1]", ""),
            (
                "unsigned products",
                "self.statistics.products[index], places",
                "abs(self.statistics.products[index]), places",
            ),
            ("sums taken by any job", "transfers(request) & fresh", "transfers(request)"),
            ("job ends unasked", "with m.If(~unasked):", "with m.If(1):"),
            ("job of a beat ends unasked", "unasked = asks | reciprocal.load", "unasked = asks"),
            (
                "gathered for measured",
                "Mux(measures, measured.payload, largest.payload)",
                "largest.payload",
            ),
            ("results are measured", "eq(reads.measure)", "eq(reads.measure | gathers)"),
            ("source of the first slot", "first_word(self.config, bank, job.slot)", "C(0)"),
            (
                "results of the first slot",
                "beat.payload.slot.eq(results.payload.slot)",
                "beat.payload.slot.eq(0)",
            ),
            ("places of the next job's slot", "slots[self.scaled - 2]).places", "slots[0]).places"),
            ("reciprocal of the next job's slot", "slots[self.scaled - 1])", "slots[0])"),
            (
                "one reciprocal for all slots",
                "factors[wanted])",
                "factors[0])",
            ),
            (
                "one largest product for all slots",
                "kept = of_slot(self.kept, job.slot)",
                "kept = self.kept[0]",
            ),
            (
                "root of the first slot",
                "request.payload.slot.eq(job.slot)",
                "request.payload.slot.eq(0)",
            ),
            ("statistics of one slot wait", "Queue(shape, self.config.slots)", "Queue(shape, 1)"),
            (
                "statistics of the next slot dropped",
                "largest.ready.eq(~measures)",
                "largest.ready.eq(~measures | largest.valid)",
            ),
        )
    }

    def dut(self, config):
        return Fed(config)

    def cases(self, config, rng):
        player = Player(config, rng)
        longest = config.residual_words * config.elements
        for length in (longest, 1, longest, *rng.integers(1, longest + 1, 3)):
            yield from self._program(player, int(length))
        yield from self._timing(player, longest)

    def _program(self, player: Player, length: int):
        """A vector of each slot; jobs with what a slot had before, with its vector, and after it.

        Results come at any time from the first job on, those of a cut matrix in turns.
        """
        rng, slots = player.rng, player.config.slots
        order = rng.permutation(slots).tolist()
        player.gather(length, order, parts=int(rng.integers(1, 4)))
        # In turns: each slot's jobs are in order, and so are the FRESH ones of all slots.
        others = [int(slot) for slot in rng.integers(slots, size=3 * slots)]
        fresh = [(slot, player.fresh) for slot in order]
        jobs = [(slot, player.maximum if rng.integers(2) else player.keep) for slot in others]
        for index, job in zip(sorted(rng.integers(1, len(jobs), slots)), fresh, strict=True):
            jobs.insert(int(index) + fresh.index(job), job)
        for slot, job in jobs:
            job(slot)
        yield player.case(f"length-{length}")

    def _timing(self, player: Player, length: int):
        """Each kind of job alone: first activations, a beat on every clock, the scale."""
        config = player.config
        several, slot = config.slots > 1, config.slots - 1
        later = config.side_clocks - 2
        barrier = 12 + max(config.elements.bit_length() - 2, 0) + several + later
        words, parts = length // config.elements, config.columns // config.elements
        blocks = -(-50 // parts)
        beats = blocks * parts
        player.gather(length, [slot])
        player.fresh(slot, blocks=blocks)
        # The results wait for their weights.
        yield player.case("barrier", clocks=1 + later + words + barrier + beats - 1)
        player.maximum(slot, blocks=blocks)
        yield player.case("maximum", clocks=2 + words + later + barrier - several + beats - 1)
        player.keep(slot, blocks=blocks)
        yield player.case("keep", clocks=1 + 7 + later + beats - 1)
        player.gather(length, [slot])
        yield player.case("results")
        player.fresh(slot, blocks=blocks)
        yield player.case("fresh", clocks=1 + 8 + later + beats - 1)


class WideBench(QuantizerBench):
    """The same for more and wider words."""

    configs = {
        "64-8": chip(64, 8),
        "3-1": chip(3, 1),
        "4-4": chip(4, 4),
        "48-16": chip(48, 16, words=5),
        "8-4-of-3-slots": chip(8, 4, words=5, slots=3),
        "2-2-of-2-slots-deep": chip(2, 2, words=6, slots=2, rows=4, deep=True),
    }
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))


class ManyBench(QuantizerBench):
    """Many programs on the unit whose mutants are judged."""

    name = "quantizer-many"
    configs = {"6-2-of-2-slots": QuantizerBench.configs["6-2-of-2-slots"]}
    cocotb_configs = tuple(configs)
    bug_configs = cocotb_configs
    stalls = (Stalls(),)

    def cases(self, config, rng):
        player = Player(config, rng)
        longest = config.residual_words * config.elements
        for length in rng.integers(1, longest + 1, 150).tolist():
            yield from self._program(player, length)
            if rng.random() < 0.1:
                player.keep(int(rng.integers(config.slots)), blocks=int(rng.integers(100)) + 1)
                yield player.case("many blocks")
        player.keep(0, blocks=1500)
        yield player.case("very many blocks")


class DeepBench(QuantizerBench):
    """The same with side RAMs that take more clocks."""

    name = "quantizer-deep"
    configs = {"2-2-deep": chip(2, 2, deep=True)}
    bug_configs = ("2-2-deep",)
    bugs = {
        name: lambda config, old=old, new=new: Fed(config, edited(Quantizer, old, new))
        for name, old, new in (
            ("job ends before it can ask", " | self.coming", ""),
            (
                "source of another clock",
                'delay_line(m, place, max(self.later - 1, 0), "place")[-1]',
                "place",
            ),
            ("known too early", ".eq(late[-1])", ".eq(late[0])"),
        )
    }
