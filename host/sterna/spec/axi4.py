"""AXI4 memories: what a chip knows of one, and what both sides of its ports go by.

A word of the memory is spread over all ports: bits n x data_bits and up come from port n, which
reads or writes the same place as all others. So the ports run in step, each in a range of addresses
of its own, and what they give is put together in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sterna.errors import InputError

__all__ = ["AXI4", "BEATS", "BOUNDARY", "Axi4", "Burst", "Response"]

BEATS = 16
"""Beats of a burst at most: AXI3 has no longer ones, and HBM behind AXI3 wants no longer ones."""

BOUNDARY = 4096
"""Bytes of a page; no burst may go from one into the next."""


class Burst(IntEnum):
    """How the address of a burst goes on (AxBURST)."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class Response(IntEnum):
    """What became of a beat (xRESP)."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def _power_of_two(number: int) -> bool:
    return type(number) is int and number > 0 and not number & (number - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axi4:
    """A memory behind AXI4.

    Attributes
    ----------
    data_bits : int
        Width of a port: 64, 128, 256 or 512.
    ports : int
        Ports, a power of two up to 32.
    port_bytes : int
        Bytes behind each port, a power of two from a page on.
    spacing : int
        Port n begins at address n x `spacing`: 0, or a multiple of `port_bytes`.
    outstanding : int
        Bursts that each port may have asked for, 1 to 64. Their beats must last for the time that
        the memory takes to answer.
    """

    data_bits: int
    ports: int = 1
    port_bytes: int
    spacing: int = 0
    outstanding: int

    def __post_init__(self) -> None:
        if self.data_bits not in (64, 128, 256, 512):
            raise InputError(f"data_bits must be 64, 128, 256 or 512, not {self.data_bits!r}")
        if not _power_of_two(self.ports) or self.ports > 32:
            raise InputError(f"ports must be a power of two up to 32, not {self.ports!r}")
        if not _power_of_two(self.port_bytes) or not BOUNDARY <= self.port_bytes <= 1 << 40:
            raise InputError(
                f"port_bytes must be a power of two from {BOUNDARY} to 2**40, "
                f"not {self.port_bytes!r}"
            )
        if type(self.spacing) is not int or self.spacing < 0 or self.spacing % self.port_bytes:
            raise InputError(f"spacing must be 0 or a multiple of port_bytes, not {self.spacing!r}")
        if type(self.outstanding) is not int or not 1 <= self.outstanding <= 64:
            raise InputError(f"outstanding must be from 1 to 64, not {self.outstanding!r}")

    @property
    def word_bits(self) -> int:
        """Bits of a word of the memory: a beat of each port."""
        return self.data_bits * self.ports

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return self.data_bits // 8

    @property
    def words(self) -> int:
        """Words that it holds."""
        return self.port_bytes // self.beat_bytes

    @property
    def block_words(self) -> int:
        """Words of a block: one, since single ones can be read and written."""
        return 1

    @property
    def block_bits(self) -> int:
        """Bits of a block."""
        return self.word_bits

    @property
    def blocks(self) -> int:
        """Blocks that it holds."""
        return self.words

    @property
    def row_blocks(self) -> int:
        """Blocks of a request: as many as may be on their way, up to a power of two."""
        return 1 << (self.outstanding * BEATS - 1).bit_length()

    @property
    def address_bits(self) -> int:
        """Bits of an address."""
        return ((self.ports - 1) * self.spacing + self.port_bytes - 1).bit_length()


AXI4 = {
    "axi4-64": Axi4(data_bits=64, port_bytes=1 << 24, outstanding=8),
    "axi4-ddr4": Axi4(data_bits=512, ports=4, port_bytes=1 << 30, outstanding=16),
    "axi4-hbm": Axi4(data_bits=512, ports=32, port_bytes=1 << 28, spacing=1 << 28, outstanding=16),
}
"""Memories by name: one small port; four channels of DDR4, each at an AXI port of its own; 32 ports
of HBM (256 bits at 450 MHz), each behind a crossing to 512 bits at the chip's clock. With 16 bursts
on their way answers may take 230 clocks, or a port may rest as long as a refresh."""
