"""The memories that may stand beside a chip, of whatever kind.

All of them read and write words of `word_bits` in blocks of `block_words`, and hold `blocks` of
them. Who reads on and on asks for `row_blocks` at a time: a row of an SDRAM, or as many as are on
their way from a memory that answers late.
"""

from __future__ import annotations

from sterna.spec.axi4 import AXI4, Axi4
from sterna.spec.dma import HostMemory
from sterna.spec.sdram import PARTS, Part

__all__ = ["MEMORIES", "External", "external"]

External = Part | Axi4 | HostMemory

MEMORIES = ("", *PARTS, *AXI4)
"""What may stand in `ChipConfig.memory`, by the number that a register shows."""


def external(name: str) -> Part | Axi4:
    """Return a memory by its name."""
    return PARTS[name] if name in PARTS else AXI4[name]
