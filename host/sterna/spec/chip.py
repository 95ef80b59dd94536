"""Chip configuration: everything that sizes a chip, in one frozen, validated, hashed object."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from sterna.errors import InputError
from sterna.spec.memories import MEMORIES
from sterna.spec.ram import BANK_WORDS, BANKED_CLOCKS
from sterna.spec.trits import Packing

__all__ = ["COMPACT", "ICEBREAKER", "MAX_SLOTS", "REFERENCE", "ChipConfig"]

_EXTRAS = ("top_k", "log_probability", "memory", "compact")
"""Parts that a chip may have besides. A chip without them has the digest that it had before there
were any."""

_LEAST_RING = 16
"""Words of a ring beside a memory: a block of the memory and what is on the way must fit half."""

MAX_SLOTS = 8
"""Most slots of a chip; registers name one by three bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipConfig:
    """Sizes of a chip. Depths are in words of the RAM that they size.

    Attributes
    ----------
    rows, columns : int
        R rows by C columns of weights enter the engine per clock.
    elements : int
        E elements per clock in quantizer and epilogue, and in each word of the vector RAMs and
        banks.
    packing : Packing
        Packing of the tape's weight words.
    tape_words : int
        Words of the on-chip tape RAM, each R x C trits.
    vector_a_words, vector_b_words : int
        Side RAMs, E elements a word. A: first norm weights, lower bounds, embedding scales. B:
        folded norm weights.
    embedding_bits : int
        Bits of a signed element of the embedding RAM, 4 or 8.
    embedding_words : int
        Embedding RAM, E elements a word; 0 with `memory`.
    residual_words, scratch_words, state_words : int
        Banks: hidden / E, max(width, intermediate) / E, layers x width / E.
    psum_words : int
        Partial sums, R a word: the most groups of R rows in one segment.
    max_columns : int
        Longest row of a weight matrix; sizes the accumulators.
    max_vocab : int
        Largest vocabulary; sizes token numbers.
    slots : int
        Contexts that a pass over the tape serves side by side, each with banks of its own:
        positions of one sequence or sequences of their own.
    ring_words : int
        Not 0: the tape comes from outside and lies in a ring of so many words while the slots read
        it. With several slots a segment must fit half of it. `tape_words` is 0 then.
    top_k : int
        The sampler keeps so many of the largest logits, at most 16, and can draw among them; 0
        leaves that out. With one slot.
    log_probability : bool
        The sampler computes the log-probability of a token that the host names; with one slot.
    memory : str
        Not empty: the memory beside the chip, a name in `sterna.spec.memories.MEMORIES`.
        It holds the tape, which passes through the ring, and the embedding behind it.
    compact : bool
        It is the compact chip (`sterna.spec.compact_chip`) of one row of 24 lanes, whose tape has
        records instead of headers and whose vectors lie in one memory.
    """

    rows: int
    columns: int
    elements: int
    packing: Packing
    tape_words: int
    vector_a_words: int
    vector_b_words: int
    embedding_bits: int
    embedding_words: int
    residual_words: int
    scratch_words: int
    state_words: int
    psum_words: int
    max_columns: int
    max_vocab: int
    slots: int = 1
    ring_words: int = 0
    top_k: int = 0
    log_probability: bool = False
    memory: str = ""
    compact: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("tape_words", "ring_words", "embedding_words") else 1
            if field.name in ("packing", *_EXTRAS):
                continue
            if not (type(value) is int and least <= value <= 1 << 24):
                raise InputError(
                    f"{field.name} must be an integer from {least} to 2**24, not {value!r}"
                )
        if self.packing not in tuple(Packing):
            names = ", ".join(f"{packing.value} ({packing.name})" for packing in Packing)
            raise InputError(f"packing must be one of {names}, not {self.packing!r}")
        object.__setattr__(self, "packing", Packing(self.packing))
        if self.embedding_bits not in (4, 8):
            raise InputError(f"embedding_bits must be 4 or 8, not {self.embedding_bits}")
        rows, elements = self.rows, self.elements
        for name in ("rows", "elements"):
            value = getattr(self, name)
            if value & (value - 1):
                raise InputError(f"{name} must be a power of two, not {value}")
        if self.columns % elements:
            raise InputError(
                f"columns must be a multiple of elements ({elements}), not {self.columns}"
            )
        if rows > 128 or elements > 64:
            raise InputError(
                f"rows must be at most 128 and elements at most 64, not {rows} and {elements}"
            )
        if self.psum_words * rows < elements:
            sums = self.psum_words * rows
            raise InputError(f"psum_words x rows must be at least {elements}, not {sums}")
        if self.slots > MAX_SLOTS:
            raise InputError(f"slots must be at most {MAX_SLOTS}, not {self.slots}")
        if bool(self.tape_words) == bool(self.ring_words):
            raise InputError(
                "the tape lies on the chip (tape_words) or passes through a ring (ring_words): one "
                f"of them must be 0, not {self.tape_words} and {self.ring_words}"
            )
        if not (type(self.top_k) is int and 0 <= self.top_k <= 16):
            raise InputError(f"top_k must be an integer from 0 to 16, not {self.top_k!r}")
        for name in ("log_probability", "compact"):
            if type(getattr(self, name)) is not bool:
                raise InputError(f"{name} must be true or false, not {getattr(self, name)!r}")
        for name in ("top_k", "log_probability"):
            if self.slots > 1 and getattr(self, name):
                raise InputError(f"{name} needs a chip with one slot, not {self.slots}")
        self._check_memory()
        self._check_compact()
        if self.max_columns > 1 << 16:
            raise InputError(f"max_columns must be at most 65536, not {self.max_columns}")

    def _check_memory(self) -> None:
        """Refuse a memory that is none, or one beside what it holds."""
        if self.memory not in MEMORIES:
            names = ", ".join(MEMORIES[1:])
            raise InputError(f"memory must be empty or one of {names}, not {self.memory!r}")
        if bool(self.memory) == bool(self.embedding_words):
            raise InputError(
                "the embedding lies on the chip (embedding_words) or in a memory beside it "
                f"(memory): not {self.embedding_words} and {self.memory!r}"
            )
        if self.memory and self.ring_words < _LEAST_RING:
            raise InputError(
                f"a chip with a memory needs ring_words of {_LEAST_RING} or more, "
                f"not {self.ring_words}"
            )

    def _check_compact(self) -> None:
        """Refuse a compact chip of other sizes: there is but one."""
        if not self.compact:
            return
        sizes = {name: value for name, value in asdict(self).items() if value != _COMPACT[name]}
        if sizes:
            name, value = next(iter(sizes.items()))
            raise InputError(f"{name} of a compact chip must be {_COMPACT[name]!r}, not {value!r}")

    @property
    def lanes(self) -> int:
        """Weights per clock, R x C."""
        return self.rows * self.columns

    @property
    def slot_bits(self) -> int:
        """Bits of a slot's number."""
        return max(1, (self.slots - 1).bit_length())

    @property
    def word_bits(self) -> int:
        """Bits of a tape word."""
        return self.packing.word_bits(self.lanes)

    @property
    def row_sum_bits(self) -> int:
        """Bits of a signed row sum: 127 x max_columns and the sign."""
        return (127 * self.max_columns).bit_length() + 1

    @property
    def side_clocks(self) -> int:
        """Clocks from the address of a word of the side RAMs to the word: deep ones need more."""
        deep = max(self.vector_a_words, self.vector_b_words) > BANK_WORDS
        return BANKED_CLOCKS if deep else 2

    @property
    def token_bits(self) -> int:
        """Bits of a token number."""
        return max(1, (self.max_vocab - 1).bit_length())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "packing": self.packing.name}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ChipConfig:
        """Inverse of `to_dict`; says which fields are missing or unknown.

        What a chip may have besides may be left out, as by those who knew of none.
        """
        wrong = sorted(({field.name for field in fields(cls)} ^ set(values)) - set(_EXTRAS))
        if wrong:
            raise InputError(f"chip configuration: missing or unknown field {wrong[0]!r}")
        packing = values["packing"]
        names = [packing.name for packing in Packing]
        if packing not in names:
            choices = ", ".join(names)
            raise InputError(f"packing must be one of {choices}, not {packing!r}")
        return cls(**{**values, "packing": Packing[packing]})

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON: the chip's identity.

        Extra parts that the chip does not have are left out of the JSON.
        """
        values = {name: v for name, v in self.to_dict().items() if v or name not in _EXTRAS}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


REFERENCE = ChipConfig(
    rows=4,
    columns=64,
    elements=8,
    packing=Packing.FIVE_THIRDS,
    tape_words=5632,
    vector_a_words=512,
    vector_b_words=1024,
    embedding_bits=4,
    embedding_words=24576,
    residual_words=32,
    scratch_words=64,
    state_words=80,
    psum_words=512,
    max_columns=512,
    max_vocab=1024,
)
"""256 lanes for LFE5U-85F with the whole model on chip, the configuration of the demo and of all
figures: each RAM holds what tern-ecp5 needs of it and what its block RAMs give anyway."""

ICEBREAKER = ChipConfig(
    rows=1,
    columns=24,
    elements=1,
    packing=Packing.TWO_BITS,
    tape_words=16384,
    vector_a_words=1408,
    vector_b_words=2400,
    embedding_bits=4,
    embedding_words=24576,
    residual_words=96,
    scratch_words=288,
    state_words=288,
    psum_words=288,
    max_columns=288,
    max_vocab=256,
)
"""The large chip with 24 lanes, for tern-up5k: a word of the tape is as wide as three of the large
RAMs of an iCE40 UP5K side by side, the fourth holds the embedding. It does not fit that FPGA
(docs/architecture.md, "iCEBreaker"); its compact chip does."""

_COMPACT = {**asdict(ICEBREAKER), "compact": True}

COMPACT = ChipConfig(**_COMPACT)
"""The compact chip, for the same models."""
