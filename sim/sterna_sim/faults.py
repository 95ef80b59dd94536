"""A bad line: bytes that are lost, changed, doubled, swapped and made up between host and chip."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["BadLine", "Rates"]


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault happens, per byte; `flip` per bit."""

    flip: float = 1e-4
    drop: float = 1e-4
    double: float = 1e-4
    insert: float = 1e-4
    swap: float = 1e-4
    flood: float = 2e-6


class BadLine:
    """A wire (see `sterna_sim.board.Wire`) with faults from a seed.

    Parameters
    ----------
    seed : int
    rates : Rates
    """

    def __init__(self, seed: int, rates: Rates = Rates()) -> None:
        self._random = random.Random(seed)
        self._rates = rates
        self.faults = 0

    def __call__(self, data: bytes) -> bytes:
        """What comes out of the line."""
        out = bytearray()
        chance, rates = self._random.random, self._rates
        for byte in data:
            if chance() < 8 * rates.flip:
                byte ^= 1 << self._random.randrange(8)
                self.faults += 1
            if chance() < rates.drop:
                self.faults += 1
                continue
            out.append(byte)
            if chance() < rates.double:
                self.faults += 1
                out.append(byte)
            if chance() < rates.insert:
                self.faults += 1
                out.append(self._random.randrange(256))
            if len(out) > 1 and chance() < rates.swap:
                self.faults += 1
                out[-1], out[-2] = out[-2], out[-1]
            if chance() < rates.flood:
                self.faults += 1
                out += self._random.randbytes(500)
        return bytes(out)
