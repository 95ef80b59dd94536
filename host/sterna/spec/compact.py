"""The compact arithmetic of a small chip: its memories, its passes and the programs made of them.

A *pass* goes once over a vector, an element a clock, and does the same to each:

    result[i] = clamp((a[i] * b[i] >> shift) + addend[i])

A *program* is a few passes, one after the other; together they are one operation of the epilogue,
or a part of the quantizer. The rows of `rom` are what the gateware executes.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from enum import IntEnum

from sterna.spec.tables import GUMBEL_FRACTION

__all__ = [
    "CELLS",
    "COLUMNS",
    "FACTOR_WORDS",
    "FRACTION_ONE",
    "LONGEST",
    "NOISE_WORDS",
    "PAGE",
    "PASS_BITS",
    "PASS_FIELDS",
    "PROGRAMS",
    "PROGRAM_BITS",
    "SCORE_SHIFT",
    "STARTS",
    "STEP_BITS",
    "SUM_BITS",
    "TAPE_WORDS",
    "VECTOR_WORDS",
    "WORK_WORDS",
    "Cell",
    "Page",
    "Pass",
    "Place",
    "Program",
    "Shift",
    "rom",
]

COLUMNS = 24
"""Columns of a block: weights of a word, activations that the lanes hold."""

TAPE_WORDS = 1 << 14
"""Words of the tape."""

LONGEST = 288
"""Elements of the longest vector."""

SUM_BITS = 17
"""Row sums of `LONGEST` activations, signed."""

NOISE_WORDS = 1 << 9
"""Words of noise, in the same memory as that many row sums and behind them."""

SCORE_SHIFT = GUMBEL_FRACTION
"""Places by which an addend moves up before it is added to a product that is compared."""

WORK_WORDS, FACTOR_WORDS, VECTOR_WORDS = 1 << 10, 1 << 9, 1 << 14
"""Words of the three memories. Work, factors and the row sums beside them have 18 bits, signed;
vectors have 16."""

PAGE = 32
"""Words by which the places in the work memory are counted."""

FRACTION_ONE = 65536
"""1 with 16 fraction bits."""

PROGRAM_BITS, STEP_BITS = 5, 3
"""Of the number of a program, and of a pass in it."""


class Page(IntEnum):
    """First page of what lies in the work memory."""

    X = 0  #: the residual, 96
    Y = 3  #: pre-activations; what is quantised
    SCRATCH = 12
    OTHER = 21  #: what an operation needs until it is done
    FINE = 30  #: one word that is there from the start, 256: eight more fraction bits


class Cell(IntEnum):
    """Constants at the end of the factors. The first three are there from the start."""

    ONE = 0  #: 1
    MINUS_ONE = 1  #: -1
    FINE = 2  #: 256
    MANTISSA = 3  #: output scale of the segment, unsigned 16 bits
    RECIPROCAL = 4  #: of the largest product, unsigned 17 bits


CELLS = FACTOR_WORDS - 8
"""Where the constants begin."""

STARTS: dict[str, dict[int, int]] = {
    "work": {Page.FINE * PAGE: 256},
    "factor": {CELLS + Cell.ONE: 1, CELLS + Cell.MINUS_ONE: -1, CELLS + Cell.FINE: 256},
}
"""What lies in the memories from the start, by its address."""


class Place(IntEnum):
    """Numbers of the places in the vector memory that a segment works with."""

    STATE = 0
    BOUND = 1  #: lower bound, unsigned 16 fraction bits
    SUM_WEIGHTS = 2  #: w1 of the results
    WEIGHTS = 3  #: w12 of the results, or of the source whose largest product is wanted
    QUANTISE = 4  #: w12 of the source that is quantised
    ONE = 5  #: a vector of ones
    MINUS_ONE = 6  #: a vector of -1
    TEMPERATURE = 7  #: a vector of the temperature in units of the logits, unsigned


class Shift(IntEnum):
    """Numbers of the amounts by which products move right."""

    NONE = 0  #: 0
    SQUARE = 1  #: 15: products with w1
    FRACTION = 2  #: 16
    SCALE = 3  #: the segment's output scale; of 32 it is 16, twice
    SIGMOID = 4  #: `sigmoid_shift`
    OUT = 5  #: `out_shift`
    RESIDUAL = 6  #: `residual_shift`
    CUT = 7  #: to 17 bits of the largest product; 0 if that is less
    ACTIVATION = 8  #: 26, less by as many places as the largest product has too few


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass does to each element.

    Attributes
    ----------
    sums : bool
        The first operand is a row sum; otherwise it lies in the work memory.
    noise : bool
        It is noise, from behind the row sums.
    page : Page
        Where.
    fixed_page : bool
        It is the same word for all elements.
    vector : bool
        The second operand lies in the vector memory; otherwise it is a factor.
    place : Place
        Where; also where `to_vector` writes.
    plain : bool
        Words of the vector memory are unsigned.
    fixed : bool
        The factor is the same for all elements, and that is the `cell`.
    cell : Cell
    adds : bool
        The element's factor is added.
    adds_one : bool
        `FRACTION_ONE` is.
    shift : Shift
    rounds : bool
        To nearest, halves upwards; otherwise down.
    wide : bool
        The result is clamped to 18 bits, otherwise to 16.
    counts : bool
        Clamped results are counted.
    sigmoid : bool
        The result is the sigmoid of what was clamped, of 12 fraction bits; it has 16.
    complement : bool
        It is one less the sigmoid.
    to_work, to_factor, to_vector, to_engine : bool
        Where the result goes: to `target` in the work memory, to the factors, to `place`; its lower
        eight bits to the engine.
    target : Page
    squares : bool
        Products are summed up, all of them not negative.
    largest : bool
        The largest magnitude of a product is kept, and the first element that has it.
    signed : bool
        The largest product is, not the largest magnitude. To each product the addend is added,
        `SCORE_SHIFT` places up.
    """

    sums: bool = False
    noise: bool = False
    page: Page = Page.X
    fixed_page: bool = False
    vector: bool = False
    place: Place = Place.STATE
    plain: bool = False
    fixed: bool = False
    cell: Cell = Cell.ONE
    adds: bool = False
    adds_one: bool = False
    shift: Shift = Shift.NONE
    rounds: bool = False
    wide: bool = False
    counts: bool = False
    sigmoid: bool = False
    complement: bool = False
    to_work: bool = False
    to_factor: bool = False
    to_vector: bool = False
    to_engine: bool = False
    target: Page = Page.X
    squares: bool = False
    largest: bool = False
    signed: bool = False


_WIDTHS = {"page": 5, "target": 5, "place": 3, "cell": 3, "shift": 4}

PASS_FIELDS = (*((field.name, _WIDTHS.get(field.name, 1)) for field in fields(Pass)), ("last", 1))
"""Name and bits of each field of a row of `rom`, lowest bits first. `last` ends a program."""

PASS_BITS = sum(bits for _, bits in PASS_FIELDS)


class Program(IntEnum):
    """The programs. A segment is its `SUMS`, its operation and, if it gathers, statistics."""

    SUMS = 0  #: y = clamp(row sum * mantissa >> shift)
    FAR_SUMS = 1  #: the same for a shift of 32
    EMBED = 2  #: x = y, where the row sums are an embedding row; and the second sum of squares
    SILU = 3  #: scratch = y * sigmoid(y) >> out_shift
    STATE = 4  #: h = f * h + (1 - f) * scratch without a lower bound
    BOUNDED_STATE = 5  #: the same with a lower bound
    GATE = 6  #: scratch = y * silu(h) >> out_shift, and the second sum of squares
    PRODUCT = 7  #: scratch = y * scratch >> out_shift
    RESIDUAL = 8  #: x = (x >> residual_shift) + y, and the second sum of squares
    STATISTICS = 9  #: of x: largest product, sum of squares
    SCRATCH_STATISTICS = 10  #: of scratch: the same
    PLAIN_STATISTICS = 11  #: of scratch, where w1 is one
    LARGEST = 12  #: largest product of x alone
    CUT = 13  #: products of x with w12, cut to 18 bits
    CUT_SCRATCH = 14  #: the same of scratch
    ACTIVATE = 15  #: cut products, times the reciprocal, to the engine
    SCORE = 16  #: of the logits with their noise: the largest
    SET_FACTORS = 17  #: what was written as sums, to the factors: a `Cell`
    LOAD = 18  #: sums to the vectors, at `Place.STATE`
    SHOW_VECTORS = 19  #: products of sums with the vectors at `Place.STATE`; the last one stays
    SHOW_X = 20  #: of x; the last one stays
    SHOW_SCRATCH = 21  #: of scratch; the last one stays
    SHOW_Y = 22  #: of pre-activations, which may be logits; the last one stays


def _copy(**others) -> Pass:
    return Pass(fixed=True, cell=Cell.ONE, wide=True, **others)


def _sigmoid(**others) -> Pass:
    """Sigmoid of the pre-activations."""
    return Pass(
        page=Page.Y, fixed=True, cell=Cell.FINE, shift=Shift.SIGMOID, sigmoid=True, **others
    )


def _state(bounded: bool) -> tuple[Pass, ...]:
    """Let r be 1 - f: that of the sigmoid alone, less its product with the lower bound."""
    bound = (
        Pass(
            page=Page.OTHER, vector=True, place=Place.BOUND, plain=True, shift=Shift.FRACTION,
            rounds=True, wide=True, to_work=True, target=Page.Y,
        ),
        Pass(
            page=Page.Y, vector=True, place=Place.MINUS_ONE, adds=True, wide=True,
            to_work=True, target=Page.OTHER, to_factor=True,
        ),
    )  # fmt: skip
    return (
        _sigmoid(complement=True, to_work=True, target=Page.OTHER, to_factor=True),
        *(bound if bounded else ()),
        Pass(page=Page.SCRATCH, shift=Shift.OUT, rounds=True, wide=True, to_factor=True),
        Pass(
            page=Page.OTHER, fixed=True, cell=Cell.MINUS_ONE, adds_one=True, wide=True,
            to_work=True, target=Page.OTHER,
        ),
        Pass(
            page=Page.OTHER, vector=True, place=Place.STATE, adds=True, shift=Shift.FRACTION,
            rounds=True, counts=True, to_work=True, target=Page.Y,
        ),
        Pass(page=Page.Y, fixed=True, cell=Cell.ONE, place=Place.STATE, to_vector=True),
    )  # fmt: skip


def _products(page: Page) -> Pass:
    """Find the largest product with w12."""
    return Pass(page=page, vector=True, place=Place.WEIGHTS, largest=True)


def _statistics(page: Page) -> tuple[Pass, ...]:
    return (
        _products(page),
        Pass(
            page=page, vector=True, place=Place.SUM_WEIGHTS, shift=Shift.SQUARE, rounds=True,
            wide=True, to_work=True, target=Page.OTHER, to_factor=True,
        ),
        _squares(Page.OTHER),
    )  # fmt: skip


def _squares(page: Page) -> Pass:
    """Sum up the squares of what lies both in the work memory and in the factors."""
    return Pass(page=page, squares=True)


def _cut(page: Page) -> Pass:
    return Pass(
        page=page, vector=True, place=Place.QUANTISE, shift=Shift.CUT, wide=True,
        to_work=True, target=Page.Y,
    )  # fmt: skip


PROGRAMS: dict[Program, tuple[Pass, ...]] = {
    Program.SUMS: (
        Pass(
            sums=True, fixed=True, cell=Cell.MANTISSA, shift=Shift.SCALE, rounds=True, counts=True,
            to_work=True, target=Page.Y, to_factor=True,
        ),
    ),
    # Half of the last bit of 32 is half of the last one of 16, once 16 bits are gone.
    Program.FAR_SUMS: (
        Pass(
            sums=True, fixed=True, cell=Cell.MANTISSA, shift=Shift.FRACTION, wide=True,
            to_work=True, target=Page.Y,
        ),
        Pass(
            page=Page.Y, fixed=True, cell=Cell.ONE, shift=Shift.FRACTION, rounds=True, counts=True,
            to_work=True, target=Page.Y, to_factor=True,
        ),
    ),
    Program.EMBED: (
        Pass(page=Page.Y, fixed=True, cell=Cell.ONE, to_work=True, target=Page.X),
        _squares(Page.X),
    ),
    Program.SILU: (
        _sigmoid(to_factor=True),
        Pass(
            page=Page.Y, shift=Shift.OUT, rounds=True, wide=True, counts=True,
            to_work=True, target=Page.SCRATCH,
        ),
    ),
    Program.STATE: _state(bounded=False),
    Program.BOUNDED_STATE: _state(bounded=True),
    Program.GATE: (
        _squares(Page.Y),
        Pass(
            page=Page.FINE, fixed_page=True, vector=True, place=Place.STATE, shift=Shift.SIGMOID,
            sigmoid=True, to_work=True, target=Page.OTHER,
        ),
        Pass(
            page=Page.OTHER, vector=True, place=Place.STATE, shift=Shift.FRACTION, rounds=True,
            to_factor=True,
        ),
        Pass(
            page=Page.Y, shift=Shift.OUT, rounds=True, wide=True, counts=True,
            to_work=True, target=Page.SCRATCH,
        ),
    ),
    Program.PRODUCT: (
        Pass(
            page=Page.SCRATCH, shift=Shift.OUT, rounds=True, wide=True, counts=True,
            to_work=True, target=Page.SCRATCH, to_factor=True,
        ),
    ),
    Program.RESIDUAL: (
        Pass(
            page=Page.X, vector=True, place=Place.ONE, adds=True, shift=Shift.RESIDUAL,
            rounds=True, counts=True, to_work=True, target=Page.X, to_factor=True,
        ),
        _squares(Page.X),
    ),
    Program.STATISTICS: _statistics(Page.X),
    Program.SCRATCH_STATISTICS: _statistics(Page.SCRATCH),
    Program.PLAIN_STATISTICS: (_products(Page.SCRATCH), _squares(Page.SCRATCH)),
    Program.LARGEST: (_products(Page.X),),
    Program.CUT: (_cut(Page.X),),
    Program.CUT_SCRATCH: (_cut(Page.SCRATCH),),
    Program.ACTIVATE: (
        Pass(
            page=Page.Y, fixed=True, cell=Cell.RECIPROCAL, shift=Shift.ACTIVATION, rounds=True,
            to_engine=True,
        ),
    ),
    Program.SCORE: (
        Pass(
            sums=True, noise=True, vector=True, place=Place.TEMPERATURE, plain=True, adds=True,
            largest=True, signed=True,
        ),
    ),
    Program.SET_FACTORS: (_copy(sums=True, to_factor=True),),
    Program.LOAD: (_copy(sums=True, to_vector=True),),
    Program.SHOW_VECTORS: (Pass(sums=True, vector=True, wide=True),),
    Program.SHOW_X: (_copy(page=Page.X),),
    Program.SHOW_SCRATCH: (_copy(page=Page.SCRATCH),),
    Program.SHOW_Y: (_copy(page=Page.Y),),
}  # fmt: skip
"""The passes of each program."""


def rom() -> list[int]:
    """Return all passes as rows of `PASS_FIELDS`: pass s of program p is row p * 8 + s."""
    rows = [0] * (1 << PROGRAM_BITS + STEP_BITS)
    for program, passes in PROGRAMS.items():
        for step, item in enumerate(passes):
            values = (*astuple(item), step == len(passes) - 1)
            position = 0
            for value, (_, bits) in zip(values, PASS_FIELDS, strict=True):
                rows[(program << STEP_BITS) + step] |= int(value) << position
                position += bits
    return rows
