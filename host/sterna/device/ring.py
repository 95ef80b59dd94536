"""Results that a device writes to this computer's memory by itself; see `sterna.spec.dma`."""

from __future__ import annotations

from collections import deque

from sterna.device.lent import Lent
from sterna.spec.dma import ENTRIES, ENTRY_BYTES, RESULTS
from sterna.spec.registers import REGISTERS

__all__ = ["RING_BYTES", "Ring"]

RING_BYTES = ENTRIES * ENTRY_BYTES


class Ring:
    """The ring, as its reader sees it.

    Parameters
    ----------
    lent : Lent
        `RING_BYTES` that the device may write.

    Attributes
    ----------
    taken : int
        Entries since `begin`.
    """

    def __init__(self, lent: Lent) -> None:
        self.lent = lent
        self.begin()

    def begin(self) -> None:
        """Forget all of it; the device must not write meanwhile."""
        self.taken = self._told = 0
        self._queues: dict[int, deque[int]] = {REGISTERS[name].address: deque() for name in RESULTS}
        self.lent.fill(bytes(RING_BYTES))

    def take(self, register: str, count: int) -> list[int]:
        """Return what so many reads of a register would give: 0 where there is nothing yet."""
        while entry := self.lent.take(self.taken % ENTRIES):
            self.taken += 1
            self._queues[entry >> 32].append(entry & 0xFFFFFFFF)
        queue = self._queues[REGISTERS[register].address]
        return [queue.popleft() if queue else 0 for _ in range(count)]

    def news(self) -> int | None:
        """Return how many were taken, if it is time to tell the device: with each quarter."""
        if self.taken - self._told < ENTRIES // 4:
            return None
        self._told = self.taken
        return self.taken
