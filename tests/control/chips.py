"""Small chips for the tests of the control units."""

from __future__ import annotations

from sterna.spec.chip import ChipConfig
from sterna.spec.trits import Packing

__all__ = ["chip"]


def chip(
    rows: int = 1,
    columns: int = 8,
    elements: int = 8,
    packing: Packing = Packing.FIVE_THIRDS,
    words: int = 5,
    vocab: int = 61,
    slots: int = 1,
    ring: bool = False,
    embedding_bits: int = 8,
    top_k: int = 0,
    log_probability: bool = False,
    memory: str = "",
) -> ChipConfig:
    """Return a chip with RAMs of a few words; their depths differ, most are no power of two."""
    return ChipConfig(
        rows=rows,
        columns=columns,
        elements=elements,
        packing=packing,
        tape_words=0 if ring or memory else 2 * words + 1,
        vector_a_words=words + 1,
        vector_b_words=words + 2,
        embedding_bits=embedding_bits,
        embedding_words=0 if memory else 3 * words,
        residual_words=words,
        scratch_words=words + 3,
        state_words=2 * words,
        psum_words=64,
        max_columns=64,
        max_vocab=vocab,
        slots=slots,
        ring_words=16 if memory else 2 * words + 1 if ring else 0,
        top_k=top_k,
        log_probability=log_probability,
        memory=memory,
    )
