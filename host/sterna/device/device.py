"""What every device can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sterna.errors import InputError
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig

__all__ = ["Device", "Sampling", "check_tokens"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn.

    Attributes
    ----------
    temperature : float
        0 is argmax.
    seed : int
        Any integer; the same seed gives the same tokens on every device and chip configuration.
    stop : tuple of int
        At most four tokens after which generation ends.
    top_k : int
        Draw among the tokens of so many of the largest logits, of equals those of lower numbers;
        0 is all.
    """

    temperature: float = 0.0
    seed: int = 0
    stop: tuple[int, ...] = ()
    top_k: int = 0

    def chip_temperature(self, model: Model) -> int:
        """Temperature in units of the logits' last place, as the chip's register wants it."""
        if not self.temperature >= 0:
            raise InputError(f"temperature must be 0 or more, not {self.temperature}")
        unit = 2.0 ** -model.steps[-1].fraction
        if self.temperature > 0xFFFF * unit:
            raise InputError(
                f"temperature must be at most {0xFFFF * unit:g}, not {self.temperature}"
            )
        return max(round(self.temperature / unit), 1) if self.temperature > 0 else 0

    def chip_seed(self) -> int:
        """Seed spread over 64 bits by SplitMix64 (Steele et al. 2014); never 0."""
        z = self.seed + 0x9E3779B97F4A7C15 & (1 << 64) - 1
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        return (z ^ z >> 31) or 1


class Device(Protocol):
    """A chip with a model loaded, or something that behaves like one.

    Attributes
    ----------
    model : Model
    state : numpy.ndarray
        int64 [layers, width]: the whole context; can be read and set between tokens.
    label : str
        What it is, for people; says if it is simulated.
    config : ChipConfig or None
        The chip's, if there is one.
    clock_hz : int or None
        Its clocks per second.
    """

    @property
    def model(self) -> Model: ...  # noqa: D102

    @property
    def state(self) -> np.ndarray: ...  # noqa: D102

    @state.setter
    def state(self, state: np.ndarray) -> None: ...

    @property
    def label(self) -> str: ...  # noqa: D102

    @property
    def config(self) -> ChipConfig | None: ...  # noqa: D102

    @property
    def clock_hz(self) -> int | None: ...  # noqa: D102

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the logits after each, int64 [T, V]."""
        ...

    def best(self, tokens: Sequence[int], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the tokens; return the tokens of the `k` largest logits after each, and these.

        Both int64 [T, min(k, V)], the largest first; of equals the lower number first.
        """
        ...

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Step the tokens; return log2 of the probability of each one's target, int64 [T].

        With `OCTAVE_FRACTION` fraction bits; see `sterna.golden.log_probability`.
        """
        ...

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then draw up to `count` tokens, each fed back; yield them as they come.

        Ends early after a stop token, which is yielded too. The last token yielded has not been
        stepped.
        """
        ...

    def counters(self) -> dict[str, int]:
        """Events since the device was opened: at least tokens, segments and saturations."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


def check_tokens(tokens: Sequence[int], model: Model) -> None:
    """Refuse tokens that the model does not have, and an empty sequence."""
    if len(tokens) == 0:
        raise InputError("there is no token to step; give a prompt of at least one token")
    for token in tokens:
        if not 0 <= token < model.shape.vocab:
            raise InputError(f"tokens must be 0 to {model.shape.vocab - 1}, not {token}")
