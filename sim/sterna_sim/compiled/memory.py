"""The model of the memory at the pins of the compiled chip."""

from __future__ import annotations

import ctypes
from array import array

import numpy as np

from sterna.spec.sdram import Part
from sterna_sim.compiled.build import COMING, MemoryCall
from sterna_sim.compiled.probes import LEVELS
from sterna_sim.sdram_model import Inputs, SdramError, SdramModel

__all__ = ["ChipMemory"]


class ChipMemory:
    """A memory that takes part in each clock of a chip.

    The chip calls on clocks that are not idle, and tells how many were since the last call; what
    the memory drives on those was said before. So a stream takes a call for each burst.

    Parameters
    ----------
    part : Part
    clock_hz : int

    Attributes
    ----------
    words : array
        What it holds.
    model : SdramModel
    call : ctypes function
        What the chip calls; see `sterna_sim.compiled.build.MemoryCall`.
    coming : ctypes array
        The words that the memory drives from a call on if no other comes, -1 for none.
    """

    def __init__(self, part: Part, clock_hz: int) -> None:
        self.part, self.clock_hz = part, clock_hz
        self.words = array("H", bytes(2 * part.words))
        self.call = MemoryCall(self._call)
        self.coming = (ctypes.c_int32 * COMING)()
        self._error: SdramError | None = None

    def attach(self, library: ctypes.CDLL, chip: int) -> None:
        """Stand at a chip's pins from now on, which has been reset, and power up with it."""
        self.power_up()
        library.chip_memory(chip, self.call, self.coming)

    def power_up(self) -> None:
        """Begin anew, as the controller does after a reset; what it holds stays."""
        self.model = SdramModel(self.part, self.clock_hz, self.words)

    def fill(self, first: int, words: np.ndarray) -> None:
        """Put words (or any whole number of bytes) into their places, from a first one on."""
        held, given = np.frombuffer(self.words, np.uint16), words.reshape(-1).view(np.uint16)
        held[first : first + given.size] = given

    def check(self) -> None:
        """Raise what the memory has objected to since the last call."""
        error, self._error = self._error, None
        if error:
            raise error

    def _call(self, idle: int, levels: int, data: int) -> None:
        values = {}
        for name, bits in LEVELS.items():
            values[name] = levels & (1 << bits) - 1
            levels >>= bits
        try:
            self.model.skip(idle)
            word = self.model.rise(Inputs(data=None if data < 0 else data, **values))
        except SdramError as error:  # nothing may be raised through the chip
            self._error = self._error or error
            word = None
        words = [word, *self.model.coming(COMING - 1)]
        self.coming[:] = [-1 if word is None else word for word in words]
