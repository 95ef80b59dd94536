"""The model of the memory at the pins of the compiled chip."""

from __future__ import annotations

import random

from sterna.spec.sdram import WORD_BITS, Part
from sterna_sim.compiled.build import MemoryCall
from sterna_sim.compiled.probes import LEVELS
from sterna_sim.sdram_model import Inputs, SdramError, SdramModel

__all__ = ["ChipMemory"]


class ChipMemory:
    """A memory that takes part in each clock of a chip.

    Parameters
    ----------
    part : Part
    clock_hz : int

    Attributes
    ----------
    model : SdramModel
    rise : ctypes function
        What the chip calls; see `sterna_sim.compiled.build.MemoryCall`.
    """

    def __init__(self, part: Part, clock_hz: int) -> None:
        self.part, self.clock_hz = part, clock_hz
        self.model = SdramModel(part, clock_hz)
        self.rise = MemoryCall(self._rise)
        self._garbage = random.Random(1)
        self._error: SdramError | None = None

    def power_up(self) -> None:
        """Begin anew, as the controller does after a reset; what it holds stays."""
        self.model = SdramModel(self.part, self.clock_hz, self.model.words)

    def check(self) -> None:
        """Raise what the memory has objected to since the last call."""
        error, self._error = self._error, None
        if error:
            raise error

    def _rise(self, levels: int, data: int) -> int:
        values = {}
        for name, bits in LEVELS.items():
            values[name] = levels & (1 << bits) - 1
            levels >>= bits
        try:
            word = self.model.rise(Inputs(data=None if data < 0 else data, **values))
        except SdramError as error:  # nothing may be raised through the chip
            self._error = self._error or error
            word = None
        return self._garbage.getrandbits(WORD_BITS) if word is None else word
