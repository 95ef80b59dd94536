"""Bench of the quantizer: vectors as the epilogue writes them, jobs as the tape has them."""

from __future__ import annotations

import numpy as np

from sterna.golden import quantizer as golden
from sterna.golden import scale, statistics
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS, RESIDUAL_BITS, SCALE_BITS, SCRATCH_BITS, VECTOR_BITS
from sterna.spec.program import Op, Stats
from sterna.spec.trits import Packing
from sterna_rtl.datapath.quantizer import Quantizer
from sterna_sim.kit import Case, Memory, Stalls, UnitBench, edited

__all__ = ["QuantizerBench", "WideBench", "chip", "random_constants", "random_vector"]

SLOTS = 8
"""Vectors in each side RAM."""


def chip(columns: int, elements: int, words: int = 9) -> ChipConfig:
    """Return a small chip with banks of some words; side RAMs hold `SLOTS` vectors."""
    return ChipConfig(
        rows=1,
        columns=columns,
        elements=elements,
        packing=Packing.TWO_BITS,
        tape_words=16,
        vector_a_words=SLOTS * words,
        vector_b_words=SLOTS * words,
        embedding_bits=8,
        embedding_words=16,
        residual_words=words,
        scratch_words=words,
        state_words=16,
        psum_words=64,
        max_columns=words * elements,
        max_vocab=64,
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
            "residual": np.zeros(config.residual_words * config.elements, dtype=np.int64),
            "scratch": np.zeros(config.scratch_words * config.elements, dtype=np.int64),
        }
        count = config.vector_a_words * config.elements
        self.weights = {name: np.zeros(count, dtype=np.int64) for name in "ab"}
        # As after a reset: everything that can be kept is zero.
        self.bank, self.slot, self.length = "residual", 0, 1
        self.statistics = statistics.Statistics([0], [0], [0])
        self.root = 0, 0
        self._begin()

    def _begin(self) -> None:
        self.inputs: dict[str, list] = {"i_results": [], "i_job": []}
        self.outputs: dict[str, list] = {"o_activations": [], "o_scale": []}
        # RAMs keep still during a case.
        self.free_slots = [slot for slot in range(SLOTS) if slot != self.slot]

    def _fill(self, ram: str, length: int) -> int:
        """Fill a slot of a side RAM; return the slot."""
        slot = self.free_slots.pop()
        part = self._vector(ram, slot)
        self._clear(part, length)
        part[:length] = random_vector(self.rng, VECTOR_BITS, length)
        return slot

    def _clear(self, part: np.ndarray, length: int) -> None:
        """Put zeros after a vector to the end of its last word, and anything behind it."""
        part[:] = self.rng.integers(-(1 << 15), 1 << 15, len(part))
        part[: self._words(length) * self.config.elements] = 0

    def _vector(self, ram: str, slot: int) -> np.ndarray:
        size = len(self.weights[ram]) // SLOTS
        return self.weights[ram][slot * size : (slot + 1) * size]

    def _address(self, slot: int) -> int:
        return slot * self.config.vector_a_words // SLOTS

    def _words(self, length: int) -> int:
        return -(-length // self.config.elements)

    def gather(self, length: int) -> None:
        """Write a vector to the other bank than that of the last one, and its results."""
        rng, elements, words = self.rng, self.config.elements, self._words(length)
        bank = "scratch" if self.bank == "residual" else "residual"
        values, second = np.zeros((2, words * elements), dtype=np.int64)
        bits = SCRATCH_BITS if bank == "scratch" else RESIDUAL_BITS
        values[:length] = random_vector(rng, bits, length)
        second[:length] = random_vector(rng, PRE_BITS, length)
        self._clear(self.banks[bank], length)
        self.banks[bank][: len(values)] = values
        slot1, slot12, unit = self._fill("a", length), self._fill("b", length), rng.random() < 0.2
        for word in range(words):
            part = slice(word * elements, (word + 1) * elements)
            self.inputs["i_results"].append(
                {
                    "values": values[part],
                    "second": second[part],
                    "vector_a": self._address(slot1) + word,
                    "vector_b": self._address(slot12) + word,
                    "unit": unit,
                    "first": word == 0,
                    "last": word == words - 1,
                }
            )
        w1, w12 = self._vector("a", slot1), self._vector("b", slot12)
        gathered = statistics.statistics(
            values[None],
            None if unit else w1[: len(values)],
            w12[: len(values)],
            second[None],
        )
        self.next = bank, slot12, length, gathered

    def fresh(self, **job) -> None:
        """Quantise what was gathered."""
        self.bank, self.slot, self.length, self.statistics = self.next
        self.job(Stats.FRESH, **job)

    def maximum(self, **job) -> None:
        """Quantise the same source with other weights."""
        self.slot = self._fill("b", self.length)
        self.job(Stats.MAXIMUM, **job)

    def job(self, stats: Stats, blocks: int | None = None) -> None:
        """Append a job and what must come of it."""
        config, rng = self.config, self.rng
        constants = random_constants(rng)
        eps = constants["eps_mantissa"], constants["eps_exponent"]
        count = self._words(self.length) * config.elements
        source = self.banks[self.bank][None, :count]
        w12 = self._vector("b", self.slot)[:count]
        known = self.statistics
        if stats is Stats.MAXIMUM:
            known.largest = statistics.largest_product(source, w12)
        if stats is Stats.FRESH:
            self.root = scale.inverse_root(
                scale.denominator(known.sum1[0], known.sum2[0], eps, constants["eps_constant"])
            )
        blocks = -(-count // config.columns) if blocks is None else blocks
        activations = np.zeros(blocks * config.columns, dtype=np.int64)
        activations[:count] = golden.quantise(source, w12, known.largest)[0]
        others = [op for op in Op if op not in (Op.EMBED, Op.RESIDUAL)]
        self.inputs["i_job"].append(
            {
                "op": Op.RESIDUAL if self.bank == "scratch" else rng.choice(others),
                "stats": stats,
                "blocks": blocks,
                "source_words": self._words(self.length),
                "vector_q": self._address(self.slot),
                **constants,
            }
        )
        self.outputs["o_activations"] += list(activations.reshape(-1, config.elements))
        constant = constants["scale_mantissa"], constants["scale_exponent"]
        mantissa, shift = scale.output_scale(known.largest[0], self.root, constant)
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
            Memory(content, [(f"{ram}_read__address", f"{ram}_read__data")], name=ram)
            for ram, content in words.items()
        ]
        case = Case(self.inputs, self.outputs, memories=memories, clocks=clocks, name=name)
        self._begin()
        return case


class QuantizerBench(UnitBench):
    """Vectors of all lengths, jobs of all kinds, results beside activations; then clocks."""

    name = "quantizer"
    configs = {
        "6-2": chip(6, 2),
        "1-1": chip(1, 1),
    }
    bug_configs = ("6-2",)
    drain = 60
    not_stalled = {"i_job": "accepted when the job is done, so never ready without one"}

    bugs = {
        name: lambda config, old=old, new=new: edited(Quantizer, old, new)(config)
        for name, old, new in (
            ("reads while results come", "read.quantise.eq(free & room)", "read.quantise.eq(room)"),
            ("no credits", "return room != 0,", "return C(1),"),
            ("a short queue", "activations, _QUEUE)", "activations, _QUEUE - 2)"),
            (
                "reciprocal of the next job",
                "return room != 0, quantises.any()",
                "return room != 0, C(0)",
            ),
            ("reciprocal too late", "wait.eq(reciprocal.latency - _SCALED)", "wait.eq(2)"),
            ("a slow barrier", "with m.If(wait == 1):", "with m.If(wait == 0):"),
            ("the other bank", "job.op == Op.RESIDUAL", "job.op != Op.RESIDUAL"),
            ("no zeros beyond the source", "with m.If(beyond[-1]):", "with m.If(0):"),
            (
                "beyond one word late",
                "beyond.eq(beyond | read.last)",
                "beyond.eq(beyond | (word == job.source_words))",
            ),
            ("a block too few", "block + 1 == job.blocks", "block + 2 == job.blocks"),
            (
                "first word not restarted",
                "[word.eq(0), weights.eq(job.vector_q)",
                "[weights.eq(job.vector_q)",
            ),
            ("rounds down", "+ scaled[RECIPROCAL_SHIFT - 1]", ""),
            (
                "unsigned products",
                "self.statistics.products[index], places",
                "abs(self.statistics.products[index]), places",
            ),
            (
                "places of the next vector",
                "with m.If(transfers(self.normalise.o)):\n            m.d.sync += places",
                "with m.If(self.normalise.o.valid):\n            m.d.sync += places",
            ),
            ("sums taken by any job", "transfers(request) & fresh", "transfers(request)"),
            ("job ends unasked", "self.i_job.ready.eq(~asks)", "self.i_job.ready.eq(1)"),
        )
    }

    def dut(self, config):
        return Quantizer(config)

    def cases(self, config, rng):
        player = Player(config, rng)
        longest = config.residual_words * config.elements
        for length in (longest, 1, longest, *rng.integers(1, longest + 1, 3)):
            yield from self._program(player, int(length))
        yield from self._timing(player, longest)

    def _program(self, player: Player, length: int):
        """A vector with jobs that keep the one before, as a cut matrix has them, and its own."""
        for _ in range(player.rng.integers(1, 3)):
            player.job(Stats.KEEP)
        player.gather(length)
        player.fresh(blocks=None)
        for _ in range(3):
            player.maximum() if player.rng.integers(2) else player.job(Stats.KEEP)
        yield player.case(f"length-{length}")

    def _timing(self, player: Player, length: int):
        """Each kind of job alone: first activations, a beat on every clock, the scale."""
        config = player.config
        barrier = 18 + max(config.elements.bit_length() - 2, 0)
        words, parts = length // config.elements, config.columns // config.elements
        blocks = -(-50 // parts)
        beats = blocks * parts
        player.gather(length)
        player.fresh(blocks=blocks)
        yield player.case("barrier", clocks=words + barrier + beats - 1)
        player.maximum(blocks=blocks)
        yield player.case("maximum", clocks=1 + words + barrier + beats - 1)
        player.job(Stats.KEEP, blocks=blocks)
        yield player.case("keep", clocks=1 + 7 + beats - 1)


class WideBench(QuantizerBench):
    """The same for more and wider words."""

    configs = {
        "64-8": chip(64, 8),
        "3-1": chip(3, 1),
        "4-4": chip(4, 4),
        "48-16": chip(48, 16, words=5),
    }
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
