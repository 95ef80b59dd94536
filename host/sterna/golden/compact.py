"""What the passes of `sterna.spec.compact` do to the memories, in NumPy.

The operations themselves are specified by the other files here; the tests compare both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterna.golden.sigmoid import sigmoid
from sterna.spec.compact import (
    CELLS,
    FACTOR_WORDS,
    FRACTION_ONE,
    NOISE_WORDS,
    PAGE,
    PROGRAMS,
    SCORE_SHIFT,
    STARTS,
    VECTOR_WORDS,
    WORK_WORDS,
    Cell,
    Pass,
    Place,
    Program,
    Shift,
)
from sterna.spec.fixed import (
    ACTIVATION_MAX,
    RESIDUAL_BITS,
    SCRATCH_BITS,
    SUM_SHIFT,
    VECTOR_BITS,
    round_shift,
    saturate,
)

__all__ = ["Done", "Memories", "execute"]

_SCORE_BITS = 34
"""Bits of a signed product that is compared."""

_SIGMOID_SHIFT = 8
"""`sigmoid` of a number with 12 fraction bits."""


@dataclass
class Done:
    """What a program leaves behind besides what it writes.

    Attributes
    ----------
    total : int
        Sum of the products of its pass that sums them up.
    rest, more, element : int
        ``rest + more`` is the largest magnitude of a product in its pass that looks for it, found
        first at the `element`. `more` is 1 if only negative products have it. Where products are
        signed, `rest` is the largest one and 2**33. All are 0 if no product was larger.
    clamped : int
        Results that were clamped where a pass counts them.
    result : int
        The last pass's last one, before its sigmoid.
    """

    total: int = 0
    rest: int = 0
    more: int = 0
    element: int = 0
    clamped: int = 0
    result: int = 0

    @property
    def largest(self) -> int:
        """Largest magnitude."""
        return self.rest + self.more


class Memories:
    """All that a pass can read and write, int64.

    Attributes
    ----------
    sums, work, factors, vectors, activations : numpy.ndarray
        Row sums, and the noise behind them; the three memories, words of the vectors unsigned;
        activations for the engine.
    places, shifts : numpy.ndarray
        Set for a segment, by `Place` and `Shift`.
    """

    def __init__(self) -> None:
        self.sums = np.zeros(2 * NOISE_WORDS, dtype=np.int64)
        self.work = np.zeros(WORK_WORDS, dtype=np.int64)
        self.factors = np.zeros(FACTOR_WORDS, dtype=np.int64)
        self.vectors = np.zeros(VECTOR_WORDS, dtype=np.int64)
        self.activations = np.zeros(FACTOR_WORDS, dtype=np.int64)
        self.places = np.zeros(len(Place), dtype=np.int64)
        self.shifts = np.zeros(len(Shift), dtype=np.int64)
        for memory, name in ((self.work, "work"), (self.factors, "factor")):
            for address, value in STARTS[name].items():
                memory[address] = value
        self.shifts[Shift.SQUARE], self.shifts[Shift.FRACTION] = SUM_SHIFT, VECTOR_BITS

    def set(self, cell: Cell, value: int) -> None:
        """Set a constant among the factors."""
        self.factors[CELLS + cell] = value


def execute(program: Program, first: int, last: int, memories: Memories) -> Done:
    """Execute a program on elements `first` to `last`; change the memories."""
    done = Done()
    for item in PROGRAMS[program]:
        _execute(item, np.arange(first, last + 1), memories, done)
    return done


def _execute(item: Pass, index: np.ndarray, memories: Memories, done: Done) -> None:
    place = (memories.places[item.place] + index) % VECTOR_WORDS
    vector = memories.vectors[place]
    if not item.plain:
        vector = vector - (vector >> VECTOR_BITS - 1 << VECTOR_BITS)
    work = np.zeros_like(index) if item.fixed_page else index
    factor = memories.factors[np.full_like(index, CELLS + item.cell) if item.fixed else index]
    sums = memories.sums[index + item.noise * NOISE_WORDS]
    a = sums if item.sums else memories.work[item.page * PAGE + work]
    product = a * (vector if item.vector else factor)
    if item.squares:
        done.total = int(product.sum())
    addend = factor * item.adds + FRACTION_ONE * item.adds_one
    if item.largest:
        # Of equal magnitudes a positive product is the larger one.
        score = product + (addend << SCORE_SHIFT) + (1 << _SCORE_BITS - 1)
        key = score if item.signed else 2 * abs(product) + (product > 0)
        best = int(key.argmax())
        if key[best]:
            done.element = int(index[best])
            done.more = int(not item.signed and product[best] < 0)
            done.rest = int(key[best]) if item.signed else int(abs(product[best])) - done.more

    shift = int(memories.shifts[item.shift])
    moved = round_shift(product, shift) if item.rounds else product >> shift
    result, clamped = saturate(moved + addend, SCRATCH_BITS if item.wide else RESIDUAL_BITS)
    done.clamped += clamped * item.counts
    done.result = int(result[-1])
    if item.sigmoid:
        result = sigmoid(result, _SIGMOID_SHIFT)
        result = FRACTION_ONE - result if item.complement else result
    if item.to_work:
        memories.work[item.target * PAGE + index] = result
    if item.to_factor:
        memories.factors[index] = result
    if item.to_vector:
        memories.vectors[place] = result & (1 << VECTOR_BITS) - 1
    if item.to_engine:
        memories.activations[index] = np.clip(result, -ACTIVATION_MAX, ACTIVATION_MAX)
