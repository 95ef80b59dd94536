"""How a chip's RAMs are built: from LUTs or from block RAMs, and in which pieces."""

from __future__ import annotations

__all__ = ["BANKED_CLOCKS", "BANK_WORDS", "LUTRAM_WORDS"]

LUTRAM_WORDS = 64
"""RAMs up to this depth are kept out of block RAM, which the tape needs."""

BANK_WORDS = 2048
"""Words of a bank of the tape or the embedding: the deepest shape of an ECP5 block RAM that still
has the ninth bit of each byte."""

BANKED_CLOCKS = 4
"""From an address of a RAM of several banks to its word: the address, a bank, its own register, and
the choice of banks have one each."""
