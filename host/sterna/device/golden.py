"""The golden model as a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np

from sterna.device.device import Sampling, check_tokens
from sterna.device.draw import draw
from sterna.golden.best import best_of
from sterna.golden.log_probability import log_scale, of_targets
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

    def best(self, tokens: Sequence[int], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the tokens; return the largest logits after each."""
        return best_of(self.logits(tokens), k)

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the log-probability of each one's target."""
        check_tokens(targets, self.model)
        scale = log_scale(self.model.steps[-1].fraction)
        return of_targets(self.logits(tokens), targets, scale)

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then draw tokens."""
        return draw(self, prompt, count, sampling)

    def counters(self) -> dict[str, int]:
        """Events since the start."""
        return asdict(self.golden.counters)

    def close(self) -> None:
        """Nothing to free."""
