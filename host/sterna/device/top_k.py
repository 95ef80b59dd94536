"""Sampling among the k most likely tokens, drawn by the host from a device's logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sterna.device.device import Device, Sampling
from sterna.errors import InputError
from sterna.golden.sampler import Sampler
from sterna.model.model import Model

__all__ = ["generate_top_k"]


def generate_top_k(
    device: Device,
    model: Model,
    prompt: Sequence[int],
    count: int,
    sampling: Sampling,
    k: int,
) -> Iterator[int]:
    """As `Device.generate`, but a token that is not among the `k` largest logits is never drawn.

    Of equal logits those of lower numbers are kept. With k = V the tokens are those of `generate`.
    """
    if k < 1:
        raise InputError(f"top-k must be 1 or more, not {k}")
    sampler = Sampler(sampling.chip_temperature(model), sampling.chip_seed())
    logits = device.logits(prompt)[-1]
    for number in range(count):
        kept = np.sort(np.argsort(-logits, kind="stable")[:k])
        token = sampler.draw(logits, kept)
        yield token
        if token in sampling.stop or number == count - 1:
            return
        logits = device.logits([token])[-1]
