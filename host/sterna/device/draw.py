"""Drawing tokens on the host, from the logits of a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sterna.device.device import Device, Sampling
from sterna.golden.sampler import Sampler

__all__ = ["draw"]


def draw(device: Device, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
    """As `Device.generate`, with the same tokens."""
    temperature = sampling.chip_temperature(device.model)
    sampler = Sampler(temperature, sampling.chip_seed(), sampling.top_k)
    logits = device.logits(prompt)[-1]
    for number in range(count):
        token = sampler.draw(logits)
        yield token
        if token in sampling.stop or number == count - 1:
            return
        logits = device.logits([token])[-1]
