"""How good a device's text model is, and how far from the float64 reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sterna.device.device import Device
from sterna.model.float64 import Float64Model
from sterna.model.model import Model
from sterna.spec.tables import OCTAVE_FRACTION

__all__ = ["Quality", "divergence", "evaluate", "log_softmax"]

_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of a text. Those of a model that was not run are None.

    Attributes
    ----------
    tokens, characters : int
        Tokens stepped, and characters that those after the first of each document stand for.
    perplexity : float
        exp of the mean negative log-likelihood of each token after a document's first.
    bits_per_character : float
        Sum of the same in bits, over the characters: comparable between tokenizers.
    reference_perplexity, reference_bits_per_character, perplexity_ratio : float or None
        Of the float64 reference, and the device's perplexity over it.
    kl : float or None
        Mean KL divergence from the reference's distribution to the device's, nats a token.
    top1 : float or None
        Share of positions at which both have the same most likely token.
    half_kl, half_top1 : float or None
        The same between float64 and the reference in float16, as people run it.
    top1_to_half : float or None
        Share of positions at which device and float16 agree.
    saturations : int
        Elements clamped.
    """

    tokens: int
    characters: int
    perplexity: float
    bits_per_character: float
    reference_perplexity: float | None
    reference_bits_per_character: float | None
    perplexity_ratio: float | None
    kl: float | None
    top1: float | None
    half_kl: float | None
    half_top1: float | None
    top1_to_half: float | None
    saturations: int


def evaluate(
    device: Device,
    documents: Sequence[Sequence[int]],
    characters: int,
    model: Model,
    reference: Float64Model | None = None,
    half: Float64Model | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Quality:
    """Step documents through a device and through its references.

    Without a reference the device computes the log-probabilities; to compare distributions all
    logits are read from it.

    Parameters
    ----------
    device : Device
    documents : sequence of sequence of int
        Tokens; the state is empty before each document. One of them has at least two.
    characters : int
        Characters of all documents.
    model : Model
    reference : Float64Model, optional
    half : Float64Model, optional
        A `sterna.model.half.HalfModel`.
    progress : callable
        Called with the number of tokens done.
    """
    unit = 2.0 ** -model.steps[-1].fraction
    compared = reference is not None or half is not None
    before = device.counters()["saturations"]
    own = other = kl = half_kl = 0.0
    top1 = half_top1 = top1_to_half = count = targets_count = 0
    for document in documents:
        ids = np.asarray(document)
        device.state = np.zeros_like(device.state)
        for float_model in filter(None, (reference, half)):
            float_model.reset()
        for start in range(0, len(ids), _CHUNK):
            chunk, targets = ids[start : start + _CHUNK], ids[start + 1 : start + 1 + _CHUNK]
            if not compared:
                # The last token of a document has no target; it is stepped all the same.
                aims = [*targets.tolist(), 0][: len(chunk)]
                octaves = device.log_probabilities(chunk.tolist(), aims)[: len(targets)]
                own -= float(octaves.sum()) * 2.0**-OCTAVE_FRACTION * math.log(2)
                count += len(chunk)
                targets_count += len(targets)
                progress(count)
                continue
            at = np.arange(len(targets)), targets
            log_q = log_softmax(device.logits(chunk.tolist()) * unit)
            best = log_q.argmax(axis=1)
            own -= float(log_q[at].sum())
            log_p = None
            if reference is not None:
                log_p = log_softmax(reference.run(chunk))
                other -= float(log_p[at].sum())
                kl += divergence(log_p, log_q)
                top1 += int((log_p.argmax(axis=1) == best).sum())
            if half is not None:
                log_h = log_softmax(half.run(chunk))
                top1_to_half += int((log_h.argmax(axis=1) == best).sum())
                if log_p is not None:
                    half_kl += divergence(log_p, log_h)
                    half_top1 += int((log_p.argmax(axis=1) == log_h.argmax(axis=1)).sum())
            count += len(chunk)
            targets_count += len(targets)
            progress(count)
    with_reference, with_half = reference is not None, half is not None
    both = with_reference and with_half
    return Quality(
        tokens=count,
        characters=characters,
        perplexity=math.exp(own / targets_count),
        bits_per_character=own / math.log(2) / characters,
        reference_perplexity=math.exp(other / targets_count) if with_reference else None,
        reference_bits_per_character=other / math.log(2) / characters if with_reference else None,
        perplexity_ratio=math.exp((own - other) / targets_count) if with_reference else None,
        kl=kl / count if with_reference else None,
        top1=top1 / count if with_reference else None,
        half_kl=half_kl / count if both else None,
        half_top1=half_top1 / count if both else None,
        top1_to_half=top1_to_half / count if with_half else None,
        saturations=device.counters()["saturations"] - before,
    )


def divergence(log_p: np.ndarray, log_q: np.ndarray) -> float:
    """KL divergence from p to q, summed over positions, nats."""
    return float((np.exp(log_p) * (log_p - log_q)).sum())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-probabilities, float64 [T, vocab], of logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
