"""Models and configurations of the whole-chip tests."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

from sterna.model.convert import convert
from sterna.model.layout import fit
from sterna.model.model import Model
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.ram import BANK_WORDS
from sterna.spec.trits import Packing
from sterna_sim.demo import demo_model
from tests.tiny import tiny_model

__all__ = ["CONFIGS", "MEMORY_CONFIGS", "MODELS", "config_for", "memory_config", "model_of"]

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

MODELS = ("tern-ecp5", "fixture-a", "odd")

CONFIGS = {
    "reference": {"rows": 4, "columns": 64, "elements": 8, "packing": Packing.FIVE_THIRDS},
    "one-lane": {"rows": 1, "columns": 1, "elements": 1, "packing": Packing.TWO_BITS},
    "odd-columns": {"rows": 2, "columns": 24, "elements": 4, "packing": Packing.FIVE_THIRDS},
    "one-element": {"rows": 4, "columns": 16, "elements": 1, "packing": Packing.TWO_BITS},
    "cut": {
        "rows": 1,
        "columns": 8,
        "elements": 8,
        "packing": Packing.FIVE_THIRDS,
        "psum_words": 24,
    },
    "two-slots": {
        "rows": 2,
        "columns": 12,
        "elements": 4,
        "packing": Packing.FIVE_THIRDS,
        "slots": 2,
    },
    "three-slots": {
        "rows": 2,
        "columns": 16,
        "elements": 2,
        "packing": Packing.TWO_BITS,
        "psum_words": 20,
        "slots": 3,
    },
    "shared-headers": {
        "rows": 4,
        "columns": 80,
        "elements": 4,
        "packing": Packing.TWO_BITS,
        "psum_words": 6,
        "slots": 2,
    },
    "ring": {
        "rows": 4,
        "columns": 16,
        "elements": 4,
        "packing": Packing.TWO_BITS,
        "slots": 4,
        "ring_words": 256,
    },
}
"""Lanes of the configurations tested; in `cut`, `three-slots` and `shared-headers` matrices are cut
into segments, and two headers of the last share a word; in `ring` the tape comes from outside."""

DEEP = ("one-element", "three-slots")
"""Configurations whose side RAMs have more than a bank, and are read in more clocks."""


MEMORY_CONFIGS = {
    "fixture-a": {
        "rows": 2,
        "columns": 24,
        "elements": 4,
        "packing": Packing.FIVE_THIRDS,
        "ring_words": 256,
        "memory": "ULX3S",
    },
    "odd": {
        "rows": 2,
        "columns": 8,
        "elements": 8,
        "packing": Packing.TWO_BITS,
        "slots": 2,
        "ring_words": 256,
        "memory": "W9825G6JH-6",
    },
    "axi4": {
        "rows": 2,
        "columns": 40,
        "elements": 8,
        "packing": Packing.EIGHT_FIFTHS,
        "ring_words": 512,
        "memory": "axi4-64",
    },
}
"""Lanes of chips with a memory beside them: words of 80 bits, which the lanes take faster than the
memory gives them; words of 32 bits in two slots, where it is faster; and words of 128 bits, of
which a memory behind AXI4 gives one in two clocks (for `fixture-a` too)."""


@cache
def model_of(name: str) -> Model:
    """Model by name; `odd` has dimensions that no lane count divides and every variant.

    `fixture-a` has 8 bits an element of the embedding, the others have 4.
    """
    if name == "tern-ecp5":
        return demo_model()
    if name == "fixture-a":
        return convert(_FIXTURES / "A")
    return tiny_model(
        vocab=101, hidden=51, layers=2, intermediate=91,
        expand_ratio=2.0, use_lower_bound=False, tied=True, eps=1e-3, coarse=True,
    )  # fmt: skip


@cache
def config_for(name: str) -> ChipConfig:
    """Smallest configuration that holds the small models; the reference one all of 4 bits."""
    if name == "reference":
        return REFERENCE
    fits = [fit(model_of(model), **CONFIGS[name]) for model in MODELS[1:]]
    sizes = [field.name for field in fields(ChipConfig) if field.name not in CONFIGS[name]]
    largest = {size: max(getattr(c, size) for c in fits) for size in sizes}
    if name in DEEP:
        largest["vector_b_words"] = BANK_WORDS + 52
    return replace(fits[0], **largest)


@cache
def memory_config(model: str) -> ChipConfig:
    """Smallest configuration with a memory beside it for a model."""
    return fit(model_of(model), **MEMORY_CONFIGS[model])
