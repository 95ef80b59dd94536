"""Core and Compute behind one stream of steps: what is written, begun, executed and waited for."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In

from sterna.golden import quantizer
from sterna.golden.compact import Done, Memories, execute
from sterna.golden.engine import row_sums
from sterna.golden.sampler import gumbel, uniforms
from sterna.spec.compact import (
    CELLS,
    COLUMNS,
    LONGEST,
    NOISE_WORDS,
    PROGRAM_BITS,
    PROGRAMS,
    TAPE_WORDS,
    VECTOR_WORDS,
    Cell,
    Place,
    Program,
    Shift,
)
from sterna.spec.fixed import normalise
from sterna_rtl.compact.arithmetic import Arithmetic
from sterna_rtl.compact.lanes import Lanes
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, Memory

__all__ = ["Played", "Script", "Step"]

BEHIND = 5
"""Clocks from a block's command to the first pass of `SUMS`."""


class Step(IntEnum):
    """What a step does. All but the last three take a clock."""

    SUMS = 0  #: write a word of the row sums, or of another memory:
    PLACE = 1
    SHIFT = 2
    TAPE = 3
    SEEK = 4  #: let the tape go on from an address
    PIECE = 5  #: give a piece of the noise's state
    BLOCK = 6  #: begin a block, `data` are its command's bits
    NOISE = 7  #: begin to make noise up to the element `data`
    RUN = 8  #: execute the command `data`
    ENDED = 9  #: wait for the end of the block
    MADE = 10  #: wait for the end of the noise


_DATA = 2 * COLUMNS
_INDEX_BITS = (LONGEST - 1).bit_length()
STEP = StructLayout({"what": 4, "address": 14, "data": _DATA})
_PORTS = {Step.SUMS: "sums", Step.PLACE: "place", Step.SHIFT: "shift", Step.TAPE: "tape"}


class Played(Component):
    """Do a step after the other."""

    def __init__(self, unit: Component) -> None:
        self.unit = unit
        members = unit.signature.members
        self.whole = "i_block" in members
        activation = {} if self.whole else {"activation": members["activation"]}
        super().__init__({"i": In(stream.Signature(STEP)), "o": members["o"], **activation})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        step = self.i.payload
        connect_stream(m, unit.o, self.o)
        m.d.comb += [
            self.i.ready.eq(1),
            Value.cast(unit.i.payload).eq(step.data),
            unit.i.valid.eq(self.i.valid & (step.what == Step.RUN)),
        ]
        for what, name in _PORTS.items():
            if hasattr(unit, f"new_{name}"):
                port = getattr(unit, f"new_{name}")
                m.d.comb += [
                    port.enable.eq(self.i.valid & (step.what == what)),
                    port.address.eq(step.address),
                    port.data.eq(step.data),
                ]
        with m.If(step.what == Step.RUN):
            m.d.comb += self.i.ready.eq(unit.i.ready)
        if self.whole:
            m.d.comb += [
                unit.tape_address.eq(step.address),
                unit.seeks.eq(self.i.valid & (step.what == Step.SEEK)),
                unit.piece.eq(step.data),
                unit.loads.eq(self.i.valid & (step.what == Step.PIECE)),
            ]
            for port, begins, waits in (
                (unit.i_block, Step.BLOCK, Step.ENDED),
                (unit.i_noise, Step.NOISE, Step.MADE),
            ):
                with m.If(transfers(port)):
                    m.d.sync += port.valid.eq(0)
                with m.If(self.i.valid & (step.what == begins)):
                    m.d.sync += [port.valid.eq(1), Value.cast(port.payload).eq(step.data)]
                with m.If(step.what == waits):
                    m.d.comb += self.i.ready.eq(~port.valid)
        else:
            for name in ("enable", "address", "data"):
                m.d.comb += getattr(self.activation, name).eq(getattr(unit.activation, name))
        return m


class Script:
    """Steps, and what they leave, by the golden functions; with the clocks that they take.

    Each place of the vector memory holds as many words as a vector has.

    Parameters
    ----------
    rng : numpy.random.Generator
    elements : int
        Elements of a vector, a multiple of `COLUMNS`.
    """

    def __init__(self, rng: np.random.Generator, elements: int) -> None:
        self.rng, self.elements = rng, elements
        self.memories = Memories()
        self.steps: list[dict[str, int]] = []
        self.done: list[Done] = []
        self.clocks = self.noise_ends = 0
        self.block: list[np.ndarray] = []  # activations of the next one
        self.sums = np.zeros(0, dtype=np.int64)
        part = VECTOR_WORDS // len(Place)
        starts = rng.integers(LONGEST, part - LONGEST, len(Place))
        starts += rng.permutation(len(Place)) * part
        self.places = dict(zip(Place, starts.tolist(), strict=True))
        for shift, amount in ((Shift.NONE, 0), (Shift.SQUARE, 15), (Shift.FRACTION, 16)):
            self.shift(shift, amount)

    def step(self, what: Step, address: int = 0, data: int = 0) -> None:
        self.steps.append({"what": what, "address": address, "data": data % (1 << _DATA)})
        self.clocks += 1

    def place(self, place: Place, address: int) -> None:
        self.step(Step.PLACE, place, address)
        self.memories.places[place] = address

    def shift(self, shift: Shift, amount: int) -> None:
        self.step(Step.SHIFT, shift, amount)
        self.memories.shifts[shift] = amount

    def row_sums(self, values: np.ndarray, first: int = 0) -> None:
        for row, value in enumerate(values.tolist(), first):
            self.step(Step.SUMS, row, value)
            self.memories.sums[row] = value

    def run(self, program: Program, first: int = 0, last: int | None = None) -> Done:
        """Execute a program, on all elements if nothing else is said."""
        last = self.elements - 1 if last is None else last
        self.step(Step.RUN, 0, program | (first | last << _INDEX_BITS) << PROGRAM_BITS)
        self.clocks += len(PROGRAMS[program]) * (last + 1 - first + Arithmetic.overhead)
        self.done.append(execute(program, first, last, self.memories))
        return self.done[-1]

    def constant(self, cell: Cell, value: int) -> None:
        self.row_sums(np.array([value]), CELLS + cell)
        self.run(Program.SET_FACTORS, CELLS + cell, CELLS + cell)

    def scale(self, mantissa: int, shift: int) -> None:
        self.constant(Cell.MANTISSA, mantissa)
        self.shift(Shift.SCALE, shift)

    def load(self, place: Place, values: np.ndarray) -> None:
        """Bring words to a place of the vectors."""
        self.place(Place.STATE, self.places[place])
        self.row_sums(values)
        self.run(Program.LOAD)

    def loads(self) -> None:
        """Bring words to all places, and set these and what a segment's shifts are."""
        rng, size = self.rng, self.elements
        words = {place: rng.integers(-(1 << 15), 1 << 15, size) for place in Place}
        words |= {Place.ONE: np.ones(size, np.int64), Place.MINUS_ONE: -np.ones(size, np.int64)}
        words[Place.QUANTISE] = words[Place.WEIGHTS]  # whose products have the largest
        for place, values in words.items():
            self.load(place, values)
        for place, address in self.places.items():
            self.place(place, address)
        shifts = {Shift.SIGMOID: 12, Shift.OUT: 16, Shift.RESIDUAL: 3}
        for shift, most in shifts.items():
            self.shift(shift, int(rng.integers(most)))

    def shows(self, place: Place, element: int) -> None:
        """See an element of a place, counted from somewhere before it."""
        before = int(self.rng.integers(LONGEST - element))
        self.place(Place.STATE, self.places[place] - before)
        self.row_sums(np.ones(1, np.int64), element + before)
        self.run(Program.SHOW_VECTORS, element + before, element + before)

    def drawn_sums(self, size: int = 16) -> None:
        self.row_sums(self.rng.integers(1 - (1 << size), 1 << size, self.elements))

    def set_quantiser(self, largest: int) -> None:
        """Set what the largest product says."""
        mantissa, exponent = normalise(largest, quantizer.MAXIMUM_BITS)
        self.constant(Cell.RECIPROCAL, quantizer.reciprocal(mantissa))
        self.shift(Shift.CUT, max(exponent, 0))
        self.shift(Shift.ACTIVATION, quantizer.RECIPROCAL_SHIFT + min(exponent, 0))

    def activate(self, cut: Program, first: int) -> None:
        """Cut and activate what the next block needs."""
        last = first + COLUMNS - 1
        self.run(cut, first, last)
        self.run(Program.ACTIVATE, first, last)
        self.block.append(self.memories.activations[first : last + 1].astype(np.int8))

    def matrix(self, cut: Program, rows: int) -> None:
        """Pass a matrix, beside its blocks cut the next one's source, or read the sums behind."""
        rng, words = self.rng, rows * self.elements // COLUMNS
        first = int(rng.integers(TAPE_WORDS - words))
        trits = rng.integers(-1, 2, (rows, self.elements))
        at = first
        for column in range(0, self.elements, COLUMNS):
            for row in trits[:, column : column + COLUMNS].tolist():
                word = sum(((t != 0) | (t < 0) << 1) << 2 * n for n, t in enumerate(row))
                self.step(Step.TAPE, at, word)
                at += 1
        self.step(Step.SEEK, first)
        self.block.clear()
        self.activate(cut, 0)
        for column in range(0, self.elements, COLUMNS):
            begins, ends = column == 0, column + COLUMNS == self.elements
            self.step(Step.BLOCK, 0, rows - 1 | (begins | ends << 1) << _INDEX_BITS)
            end = self.clocks + rows + Lanes.latency + 3
            if ends:
                activations = np.concatenate(self.block)
                self.memories.sums[:rows] = row_sums(activations[None], trits.astype(np.int8))[0]
                for _ in range(BEHIND):
                    self.place(Place.ONE, self.places[Place.ONE])
                self.run(Program.SUMS, 0, rows - 1)
            else:
                self.activate(cut, column + COLUMNS)
            self.step(Step.ENDED)
            self.clocks = max(self.clocks, end)

    def noise(self, state: int, last: int) -> None:
        """Begin to make noise; it is there once it has been waited for."""
        for piece in range(4):
            self.step(Step.PIECE, 0, state >> 16 * piece & 0xFFFF)
        self.step(Step.NOISE, 0, last)
        self.memories.sums[NOISE_WORDS:][: last + 1] = gumbel(uniforms(state, last + 1))
        self.noise_ends = self.clocks + 34 * (last + 1)  # at most

    def choices(self) -> None:
        """Wait for the noise; choose among all elements, and of each alone see its score."""
        self.step(Step.MADE)
        self.clocks = max(self.clocks, self.noise_ends)
        self.run(Program.SCORE)
        for element in range(self.elements):
            self.run(Program.SCORE, element, element)

    def case(self, name: str, activations: bool) -> Case:
        """Return what was written down."""
        port = "activation__enable", "activation__address", "activation__data"
        expected = self.memories.activations.tolist()
        memory = Memory([0] * len(expected), (), [port], expected=expected, name="activations")
        return Case(
            {"i": self.steps},
            {"o": [{name: getattr(done, name) for name in _LEFT} for done in self.done]},
            memories=[memory] if activations else [],
            clocks=self.clocks + 1,
            name=name,
        )


_LEFT = "total", "rest", "more", "element", "clamped", "result"
