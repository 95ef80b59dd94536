"""Bitstreams as they are kept: xz files, so that `xz -d` unpacks one too."""

from __future__ import annotations

import lzma
from pathlib import Path

from sterna.errors import InputError

__all__ = ["NAME", "pack", "read"]

NAME = "chip.bit.xz"
"""Name of the file in a board's folder."""

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
"""Without alignment: a frame of an FPGA's configuration is no multiple of four bytes long."""


def pack(bitstream: bytes) -> bytes:
    """Compress a bitstream."""
    return lzma.compress(bitstream, filters=_FILTERS)


def read(path: Path) -> bytes:
    """Return the bitstream in a file.

    Raises
    ------
    InputError
        If there is none, or it is damaged.
    """
    try:
        return lzma.decompress(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path} is not a whole xz file; copy or build it again") from error
