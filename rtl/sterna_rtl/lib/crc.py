"""CRC-32 (IEEE 802.3, as `zlib.crc32` has it), a byte at a time."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth import *

__all__ = ["CRC_INIT", "CRC_RESIDUE", "crc32"]

CRC_INIT = 0xFFFFFFFF
"""The register before the first byte; the checksum is its complement after the last."""

CRC_RESIDUE = 0xDEBB20E3
"""The register after a message and its checksum, lowest byte first."""

_POLYNOMIAL = 0xEDB88320


def _next(state: int, byte: int) -> int:
    state ^= byte
    for _ in range(8):
        state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
    return state


def crc32(state: Value, byte: Value) -> Value:
    """Return the register after one more byte.

    The step is linear over GF(2): what each input bit alone does says which of them each output
    bit is the sum of.
    """
    inputs = [*state, *byte]
    effects = [_next(1 << n, 0) for n in range(32)] + [_next(0, 1 << n) for n in range(8)]
    sums = []
    for position in range(32):
        terms = [bit for bit, effect in zip(inputs, effects, strict=True) if effect >> position & 1]
        sums.append(reduce(xor, terms))
    return Cat(sums)
