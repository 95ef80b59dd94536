"""The compiled chip as a device of the host package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sterna.device.device import Sampling, check_tokens
from sterna.errors import InputError
from sterna.model.layout import Image, lay_out
from sterna.model.model import Model
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.registers import STOPS
from sterna_sim.compiled.chip import CompiledChip

__all__ = ["SimDevice"]


class SimDevice:
    """The compiled chip, its register port driven directly; see `sterna.device.device.Device`.

    Parameters
    ----------
    model : Model
    config : ChipConfig
    """

    def __init__(self, model: Model, config: ChipConfig = REFERENCE) -> None:
        self.model = model
        self.image: Image = lay_out(model, config)
        self.chip = CompiledChip(config)
        self.chip.load(self.image)
        self.state = np.zeros((model.shape.layers, model.shape.width), dtype=np.int64)

    @property
    def state(self) -> np.ndarray:
        """The recurrent state, read from the chip."""
        return self.chip.read_state(self.model.shape.layers, self.model.shape.width)

    @state.setter
    def state(self, state: np.ndarray) -> None:
        self.chip.write_state(state)

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the logits after each."""
        check_tokens(tokens, self.model)
        self.chip.write("LOGITS", 1)
        rows = []
        for token in tokens:
            self.chip.step(token)
            rows.append(self.chip.logits(self.model.shape.vocab))
        self.chip.idle()
        self.chip.write("LOGITS", 0)
        return np.array(rows)

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then let the chip draw tokens by itself."""
        check_tokens(prompt, self.model)
        if not 0 <= count <= 0xFFFF:
            raise InputError(f"the number of tokens must be 0 to 65535, not {count}")
        if len(sampling.stop) > STOPS:
            raise InputError(f"a chip knows {STOPS} stop tokens, not {len(sampling.stop)}")
        self.chip.write("TEMPERATURE", sampling.chip_temperature(self.model))
        self.chip.seed(sampling.chip_seed())
        self.chip.write("COUNT", count)
        for number in range(STOPS):
            stop = sampling.stop[number] | 1 << 31 if number < len(sampling.stop) else 0
            self.chip.write(f"STOP_{number}", stop)
        for number, token in enumerate(prompt):
            self.chip.step(token, draw=count > 0 and number == len(prompt) - 1)
        last = count == 0
        while not last:
            token, last = self.chip.generated()
            yield token
        self.chip.idle()

    def counters(self) -> dict[str, int]:
        """Counters of the chip."""
        return self.chip.counters()

    def close(self) -> None:
        """Free the chip."""
        self.chip.close()
