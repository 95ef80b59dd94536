"""Segments of a model on the compact arithmetic: its programs beside the golden functions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sterna.golden import epilogue, quantizer, statistics
from sterna.golden.compact import Done, Memories, execute
from sterna.golden.epilogue import Counters
from sterna.golden.sampler import Sampler, gumbel, uniforms
from sterna.spec.compact import (
    CELLS,
    COLUMNS,
    LONGEST,
    NOISE_WORDS,
    PAGE,
    Cell,
    Page,
    Place,
    Program,
    Shift,
)
from sterna.spec.fixed import normalise
from sterna.spec.program import Op

__all__ = ["OPERATIONS", "STATISTICS", "Commands", "Segments"]

_PLACES = {place: 512 * place for place in Place}
OPERATIONS = {
    Op.EMBED: Program.EMBED,
    Op.SILU: Program.SILU,
    Op.GATE: Program.GATE,
    Op.PRODUCT: Program.PRODUCT,
    Op.RESIDUAL: Program.RESIDUAL,
}
STATISTICS = {
    Op.EMBED: Program.STATISTICS,
    Op.RESIDUAL: Program.STATISTICS,
    Op.GATE: Program.SCRATCH_STATISTICS,
    Op.PRODUCT: Program.PLAIN_STATISTICS,
}


@dataclass
class Commands:
    """Programs on one setting of the memories: before, after, and what each has left."""

    before: Memories
    memories: Memories
    commands: list[dict[str, int]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)

    def run(self, program: Program, first: int, last: int) -> Done:
        self.commands.append({"program": program, "first": first, "last": last})
        self.done.append(execute(program, first, last, self.memories))
        return self.done[-1]


class Segments:
    """Draw segments and execute each both ways; a difference is an error.

    Parameters
    ----------
    rng : numpy.random.Generator
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.counters = Counters()

    def drawn(self, bits: int, size: int, unsigned: bool = False) -> np.ndarray:
        """Numbers of all magnitudes, extremes among them."""
        rng = self.rng
        low, high = (0, (1 << bits) - 1) if unsigned else (1 - (1 << bits - 1), (1 << bits - 1) - 1)
        values = rng.integers(low, high + 1, size)
        values >>= rng.integers(0, bits, size) * (rng.random(size) < 0.3)
        extremes = rng.choice(
            [low, high, high - 1, low + 1, 0, 1, *([] if unsigned else [-1])], size
        )
        return np.where(rng.random(size) < 0.2, extremes, values)

    def start(self) -> Commands:
        """Return commands, none yet, on memories full of numbers."""
        memories = [Memories(), Memories()]
        first, rng = memories[0], self.rng
        first.sums[:LONGEST] = np.where(
            rng.random(LONGEST) < 0.5, self.drawn(17, LONGEST), self.drawn(16, LONGEST) - 1
        )
        first.work[: Page.FINE * PAGE] = self.drawn(18, Page.FINE * PAGE)
        first.work[: Page.Y * PAGE] = self.drawn(16, Page.Y * PAGE)
        first.factors[:LONGEST] = self.drawn(18, LONGEST)
        first.vectors[:] = self.drawn(16, len(first.vectors), unsigned=True)
        # Weights fill 16 bits, and so may be -32768; states do not.
        states = slice(_PLACES[Place.STATE], _PLACES[Place.STATE] + LONGEST)
        first.vectors[states] = self.drawn(16, LONGEST) & 0xFFFF
        for place, value in ((Place.ONE, 1), (Place.MINUS_ONE, 0xFFFF)):
            first.vectors[_PLACES[place] :][:LONGEST] = value
        first.places[:] = list(_PLACES.values())
        first.shifts[Shift.SIGMOID] = rng.integers(16)
        first.shifts[Shift.OUT] = rng.choice([rng.integers(8, 20), rng.integers(32)])
        first.shifts[Shift.RESIDUAL] = rng.choice([0, rng.integers(16)])
        mantissas = [0, 65535, *[1 << 15] * 3, *rng.integers(1 << 15, 1 << 16, 7)]
        first.set(Cell.MANTISSA, rng.choice(mantissas))
        for name in ("sums", "work", "factors", "vectors", "activations", "places", "shifts"):
            setattr(memories[1], name, getattr(first, name).copy())
        return Commands(*memories)

    def operation(self, op: Op, first: int, last: int, *, bounded: bool, shift: int) -> Commands:
        """Return one segment from its row sums to its statistics.

        With a `shift` of 15 the row sums may be the pre-activations as they are.
        """
        commands = self.start()
        memories, before = commands.memories, self.counters.saturations
        part = slice(first, last + 1)
        if op is Op.EMBED:
            memories.sums[:] >>= 9
            commands.before.sums[:] >>= 9
        bits = memories.shifts, commands.before.shifts
        for shifts in bits:
            shifts[Shift.SCALE] = shift % 32
        mantissa = int(memories.factors[CELLS + Cell.MANTISSA])
        y = epilogue.pre_activation(
            memories.sums[None, part], np.array([[mantissa]]), np.array([[shift]]), self.counters
        )
        x, scratch, h = (self.of(commands.before, name, part) for name in ("x", "scratch", "h"))
        bound = commands.before.vectors[_PLACES[Place.BOUND] :][part]
        sigmoid, out, counters = *map(int, bits[0][[Shift.SIGMOID, Shift.OUT]]), self.counters
        second = None
        match op:
            case Op.EMBED:
                x = second = epilogue.residual(y, np.zeros_like(y), 0, counters)
            case Op.SILU:
                scratch = epilogue.silu(y, sigmoid, out, counters)
            case Op.STATE:
                lower = bound if bounded else 0
                h = epilogue.state(y, h[0], scratch, lower, sigmoid, out, counters)
            case Op.GATE:
                scratch, second = epilogue.gate(y, h, sigmoid, out, counters), y
            case Op.PRODUCT:
                scratch = epilogue.product(y, scratch, out, counters)
            case Op.RESIDUAL:
                old = int(bits[0][Shift.RESIDUAL])
                x = second = epilogue.residual(y, x, old, counters)

        done = [commands.run(Program.FAR_SUMS if shift == 32 else Program.SUMS, first, last)]
        if op is Op.STATE:
            state = Program.BOUNDED_STATE if bounded else Program.STATE
            done.append(commands.run(state, first, last))
        elif op is not Op.LOGITS:
            done.append(commands.run(OPERATIONS[op], first, last))
        assert sum(item.clamped for item in done) == self.counters.saturations - before, op
        if op not in (Op.STATE, Op.GATE, Op.PRODUCT):
            assert (self.of(memories, "y", part) == y).all()
        if op is not Op.LOGITS:
            for name, expected in (("x", x), ("scratch", scratch), ("h", h)):
                short = expected[:, : Page.Y * PAGE - first]  # there is no more of x
                assert (self.of(memories, name, part)[:, : short.size] == short).all(), (op, name)
        if op.gathers:
            target = x if op in (Op.EMBED, Op.RESIDUAL) else scratch
            self._statistics(commands, op, part, target, second)
        return commands

    def _statistics(self, commands: Commands, op: Op, part: slice, target, second) -> None:
        w1, w12 = (
            self.weights(commands, place, part) for place in (Place.SUM_WEIGHTS, Place.WEIGHTS)
        )
        expected = statistics.statistics(target, None if op is Op.PRODUCT else w1, w12, second)
        sum2 = commands.done[-1].total
        done = commands.run(STATISTICS[op], part.start, part.stop - 1)
        assert [done.largest] == expected.largest, op
        assert [done.total] == expected.sum1, op
        assert [sum2] == expected.sum2, op

    def quantise(self, source: str, first: int, last: int, *, width: int) -> Commands:
        """Return the quantisation of a vector of about so many bits, in blocks."""
        commands = self.start()
        part = slice(first, last + 1)
        page = Page.X if source == "x" else Page.SCRATCH
        bits = 16 if source == "x" else 18
        for memories in (commands.before, commands.memories):
            memories.work[page * PAGE :][part] >>= bits - width
        value = self.of(commands.before, source, part)
        w12 = self.weights(commands, Place.QUANTISE, part)
        largest = statistics.largest_product(value, w12)
        mantissa, exponent = normalise(largest[0], quantizer.MAXIMUM_BITS)
        for memories in (commands.before, commands.memories):
            memories.set(Cell.RECIPROCAL, quantizer.reciprocal(mantissa))
            memories.shifts[Shift.CUT] = max(exponent, 0)
            memories.shifts[Shift.ACTIVATION] = quantizer.RECIPROCAL_SHIFT + min(exponent, 0)
        if source == "x":
            # The pass that looks for it alone.
            for memories in (commands.before, commands.memories):
                memories.places[Place.WEIGHTS] = memories.places[Place.QUANTISE]
            assert commands.run(Program.LARGEST, first, last).largest == largest[0]
        for begin in range(first, last + 1, COLUMNS):
            block = begin, min(begin + COLUMNS - 1, last)
            commands.run(Program.CUT if source == "x" else Program.CUT_SCRATCH, *block)
            commands.run(Program.ACTIVATE, *block)
        expected = quantizer.quantise(value, w12, largest)
        assert (commands.memories.activations[None, part] == expected).all()
        return commands

    def score(self, first: int, last: int) -> Commands:
        """Return the choice among logits with noise, of a temperature that matters."""
        commands, rng, part = self.start(), self.rng, slice(first, last + 1)
        sampler = Sampler(
            int(rng.choice([0, 65535, rng.integers(1 << 16)])), int(rng.integers(1, 1 << 63))
        )
        logits = self.drawn(16, last + 1 - first)
        noise = gumbel(uniforms(sampler.state, len(logits)))
        for memories in (commands.before, commands.memories):
            memories.factors[part] = logits
            memories.sums[NOISE_WORDS:][part] = noise
            memories.vectors[_PLACES[Place.TEMPERATURE] :][part] = sampler.temperature
        done = commands.run(Program.SCORE, first, last)
        scores = sampler.scores(logits)
        assert done.rest - (1 << 33) == scores.max()
        assert done.element - first == scores.argmax() == sampler.draw(logits)
        return commands

    @staticmethod
    def weights(commands: Commands, place: Place, part: slice) -> np.ndarray:
        """Return signed words of the vector memory."""
        return (
            commands.before.vectors[_PLACES[place] :][part]
            .astype(np.uint16)
            .view(np.int16)
            .astype(np.int64)
        )

    @staticmethod
    def of(memories: Memories, name: str, part: slice) -> np.ndarray:
        """Return a vector [1, n]."""
        if name == "h":
            words = memories.vectors[_PLACES[Place.STATE] :][part]
            return words.astype(np.uint16).view(np.int16).astype(np.int64)[None]
        page = {"x": Page.X, "y": Page.Y, "scratch": Page.SCRATCH}[name]
        return memories.work[page * PAGE :][part].copy()[None]
