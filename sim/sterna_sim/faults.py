"""A bad line: bytes that are lost, changed, doubled, swapped and made up between host and chip."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import astuple, dataclass, fields

__all__ = ["BadLine", "Rates"]

_FLOOD = 500
"""Bytes of noise in a flood: more than a frame is long."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault happens, per byte; `flip` per bit."""

    flip: float = 1e-4
    drop: float = 1e-4
    double: float = 1e-4
    insert: float = 1e-4
    reorder: float = 1e-4
    flood: float = 1e-5


class BadLine:
    """A wire (see `sterna_sim.board.Wire`) with faults from a seed.

    Parameters
    ----------
    seed : int
    rates : Rates

    Attributes
    ----------
    faults : collections.Counter
        How often each fault of `Rates` happened.
    """

    def __init__(self, seed: int, rates: Rates = Rates()) -> None:
        self._random = random.Random(seed)
        names = [field.name for field in fields(Rates)]
        self._rates = dict(zip(names, astuple(rates), strict=True))
        self._rates["flip"] *= 8
        self.faults: Counter[str] = Counter(dict.fromkeys(names, 0))

    def __call__(self, data: bytes) -> bytes:
        """What comes out of the line."""
        out = bytearray()
        for byte in data:
            if self._happens("flip"):
                byte ^= 1 << self._random.randrange(8)
            if not self._happens("drop"):
                out.append(byte)
            if self._happens("double"):
                out.append(byte)
            if self._happens("insert"):
                out.append(self._random.randrange(256))
            if len(out) > 1 and self._happens("reorder"):
                # The last bytes before as many that came earlier.
                length = self._random.randint(1, len(out) // 2)
                out[-2 * length :] = out[-length:] + out[-2 * length : -length]
            if self._happens("flood"):
                out += self._random.randbytes(_FLOOD)
        return bytes(out)

    def _happens(self, fault: str) -> bool:
        happens = self._random.random() < self._rates[fault]
        self.faults[fault] += happens
        return happens
