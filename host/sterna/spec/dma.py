"""DMA: a chip behind PCIe reads its tape from the host's memory.

The host pins pages, writes their addresses to a table and says how many of them there are. The tape
lies in these pages, one behind the other in the order of the table. A tape word begins with a beat,
lowest bits first, and fills as many as it needs.

While `RUN` is set or anything is on its way, table, `PAGES`, `BLOCKS` and `RING` take no writes. So
what a chip reads and writes lies in the pages that the host had put down before it set `RUN`,
whatever the tape says and whoever writes registers meanwhile. Pages from that which `RING` lies in
are written alone, those before it are read alone; without a ring nothing is written.

Results may come to the host's memory by themselves. If `RING` is not 0, it is the block with which
a ring of `ENTRIES` begins, and while `RUN` is set what stands in the queues of `RESULTS` is taken
from there and written to it, an entry of eight bytes each: the word that a read of the register
would have given, then the register's number. An entry that is not 0 has been written; the host
takes it, sets it to 0, and tells by `TAKEN` how many it has taken. Without room in the ring the
queues are left alone. `RUN` begins with the first entry. The host is not to read these registers
meanwhile.

After an error nothing is asked for any more, and no word of the tape is given. It stays until the
host writes `STATUS`, which has its effect once nothing is on its way; then the chip is to be reset
by CONTROL, and reads the tape from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sterna.errors import InputError

__all__ = [
    "BEATS_SHIFT",
    "BLOCK_BYTES",
    "BUSY",
    "ENTRIES",
    "ENTRY_BYTES",
    "FIRST_REGISTER",
    "LARGE",
    "LARGE_PAGE_BYTES",
    "PAGE_BYTES",
    "REQUEST_BLOCKS",
    "RESULTS",
    "TABLE",
    "TAGS",
    "THERE",
    "DmaError",
    "DmaRegister",
    "HostMemory",
]

BLOCK_BYTES = 128
"""The tape's length is counted in blocks of so many bytes. Every host can be asked for a block, and
none answers with less than half of one."""

REQUEST_BLOCKS = 4
"""Blocks of the longest request; fewer if the host allows only shorter ones."""

TAGS = 32
"""Requests that may be on their way: 16 KiB, which at 8 GB/s last for 2 microseconds."""

PAGE_BYTES = 4096
"""Bytes of a page."""

LARGE_PAGE_BYTES = 2 << 20
"""Bytes of a large page."""

TABLE = 512
"""Pages of the table."""

ENTRY_BYTES = 8
"""Bytes of an entry of the ring."""

ENTRIES = 512
"""Entries of the ring: a small page."""

RESULTS = ("GENERATED", "LOGIT", "LOG_PROBABILITY")
"""Registers whose words go to the ring, if it is there. In each of them bit 31 says that there was
one."""

FIRST_REGISTER = 240
"""Number of the first DMA register; the chip's own end before it."""


class DmaRegister(IntEnum):
    """Numbers of the registers for DMA. They read as 0 if there is no DMA."""

    STATUS = 240  #: read: `THERE`, `BUSY`, beats, a bit per `DmaError`; written: clears errors
    RUN = 241  #: 1: the tape comes from the host's memory. Takes 1 only while nothing is on its way
    BLOCKS = 242  #: blocks that hold the tape
    PAGES = 243  #: pages of the table that are in use; bit 31: they are large
    INDEX = 244  #: page that HIGH writes next; counts up
    LOW = 245  #: address of a page, lower half; its lowest 12 bits (21 of a large one) are ignored
    HIGH = 246  #: upper half; puts the page into the table
    RING = 247  #: block with which the ring begins, the first of a small page; 0: there is none
    TAKEN = 248  #: entries of the ring that the host has taken since RUN was set


LARGE = 1 << 31
"""PAGES: all pages are large."""

THERE = 1 << 31
"""STATUS: there is DMA."""

BUSY = 1 << 30
"""STATUS: something is on its way; the host must keep the pages until it is not."""


BEATS_SHIFT = 8
"""STATUS: from this bit on two bits are the width of a beat, its place in `BEAT_BITS`."""


class DmaError(IntEnum):
    """Bits of STATUS."""

    FAILED = 0  #: the host answered that it can't: unsupported request, completer abort
    MALFORMED = 1  #: an answer is not what was asked for
    TIMEOUT = 2  #: an answer did not come
    OUTSIDE = 3  #: a block beyond the pages lent for it; it was neither read nor written
    DAMAGED = 4  #: data came, but marked as damaged on their way: poisoned


@dataclass(frozen=True, slots=True)
class HostMemory:
    """The host's memory, as one that stands beside a chip; see `sterna.spec.memories`.

    Attributes
    ----------
    word_bits : int
        Bits of a beat of the block's streams: 64, 128, 256 or 512.
    """

    word_bits: int

    def __post_init__(self) -> None:
        if self.word_bits not in (64, 128, 256, 512):
            raise InputError(f"word_bits must be 64, 128, 256 or 512, not {self.word_bits!r}")

    @property
    def block_bits(self) -> int:
        """Bits of a block."""
        return 8 * BLOCK_BYTES

    @property
    def block_words(self) -> int:
        """Beats of a block."""
        return self.block_bits // self.word_bits

    @property
    def blocks(self) -> int:
        """Blocks that a table of large pages holds."""
        return TABLE * LARGE_PAGE_BYTES // BLOCK_BYTES

    @property
    def words(self) -> int:
        """Beats that a table of large pages holds."""
        return self.blocks * self.block_words

    @property
    def row_blocks(self) -> int:
        """Blocks of a fetch: as many as may be on their way."""
        return TAGS * REQUEST_BLOCKS
