"""Packings of ternary weights.

Two bits per trit: bit 0 says "not zero", bit 1 is the sign; 0b10 is refused.

Five bits per three trits (1.667 bit): bit 4 is the sign of the first trit that is not zero, bits
3..0 are the pattern of the other signs and of the zeros. The code is chosen for the decoder: the
inverse of bit 0 is the sign of trit 1 relative to bit 4, the inverse of bit 1 that of trit 2
(wherever they matter), so that signs cost at most one two-input gate and each "not zero" one
four-input table. Three zeros are code 0.

Eight bits per five trits (1.6 bit): bit 7 is the sign of the first trit that is not zero, bits 6..0
are the magnitude of the number that the trits are in balanced ternary, the first the highest digit.
Five zeros are code 0. "Not zero" of each trit and its sign relative to bit 7 are nine
seven-input tables, each of two tables of six inputs and a multiplexer, or thirteen tables of four.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import product

import numpy as np

from sterna.errors import InputError

__all__ = ["FIVE_THIRDS_PATTERNS", "Packing", "pack", "pattern_of", "unpack"]

FIVE_THIRDS_PATTERNS: tuple[tuple[int, int, int] | None, ...] = (
    (0, 0, 0), (0, 1, -1), (0, 0, 1), (0, 1, 1),
    (1, -1, -1), (1, 1, -1), (1, -1, 1), (1, 1, 1),
    (1, 0, -1), None, (1, 0, 1), (0, 1, 0),
    (1, 0, 0), None, (1, -1, 0), (1, 1, 0),
)  # fmt: skip


class Packing(IntEnum):
    """How trits lie in a tape word; the value stands in the chip configuration."""

    TWO_BITS = 0
    FIVE_THIRDS = 1
    EIGHT_FIFTHS = 2

    @property
    def trits(self) -> int:
        """Trits of one group."""
        return (1, 3, 5)[self]

    @property
    def bits(self) -> int:
        """Bits of one group."""
        return (2, 5, 8)[self]

    def word_bits(self, lanes: int) -> int:
        """Bits of a tape word with one trit for each of `lanes`."""
        return -(-lanes // self.trits) * self.bits


def _five_thirds_encoder() -> np.ndarray:
    """Code of each trit triple, indexed by 9 a + 3 b + c + 13."""
    codes = np.zeros(27, dtype=np.uint8)
    for triple in product((-1, 0, 1), repeat=3):
        first = next((t for t in triple if t), 1)
        pattern = FIVE_THIRDS_PATTERNS.index(tuple(t * first for t in triple))
        codes[triple[0] * 9 + triple[1] * 3 + triple[2] + 13] = pattern | (first < 0) << 4
    return codes


def _decoder(packing: Packing) -> np.ndarray:
    """Trits of each code, int8 [codes, trits]; -2 marks a code that is never written."""
    decoder = np.full((1 << packing.bits, packing.trits), -2, dtype=np.int8)
    groups = np.array(list(product((-1, 0, 1), repeat=packing.trits)), dtype=np.int8)
    decoder[_codes(groups, packing)] = groups
    return decoder


def _codes(groups: np.ndarray, packing: Packing) -> np.ndarray:
    """Code of each group, uint8; groups are int8 [..., trits]."""
    if packing is Packing.TWO_BITS:
        return np.array([0, 1, 3], dtype=np.uint8)[groups[..., 0]]
    if packing is Packing.FIVE_THIRDS:
        return _ENCODER[groups @ np.array([9, 3, 1], dtype=np.int8) + 13]
    number = groups @ np.array([81, 27, 9, 3, 1], dtype=np.int8)
    return np.abs(number).astype(np.uint8) | (number < 0).astype(np.uint8) << 7


_ENCODER = _five_thirds_encoder()
_DECODERS = {packing: _decoder(packing) for packing in Packing}


def pattern_of(magnitude: int) -> tuple[int, ...] | None:
    """Trits of five whose code has bit 7 clear and these bits below; None if there are none."""
    trits = _DECODERS[Packing.EIGHT_FIFTHS][magnitude]
    return None if trits[0] == -2 else tuple(trits.tolist())


def pack(trits: np.ndarray, packing: Packing) -> np.ndarray:
    """Pack words of trits.

    Parameters
    ----------
    trits : numpy.ndarray
        int8 [words, lanes] in {-1, 0, 1}; lane 0 goes to the lowest bits.

    Returns
    -------
    numpy.ndarray
        uint8 [words, bits]: 0 or 1 each, lowest bit first.
    """
    if trits.size and (trits.min() < -1 or trits.max() > 1):
        raise InputError(f"trits must be -1, 0 or 1, not {int(trits.flat[np.abs(trits).argmax()])}")
    words, lanes = trits.shape
    groups = -(-lanes // packing.trits)
    padded = np.zeros((words, groups, packing.trits), dtype=np.int8)
    padded.reshape(words, -1)[:, :lanes] = trits
    codes = _codes(padded, packing)
    bits = codes[..., None] >> np.arange(packing.bits, dtype=np.uint8) & 1
    return bits.reshape(words, -1)


def unpack(bits: np.ndarray, lanes: int, packing: Packing) -> np.ndarray:
    """Inverse of `pack`; refuses codes that `pack` never writes and padding that is not zero."""
    words = len(bits)
    groups = bits.reshape(words, -1, packing.bits).astype(np.uint8)
    codes = (groups << np.arange(packing.bits, dtype=np.uint8)).sum(axis=2, dtype=np.uint8)
    trits = _DECODERS[packing][codes].reshape(words, -1)
    if (trits == -2).any() or trits[:, lanes:].any():
        word = int(np.argwhere((trits == -2).any(axis=1) | trits[:, lanes:].any(axis=1))[0, 0])
        raise InputError(f"tape word {word} is not a {packing.name} word of {lanes} trits")
    return trits[:, :lanes]
