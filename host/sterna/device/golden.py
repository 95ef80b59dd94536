"""The golden model as a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from sterna.device.device import Sampling, check_tokens
from sterna.golden.log_probability import log_probability, log_scale
from sterna.golden.sampler import Sampler
from sterna.golden.step import Golden
from sterna.model.model import Model

__all__ = ["GoldenDevice"]


class GoldenDevice:
    """The integer model in NumPy; see `sterna.device.device.Device`."""

    label = "golden model"
    config = None
    clock_hz = None

    def __init__(self, model: Model) -> None:
        self.model = model
        self.golden = Golden(model)

    @property
    def state(self) -> np.ndarray:
        """The recurrent state, a copy."""
        return self.golden.state.copy()

    @state.setter
    def state(self, state: np.ndarray) -> None:
        self.golden.state[:] = state

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the logits after each."""
        check_tokens(tokens, self.model)
        return self.golden.run(np.asarray(tokens))

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the log-probability of each one's target."""
        check_tokens(targets, self.model)
        scale = log_scale(self.model.steps[-1].fraction)
        rows = zip(self.logits(tokens), targets, strict=True)
        return np.array([log_probability(row, target, scale) for row, target in rows])

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then draw tokens."""
        check_tokens(prompt, self.model)
        sampler = Sampler(sampling.chip_temperature(self.model), sampling.chip_seed())
        logits = self.golden.run(np.asarray(prompt))[-1]
        for number in range(count):
            token = sampler.draw(logits)
            yield token
            if token in sampling.stop or number == count - 1:
                return
            logits = self.golden.run(np.array([token]))[-1]

    def counters(self) -> dict[str, int]:
        """Events since the start."""
        return asdict(self.golden.counters)

    def close(self) -> None:
        """Nothing to free."""
