"""Where a chip cuts a model's matrices, and how large its RAMs must be: from the outline alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sterna.errors import InputError
from sterna.model.model import Model
from sterna.model.outline import Outline
from sterna.spec.chip import ChipConfig
from sterna.spec.compact_chip import PIECES, RECORD_WORDS
from sterna.spec.memories import external
from sterna.spec.program import Op, Stats, Step
from sterna.spec.tape import header_words, headers_in_word
from sterna.spec.trits import Packing

__all__ = [
    "Cut",
    "absent",
    "ceil_div",
    "check_fit",
    "check_memory",
    "cuts",
    "fit",
    "needs",
    "row_blocks",
    "tape_blocks",
    "weight_words",
]


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment: some rows of a step.

    Attributes
    ----------
    number : int
        Of its step.
    step : Step
    row, rows : int
        First row and how many.
    groups, blocks : int
        Words per block, R rows each; blocks of C columns.
    stats : Stats
        Of the segment: all but a step's first keep what the first has found.
    """

    number: int
    step: Step
    row: int
    rows: int
    groups: int
    blocks: int
    stats: Stats

    @property
    def words(self) -> int:
        """Weight words on the tape."""
        return self.groups * self.blocks


def ceil_div(value: int, unit: int) -> int:
    """Return how many units hold a value."""
    return -(-value // unit)


def cuts(steps: Iterable[Step], config: ChipConfig) -> Iterator[Cut]:
    """Cut steps into segments so that each fits the partial sums.

    With several slots it must also fit half a ring, for it stays there until the last has read it;
    one slot frees each word as it reads it.

    Raises
    ------
    InputError
        If half of the ring does not hold the fewest rows that can be cut off.
    """
    for number, step in enumerate(steps):
        blocks, most = ceil_div(step.columns, config.columns), _most_rows(step, config)
        for row in range(0, step.rows, most):
            rows = min(most, step.rows - row)
            groups = ceil_div(rows, config.rows)
            stats = step.stats if row == 0 else Stats.KEEP
            yield Cut(number, step, row, rows, groups, blocks, stats)


def weight_words(steps: Iterable[Step], config: ChipConfig) -> int:
    """Words of the tape that hold weights; cuts are at whole words."""
    return sum(ceil_div(s.rows, config.rows) * ceil_div(s.columns, config.columns) for s in steps)


def _segments(step: Step, config: ChipConfig) -> int:
    return ceil_div(step.rows, _most_rows(step, config))


def _most_rows(step: Step, config: ChipConfig) -> int:
    """Rows of all segments of a step but the last."""
    if step.op is Op.EMBED:
        return step.rows
    unit = max(config.rows, config.elements)
    groups = config.psum_words
    if config.ring_words and config.slots > 1:
        groups = min(groups, config.ring_words // 2 // ceil_div(step.columns, config.columns))
    most = groups * config.rows // unit * unit
    if most == 0:
        raise InputError(
            f"ring_words = {config.ring_words} is too few: half of it does not hold {unit} rows of "
            f"{step.name}"
        )
    return most


def needs(outline: Outline, config: ChipConfig) -> dict[str, int]:
    """Least value of each size of the configuration with which the chip holds this model.

    Only the lanes, `psum_words`, `ring_words` and `slots` of the configuration count.
    """
    shape, elements = outline.shape, config.elements
    tape = weight_words(outline.steps, config)
    headers = sum(_segments(step, config) for step in outline.steps)
    bits = config.word_bits
    if config.compact:
        tape += headers * RECORD_WORDS // PIECES
    else:
        tape += ceil_div(headers, headers_in_word(bits)) * header_words(bits)
    vectors_a = {step.vector_a: step.rows for step in outline.steps if step.vector_a}
    vectors_b = {step.vector_q: step.columns for step in outline.steps if step.vector_q}
    sides = [
        sum(ceil_div(count, elements) for count in vectors)
        for vectors in ([shape.vocab, *vectors_a.values()], vectors_b.values())
    ]
    return {
        "tape_words": tape,
        "vector_a_words": sides[0],
        "vector_b_words": sides[1],
        "embedding_bits": outline.embedding_bits,
        "embedding_words": shape.vocab * ceil_div(shape.hidden, elements),
        "residual_words": ceil_div(shape.hidden, elements),
        "scratch_words": ceil_div(max(shape.width, shape.intermediate), elements),
        "state_words": shape.layers * ceil_div(shape.width, elements),
        "max_columns": max(step.columns for step in outline.steps),
        "max_vocab": shape.vocab,
    }


def absent(config: ChipConfig) -> set[str]:
    """Sizes of RAMs that a chip does not have because something else is in their place."""
    names = {"tape_words"} if config.ring_words else set()
    return names | {"embedding_words"} if config.memory else names


def row_blocks(hidden: int, config: ChipConfig) -> int:
    """Blocks of the memory that a row of the embedding fills."""
    elements = ceil_div(hidden, config.elements) * config.elements
    return ceil_div(elements * config.embedding_bits, external(config.memory).block_bits)


def tape_blocks(words: int, config: ChipConfig) -> int:
    """Blocks of the memory that a tape fills; a tape word begins with a word of the memory."""
    memory = external(config.memory)
    return ceil_div(words * ceil_div(config.word_bits, memory.word_bits), memory.block_words)


def check_memory(outline: Outline, config: ChipConfig) -> None:
    """Compare what tape and embedding need with what the memory beside a chip holds.

    Raises
    ------
    InputError
        If they are more.
    """
    shape = outline.shape
    need = tape_blocks(needs(outline, config)["tape_words"], config)
    need += shape.vocab * row_blocks(shape.hidden, config)
    have = external(config.memory).blocks
    if need > have:
        size = external(config.memory).block_bits // 8
        raise InputError(
            f"the model needs {need * size:,} bytes of the memory {config.memory}, which holds "
            f"{have * size:,}; choose a chip with another memory or another model"
        )


def check_fit(needed: dict[str, int], config: ChipConfig) -> None:
    """Compare what a model needs with what a chip has.

    Raises
    ------
    InputError
        With the first size that is too small, what is needed and what there is.
    """
    for name, need in needed.items():
        have = getattr(config, name)
        if need > have:
            raise InputError(
                f"the model needs {name} = {need}, the chip has {have}; "
                "choose a larger chip configuration or another model"
            )


def fit(
    model: Model | Outline,
    *,
    rows: int,
    columns: int,
    elements: int,
    packing: Packing,
    psum_words: int | None = None,
    slots: int = 1,
    ring_words: int = 0,
    memory: str = "",
) -> ChipConfig:
    """Return the smallest configuration with these lanes that holds a model."""
    outline = model if isinstance(model, Outline) else Outline.of(model)
    depths = ("tape", "vector_a", "vector_b", "embedding", "residual", "scratch", "state")
    unlimited: dict[str, Any] = {f"{name}_words": 1 << 24 for name in depths}
    if ring_words:
        unlimited["tape_words"] = 0
    if memory:
        unlimited["embedding_words"] = 0
    config = ChipConfig(
        rows=rows,
        columns=columns,
        elements=elements,
        packing=packing,
        embedding_bits=8,
        psum_words=psum_words or ceil_div(max(step.rows for step in outline.steps), rows),
        max_columns=max(step.columns for step in outline.steps),
        max_vocab=outline.shape.vocab,
        slots=slots,
        ring_words=ring_words,
        memory=memory,
        **unlimited,
    )
    needed = needs(outline, config)
    return replace(config, **{name: needed[name] for name in needed.keys() - absent(config)})
