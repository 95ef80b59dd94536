"""The memory behind the AXI4 ports of the compiled chip; the model itself is in the driver."""

from __future__ import annotations

import ctypes

import numpy as np

from sterna.spec.axi4 import Axi4
from sterna_sim.axi4_model import RULES, Behaviour
from sterna_sim.kit.player import CheckError

__all__ = ["AXI4_HZ", "DDR4", "HBM", "ChipAxi4"]

AXI4_HZ = 300_000_000
"""Clock at which these memories behave so."""

DDR4 = Behaviour(latency=100, refresh=(2340, 110))
"""Channels of DDR4-2400 behind controllers, which answer within 333 ns: tRP + tRFC = 364 ns of each
7.8 us belong to a refresh."""

HBM = Behaviour(latency=130, refresh=(1170, 78), pace=(3, 4))
"""Ports of HBM2: 400 ns until they answer and 10 clocks for the crossing both
ways; tRFC = 260 ns of each 3.9 us (both assumed). A port has 256 bits at 450 MHz, and the crossing
joins two of its beats to one of 512 bits."""

_PIECE = np.dtype(np.uint32)


class ChipAxi4:
    """A memory that takes part in each clock of a chip.

    Parameters
    ----------
    memory : Axi4
    """

    def __init__(self, memory: Axi4) -> None:
        self.memory = memory
        self.behaviour = Behaviour()
        self._library: ctypes.CDLL | None = None
        self._chip = 0

    def attach(self, library: ctypes.CDLL, chip: int) -> None:
        """Stand behind a chip's ports from now on."""
        self._library, self._chip = library, chip
        self.behave(self.behaviour)

    def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on; one of `failing` alone, and nothing in `surplus`."""
        assert self._library is not None
        self.behaviour = behaviour
        period, length = behaviour.refresh
        pauses = round(behaviour.pauses * 65536)
        self._library.chip_axi(
            self._chip, behaviour.latency, period, length, *behaviour.pace, pauses
        )
        port, word = next(iter(behaviour.failing), (0, -1))
        self._library.chip_axi_fail(self._chip, port, word)

    def fill(self, first: int, words: np.ndarray) -> None:
        """Put words (any whole number of pieces) into their places, from a first word on."""
        assert self._library is not None
        pieces = np.ascontiguousarray(words).reshape(-1).view(_PIECE)
        place = first * self.memory.word_bits // 32
        self._library.chip_axi_fill(self._chip, place, _pointer(pieces), pieces.size)

    def held(self, first: int, count: int) -> np.ndarray:
        """Return words, uint32 [count, pieces]."""
        assert self._library is not None
        each = self.memory.word_bits // 32
        pieces = np.zeros(count * each, _PIECE)
        self._library.chip_axi_held(self._chip, first * each, _pointer(pieces), pieces.size)
        return pieces.reshape(count, each)

    @property
    def beats(self) -> int:
        """Beats read so far, of all ports."""
        assert self._library is not None
        return self._library.chip_axi_beats(self._chip)

    def check(self) -> None:
        """Raise what the memory has objected to."""
        assert self._library is not None
        rule = self._library.chip_axi_objection(self._chip)
        if rule:
            raise CheckError(f"{rule.decode()}: {RULES[rule.decode()]}")


def _pointer(pieces: np.ndarray) -> object:
    return pieces.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
