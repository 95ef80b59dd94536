"""Serial link: frames by which a host reaches a chip's registers over a UART.

    on the wire: 00 | COBS(type, sequence, payload, CRC-32) | 00

The type's lower half is a `Kind`, its upper half the session that SYNC began. The CRC-32 is zlib's,
lowest byte first. A device acts on a frame only after its CRC was right.

Requests are executed in the order of their sequence numbers (modulo 256), each exactly once, and
each is answered by a frame of the same number. Replies are kept: a request that comes again is
answered again. So a host sends up to `WINDOW` requests ahead of the replies, and on AGAIN or after
a while without a reply goes back to the first one that has none (go-back-N).

The payload of EXECUTE and RESUME is a list of operations, each a word of four bytes (code, register
address, count, 0) and, if it writes, as many words of data. Words have their lowest byte first. The
payload of a reply is the words read, then three bytes: `Outcome`, words of the request's payload
that were done, and credits: how many requests after this one the device has room for.

A line break of 16 bit times or more resets all of a device but the contents of its memories. After
that, and after power-up, its UART runs at `DEFAULT_BAUD`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

__all__ = [
    "DEFAULT_BAUD",
    "REPLY_WORDS",
    "REQUEST_BYTES",
    "WINDOW",
    "Code",
    "Frame",
    "Kind",
    "Outcome",
    "decode",
    "encode",
]

WINDOW = 8
"""Requests that may be on their way or unanswered."""

REQUEST_BYTES = 256
"""Longest payload of a request."""

REPLY_WORDS = 56
"""Words that one request may read."""

DEFAULT_BAUD = 115_200
"""Bits per second of a UART after reset; UART_DIVISOR changes it."""


class Kind(IntEnum):
    """What a frame is; the last three have the number of the next request to be executed."""

    SYNC = 1  #: request: begin a session; the next request has this number
    EXECUTE = 2  #: request: operations on registers
    RESUME = 3  #: request: the same, also after one that was not done
    DONE = 4  #: reply to EXECUTE and RESUME
    SYNCED = 5  #: reply to SYNC
    AGAIN = 6  #: something was lost: send again from this number on
    LOST = 7  #: the session is unknown, as after a reset


class Code(IntEnum):
    """Code of an operation."""

    WRITE = 0  #: each word to the same register
    READ = 1  #: the same register as often as count says
    WRITE_NEXT = 2  #: words to consecutive registers
    READ_NEXT = 3  #: consecutive registers


class Outcome(IntEnum):
    """How a request ended. After one that was not DONE only RESUME is executed."""

    DONE = 0  #: all of it
    NO_ROOM = 1  #: a write was refused: all before it is done
    HELD = 2  #: nothing, because of a request before it
    MALFORMED = 3  #: an operation that does not fit the payload, or the reply


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame.

    Attributes
    ----------
    kind : int
        A `Kind`, if it is one.
    session : int
        0 to 15.
    sequence : int
        0 to 255.
    payload : bytes
    """

    kind: int
    session: int
    sequence: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """Bytes of a frame as they go over the wire, with the zeros around them."""
    head = bytes([frame.kind | frame.session << 4, frame.sequence])
    body = head + frame.payload
    return b"\0" + cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def decode(block: bytes) -> Frame | None:
    """Frame of the bytes between two zeros; None if they are damaged."""
    try:
        body = cobs.decode(block)
    except cobs.DecodeError:
        return None
    if len(body) < 6 or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]:
        return None
    return Frame(body[0] & 15, body[0] >> 4, body[1], body[2:-4])
