"""Trits five to the byte: how files hold them, and how a large model stays small in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sterna.errors import InputError

__all__ = ["PackedTrits", "pack_trits", "unpack_trits"]

_TRITS_PER_BYTE = 5
_POWERS = 3 ** np.arange(_TRITS_PER_BYTE)
_BYTE_TRITS = (np.arange(3**_TRITS_PER_BYTE)[:, None] // _POWERS % 3 - 1).astype(np.int8)


class PackedTrits(Mapping[str, np.ndarray]):
    """Trit matrices by name, each unpacked when it is asked for.

    A model of 2.7 billion weights takes 0.5 GB so, and 2.6 GB unpacked.
    """

    def __init__(self, matrices: Mapping[str, np.ndarray] | None = None) -> None:
        self._packed: dict[str, np.ndarray] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for name in matrices or {}:
            if isinstance(matrices, PackedTrits):
                self.add_packed(name, matrices.packed(name), matrices.shape(name))
            elif matrices is not None:
                self.add(name, matrices[name])

    def add(self, name: str, trits: np.ndarray) -> None:
        """Take a matrix, int8 [rows, columns] in {-1, 0, 1}."""
        self._packed[name], self._shapes[name] = pack_trits(trits), trits.shape

    def add_packed(self, name: str, packed: np.ndarray, shape: tuple[int, ...]) -> None:
        """Take a matrix as `pack_trits` returns it; InputError if it is none of this shape."""
        _check(packed, shape)
        self._packed[name], self._shapes[name] = packed, shape

    def packed(self, name: str) -> np.ndarray:
        """Bytes of a matrix, uint8 [ceil(size / 5)]."""
        return self._packed[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Rows and columns of a matrix."""
        return self._shapes[name]

    def __getitem__(self, name: str) -> np.ndarray:
        return unpack_trits(self._packed[name], self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def pack_trits(trits: np.ndarray) -> np.ndarray:
    """Pack trits five to the byte in base 3, the first in the lowest digit; the rest is zeros.

    Parameters
    ----------
    trits : numpy.ndarray
        int8 in {-1, 0, 1}, any shape.

    Returns
    -------
    numpy.ndarray
        uint8 [ceil(size / 5)].
    """
    groups = np.zeros((-(-trits.size // _TRITS_PER_BYTE), _TRITS_PER_BYTE), dtype=np.uint8)
    groups.reshape(-1)[: trits.size] = trits.reshape(-1)
    groups += 1  # -1 became 255
    packed = groups[:, -1].copy()
    for digit in reversed(range(_TRITS_PER_BYTE - 1)):
        packed *= np.uint8(3)
        packed += groups[:, digit]
    return packed


def unpack_trits(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo `pack_trits`.

    Returns
    -------
    numpy.ndarray
        int8 of the given shape.

    Raises
    ------
    InputError
        If the bytes are not trits, or not so many.
    """
    _check(packed, shape)
    return _BYTE_TRITS[packed].reshape(-1)[: int(np.prod(shape))].reshape(shape)


def _check(packed: np.ndarray, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    if packed.shape != (-(-size // _TRITS_PER_BYTE),):
        raise InputError(
            f"{packed.size} bytes of trits were given; {list(shape)} trits take "
            f"{-(-size // _TRITS_PER_BYTE)}"
        )
    if packed.size and packed.max() >= len(_BYTE_TRITS):
        raise InputError(f"{packed.max()} was given where five trits (0 to 242) are expected")
