"""PCIe: where a host finds a chip's registers, and the one register that belongs to the endpoint.

BAR 0 has 4 KiB of 32-bit words. Register n of the map above is the word at byte 4 n, the endpoint's
own register `LINK` stands behind the last of them. What is neither reads as 0; writing it does
nothing.

A posted write has no reply, so a host asks afterwards what became of its writes. A write to a
register that finds no room is refused, and after it all others are dropped (`HELD`), so that a host
that has seen how many were done goes on with the first that was not. Reads are always answered.

A write of some of a word's bytes leaves the others what a read of the word gives. It is refused if
reading takes something out of a queue (`QUEUES`), and so is one whose data were damaged on their
way. A read gives the whole word, unless it is one of no bytes, which touches no register.

A computer may stop when a read is not answered. So one that the chip does not answer in time (DATA,
read while a CHECK is at work or while the chip does not take what was written to STREAM) is
answered with 0, and the chip is reset as by a line break on the serial link.
"""

from __future__ import annotations

__all__ = [
    "BAR_BYTES",
    "BEAT_BITS",
    "COUNT_BITS",
    "DEVICE",
    "FRESH",
    "HELD",
    "LINK",
    "QUEUES",
    "READ_CLOCKS",
    "READ_COMPLETION_BOUNDARY",
    "VENDOR",
]

VENDOR = 0x10EE
"""Vendor ID: the FPGA maker's, under which its block appears if nobody gives it another."""

DEVICE = 0x9038
"""Device ID, of the same kind. What stands behind it, only the register MAGIC can say."""

BAR_BYTES = 4096
"""Size of BAR 0."""

LINK = 0x400
"""Byte offset of LINK. Read: writes to registers that were done, modulo 2**24, `FRESH` and `HELD`.
Written, with anything: clears both."""

BEAT_BITS = (64, 128, 256, 512)
"""Bits of a beat of the block's streams, one of these."""

COUNT_BITS = 24
"""Bits of LINK that count. Those between them and `FRESH` are 0, so that LINK never reads as the
word of ones that a host gets if no device answers."""

FRESH = 1 << 30
"""LINK: nobody has written it since endpoint or chip were reset."""

HELD = 1 << 31
"""LINK: writes to registers are dropped, as one was refused; also after a reset."""

QUEUES = ("GENERATED", "LOGIT", "LOG_PROBABILITY", "DATA")
"""Registers from which a read takes something."""

READ_CLOCKS = 1 << 13
"""So long may a register take to answer a read."""

READ_COMPLETION_BOUNDARY = 128
"""An endpoint may cut the answer to a read only at multiples of so many bytes, and no completion
may hold more than the smallest maximal payload, which is the same: so it is cut at each of them."""
