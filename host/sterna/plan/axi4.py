"""Clocks of reads from an AXI4 memory, and how many bursts must be on their way."""

from __future__ import annotations

from collections.abc import Sequence

from sterna.spec.axi4 import BEATS

__all__ = ["least_outstanding", "read_clocks"]

_ADDRESS, _QUEUE, _COUNT = 1, 3, 1
"""Clocks of the address register, of the queue, and until the room of a beat is free again."""


def read_clocks(bursts: Sequence[int], outstanding: int, latency: int) -> int:
    """Return the clocks from the first burst that a port takes to the last beat that it gives.

    Parameters
    ----------
    bursts : sequence of int
        Beats of each burst.
    outstanding : int
        Full bursts that there is room for.
    latency : int
        Clocks from an address to its first beat, of a memory that does not pause.
    """
    room = outstanding * BEATS
    asked, beats = -1, []  # when the last burst was asked for, and when each beat comes
    for burst in bursts:
        # Room for a full burst must be free: so many beats of those before have left the queue.
        left = len(beats) + BEATS - room
        asked = max(asked + 1, beats[left - 1] + _QUEUE + _COUNT if left > 0 else 0)
        for _ in range(burst):
            last = beats[-1] if beats else -1
            beats.append(max(last + 1, asked + _ADDRESS + latency))
    return beats[-1] + _QUEUE + 1


def least_outstanding(latency: int) -> int:
    """Return how many bursts must be on their way for a beat on every clock."""
    return -(-(latency + _ADDRESS + BEATS - 1 + _QUEUE + _COUNT) // BEATS)
