"""Measure how large every value gets, so that binary points can be chosen.

The whole text goes through a layer before the next layer is read: memory holds one layer's weights
and the residuals of all tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sterna.errors import InputError
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import CHUNK, LAYER_MATRICES, Float64Model

__all__ = ["RANDOM_TOKENS", "Ranges", "calibrate"]

Ranges = dict[str, float]
"""Largest magnitude of each value that the integer model rounds, by name."""

RANDOM_TOKENS = 1024
"""Length of the random sequence that stands in for a calibration text."""


def calibrate(
    checkpoint: Checkpoint,
    ids: Sequence[int] | np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda layer: None,
) -> Ranges:
    """Run the float64 reference over a text and record the largest magnitudes.

    Parameters
    ----------
    checkpoint : Checkpoint
    ids : sequence of int, optional
        Token ids of the calibration text; without one, 1024 random tokens.
    seed : int
        Seed of the random tokens.
    progress : callable
        Called with the number of each layer before it is run, and with that of layers at last.

    Returns
    -------
    dict of str to float
        For layer ``l`` with prefix ``layers.l.``: ``y.i``, ``y.f``, ``y.g``, ``y.u``, ``y.v``
        (pre-activations; u and v are the halves of gate_proj), ``silu_i``, ``silu_u``, ``h``,
        ``z.o`` (y.g * silu(h), before any norm), ``z.down`` (silu_u * y.v), ``residual.o``,
        ``residual.down``; besides ``embedding`` (over the whole table: any token may come) and
        ``logits``.

    Raises
    ------
    InputError
        If the text is empty or has ids outside the vocabulary.
    """
    if ids is None:
        vocab = checkpoint.config.shape.vocab
        ids = np.random.default_rng(seed).integers(vocab, size=RANDOM_TOKENS)
    elif len(ids) == 0:
        raise InputError("the calibration text has no tokens; give a longer one, or none")
    model = Float64Model.from_checkpoint(checkpoint, keep=LAYER_MATRICES)
    model.ranges = {}
    tokens = model.check(ids)
    parts = [model.embed(tokens[start : start + CHUNK]) for start in range(0, tokens.size, CHUNK)]
    for layer in range(model.shape.layers):
        progress(layer)
        parts = [model.layer(layer, x) for x in parts]
    progress(model.shape.layers)
    for x in parts:
        model.head(x)
    model.ranges["embedding"] = float(np.abs(model.embedding).max())
    return model.ranges
