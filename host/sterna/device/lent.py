"""A tape in this computer's memory, which a device reads by DMA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from sterna.errors import InputError
from sterna.spec.dma import (
    BLOCK_BYTES,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    TABLE,
    DmaRegister,
)

__all__ = ["Lent", "laid_out", "table_writes"]


class Lent(Protocol):
    """Memory that a device may read, or write, for as long as its `Bar` is open.

    Attributes
    ----------
    page_bytes : int
        Bytes of a page, `PAGE_BYTES` or `LARGE_PAGE_BYTES`.
    addresses : list of int
        Where the device finds each page.
    """

    page_bytes: int
    addresses: list[int]

    def fill(self, data: bytes) -> None:
        """Write what the device is to read, from the first page's beginning on."""
        ...

    def take(self, place: int) -> int:
        """Return the eight bytes at a place, counted in these, and leave zeros."""
        ...


def laid_out(tape: np.ndarray, beat_bits: int) -> bytes:
    """Return a tape as it lies in the pages: each word begins with a beat.

    Parameters
    ----------
    tape : numpy.ndarray
        uint32 [words, pieces], lowest piece first.
    beat_bits : int
        Bits of a beat.
    """
    words, pieces = tape.shape
    per_beat = beat_bits // 32
    padded = np.zeros((words, -(-pieces // per_beat) * per_beat), dtype="<u4")
    padded[:, :pieces] = tape
    data = padded.tobytes()
    return data + bytes(-len(data) % BLOCK_BYTES)


def table_writes(
    lent: Lent, size: int, ring: Lent | None = None
) -> Iterator[tuple[DmaRegister, int]]:
    """Yield writes to registers that tell a device of the memory, and of `size` bytes in it.

    The pages of a ring for results, of the same size, stand behind the tape's.
    """
    addresses = lent.addresses + (ring.addresses if ring else [])
    if len(addresses) > TABLE:
        raise InputError(
            f"a tape of {size} bytes needs {len(addresses)} pages of {lent.page_bytes} bytes, "
            f"and a device knows {TABLE}; make huge pages available"
        )
    kinds = {PAGE_BYTES: 0, LARGE_PAGE_BYTES: LARGE}
    yield DmaRegister.PAGES, len(addresses) | kinds[lent.page_bytes]
    yield DmaRegister.INDEX, 0
    for address in addresses:
        yield DmaRegister.LOW, address & 0xFFFFFFFF
        yield DmaRegister.HIGH, address >> 32
    yield DmaRegister.BLOCKS, size // BLOCK_BYTES
    begin = len(lent.addresses) * lent.page_bytes // BLOCK_BYTES
    yield DmaRegister.RING, begin if ring else 0
