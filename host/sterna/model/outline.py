"""What sizes depend on, without the weights: a model's shape and program."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sterna.model.model import Model, Shape
from sterna.spec.program import Op, Stats, Step

__all__ = ["PUBLISHED", "Outline", "embedding_bits"]

PUBLISHED = {
    "370M": Shape(vocab=32000, hidden=1024, width=1024, intermediate=2816, layers=24),
    "1.3B": Shape(vocab=32000, hidden=2048, width=2048, intermediate=5632, layers=24),
    "2.7B": Shape(vocab=32000, hidden=2560, width=2560, intermediate=6912, layers=32),
}
"""Shapes of the published checkpoints of MMfreeLM."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A model as far as its tape, its RAMs and its clocks depend on it.

    Attributes
    ----------
    shape : Shape
    steps : tuple of Step
        The program of one token.
    embedding_bits : int
        4 or 8, what the elements of the embedding need.
    """

    shape: Shape
    steps: tuple[Step, ...]
    embedding_bits: int

    @classmethod
    def of(cls, model: Model) -> Outline:
        """Outline of a model."""
        return cls(model.shape, model.steps, embedding_bits(model.embedding))

    @classmethod
    def of_shape(cls, shape: Shape, embedding_bits: int = 8) -> Outline:
        """Outline of the model that `sterna.model.fold` makes of a checkpoint of this shape.

        The steps have names, sizes and vectors, but none of the constants that weights decide.
        """
        steps = [Step("embedding", Op.EMBED, Stats.FRESH, shape.hidden, 0)]
        for layer in range(shape.layers):
            steps += _layer(shape, layer)
        head = (Op.LOGITS, Stats.FRESH, shape.vocab, shape.hidden)
        steps.append(Step("lm_head", *head, vector_q="head_fold"))
        first = {"i_proj": "attn_norm", "gate": "mlp_norm"}
        for number, step in enumerate(steps):
            if step.op.gathers:
                reader = steps[number + 1]
                layer, _, name = reader.name.rpartition(".")
                norm = f"{layer}.{first[name]}" if name in first else "norm" if not layer else None
                steps[number] = replace(
                    step, vector_a=step.vector_a or norm, vector_b=reader.vector_q
                )
        return cls(shape, tuple(steps), embedding_bits)


def embedding_bits(table: np.ndarray) -> int:
    """Bits of an element that hold all of an embedding, 4 or 8."""
    return 4 if table.min() >= -8 and table.max() <= 7 else 8


def _layer(shape: Shape, layer: int) -> list[Step]:
    """Steps of a layer, with the vectors that their own quantisation and bounds need."""
    hidden, width, inner = shape.hidden, shape.width, shape.intermediate
    name = f"layers.{layer}"
    rows = [
        ("i_proj", Op.SILU, Stats.FRESH, width, hidden, "i_fold", None),
        ("f_proj", Op.STATE, Stats.MAXIMUM, width, hidden, "f_fold", "lower_bound"),
        ("g_proj", Op.GATE, Stats.MAXIMUM, width, hidden, "g_fold", "g_norm"),
        ("o_proj", Op.RESIDUAL, Stats.FRESH, hidden, width, "o_fold", None),
        ("gate", Op.SILU, Stats.FRESH, inner, hidden, "gate_fold", None),
        ("up", Op.PRODUCT, Stats.KEEP, inner, hidden, "gate_fold", None),
        ("down_proj", Op.RESIDUAL, Stats.FRESH, hidden, inner, "down_fold", None),
    ]
    return [
        Step(
            f"{name}.{step}", op, stats, outputs, inputs, layer,
            vector_a=f"{name}.{a}" if a and (layer or a != "lower_bound") else None,
            vector_q=f"{name}.{q}",
        )
        for step, op, stats, outputs, inputs, q, a in rows
    ]  # fmt: skip
