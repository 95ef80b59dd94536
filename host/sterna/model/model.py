"""The chip-independent model: what a `.sterna` file holds, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sterna.spec.program import Step

__all__ = ["Model", "Shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a MatMul-free model (HGRNBit).

    Attributes
    ----------
    vocab, hidden, layers, intermediate : int
        V, H, L, I of the paper.
    width : int
        D, width of i, f, g, the state and o_proj's input: ``int(hidden * expand_ratio)``.
    """

    vocab: int
    hidden: int
    width: int
    intermediate: int
    layers: int

    @property
    def ternary_weights(self) -> int:
        """Ternary weights of all projections, head included: multiply-free MACs per token."""
        layer = 4 * self.width * self.hidden + 3 * self.intermediate * self.hidden
        return self.layers * layer + self.vocab * self.hidden


@dataclass(frozen=True)
class Model:
    """Integer model: trits, vectors, constants and tokenizer.

    Attributes
    ----------
    shape : Shape
    steps : tuple of Step
        The program of one token; the first is EMBED, the last LOGITS.
    trits : mapping of str to numpy.ndarray
        int8 [rows, columns] in {-1, 0, 1} for each step but EMBED, by `Step.name`; as a rule
        `sterna.model.packed.PackedTrits`, which unpacks a matrix when it is asked for.
    vectors : dict of str to numpy.ndarray
        int64 vectors named by the steps: norm weights in +-32767, lower bounds in 0..65535.
    embedding : numpy.ndarray
        int8 [vocab, hidden].
    embedding_scale : numpy.ndarray
        Scale of each embedding row, 0..65535 [vocab].
    tokenizer : str or None
        Contents of `tokenizer.json`; None: prompts are token ids.
    meta : dict
        Plain facts for `info`: source, hashes, bos and eos ids, calibration.
    floats : dict of str to numpy.ndarray
        float32 norm weights and lower bounds and float64 weight scales as the checkpoint gave them,
        so that the float64 reference can be rebuilt.
    """

    shape: Shape
    steps: tuple[Step, ...]
    trits: Mapping[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    embedding: np.ndarray
    embedding_scale: np.ndarray
    tokenizer: str | None = None
    meta: dict = field(default_factory=dict)
    floats: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """16 hexadecimal digits that differ between models: of program, vectors and embedding."""
        digest = hashlib.sha256(repr((self.shape, self.steps)).encode())
        for name in sorted(self.vectors):
            digest.update(self.vectors[name].astype("<i8").tobytes())
        digest.update(self.embedding.tobytes())
        digest.update(self.embedding_scale.astype("<i8").tobytes())
        return digest.hexdigest()[:16]
