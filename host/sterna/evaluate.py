"""How good a device's text model is, and how far from the float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sterna.device.device import Device
from sterna.model.float64 import Float64Model
from sterna.model.model import Model

__all__ = ["Quality", "evaluate"]

_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one text.

    Attributes
    ----------
    tokens : int
        Tokens stepped.
    perplexity : float
        exp of the mean negative log-likelihood of each token after the first.
    reference_perplexity, perplexity_ratio : float or None
        Of the float64 reference, and the device's over it.
    kl : float or None
        Mean KL divergence from the reference's distribution to the device's, nats a token.
    top1 : float or None
        Fraction of positions with the same most likely token.
    saturations : int
        Elements clamped.
    """

    tokens: int
    perplexity: float
    reference_perplexity: float | None
    perplexity_ratio: float | None
    kl: float | None
    top1: float | None
    saturations: int


def evaluate(
    device: Device,
    model: Model,
    tokens: Sequence[int],
    reference: Float64Model | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Quality:
    """Step a text through a device and through the float64 reference.

    Parameters
    ----------
    device : Device
    model : Model
    tokens : sequence of int
        At least two.
    reference : Float64Model, optional
    progress : callable
        Called with the number of tokens done.
    """
    unit = 2.0 ** -model.steps[-1].fraction
    ids = np.asarray(tokens)
    before = device.counters()["saturations"]
    own = other = divergence = 0.0
    agree = 0
    for start in range(0, len(ids), _CHUNK):
        chunk, targets = ids[start : start + _CHUNK], ids[start + 1 : start + 1 + _CHUNK]
        log_q = _log_softmax(device.logits(chunk.tolist()) * unit)
        own -= log_q[np.arange(len(targets)), targets].sum()
        if reference is not None:
            log_p = _log_softmax(reference.run(chunk))
            other -= log_p[np.arange(len(targets)), targets].sum()
            divergence += (np.exp(log_p) * (log_p - log_q)).sum()
            agree += int((log_p.argmax(axis=1) == log_q.argmax(axis=1)).sum())
        progress(min(start + _CHUNK, len(ids)))
    count, targets_count = len(ids), len(ids) - 1
    with_reference = reference is not None
    return Quality(
        tokens=count,
        perplexity=float(np.exp(own / targets_count)),
        reference_perplexity=float(np.exp(other / targets_count)) if with_reference else None,
        perplexity_ratio=float(np.exp((own - other) / targets_count)) if with_reference else None,
        kl=divergence / count if with_reference else None,
        top1=agree / count if with_reference else None,
        saturations=device.counters()["saturations"] - before,
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
