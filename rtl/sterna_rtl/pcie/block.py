"""The interface of the UltraScale+ hard block, as far as it is used: beats and descriptors.

The block gives requests of the host (CQ) and takes completions (CC), takes requests to the host
(RQ) and gives what it answers (RC), as packets of beats, without straddling and aligned to words of
32 bits: a descriptor first, then the payload. Another hard block needs nothing but something that
translates to these packets.
"""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import unsigned
from amaranth.lib.data import StructLayout

from sterna.spec.pcie import BEAT_BITS

__all__ = [
    "CC_DESCRIPTOR",
    "CQ_DESCRIPTOR",
    "DWORD",
    "RC_DESCRIPTOR",
    "RQ_DESCRIPTOR",
    "Found",
    "RequestType",
    "Status",
    "cc_beat",
    "cq_beat",
    "rc_beat",
    "rq_beat",
]

DWORD = 32


class RequestType(IntEnum):
    """What a CQ or RQ packet is. Messages are posted, as writes are; others want a completion."""

    READ = 0
    WRITE = 1
    IO_READ = 2
    IO_WRITE = 3
    FETCH_ADD = 4
    SWAP = 5
    COMPARE_AND_SWAP = 6
    LOCKED_READ = 7
    MESSAGE = 12
    VENDOR_MESSAGE = 13
    TRANSLATION_MESSAGE = 14


class Status(IntEnum):
    """How a request ended."""

    SUCCESS = 0
    UNSUPPORTED = 1


class Found(IntEnum):
    """What the block itself has found wrong with an answer; other numbers: it does not fit."""

    NOTHING = 0
    POISONED = 1
    REFUSED = 2  #: its status says so
    TIMEOUT = 9


CQ_DESCRIPTOR = StructLayout(
    {
        "address_type": 2,
        "address": 62,  # in words
        "dwords": 11,
        "type": 4,
        "_reserved": 1,
        "requester": 16,
        "tag": 8,
        "function": 8,
        "bar": 3,
        "aperture": 6,
        "traffic_class": 3,
        "attributes": 3,
        "_reserved_too": 1,
    }
)

CC_DESCRIPTOR = StructLayout(
    {
        "lower_address": 7,
        "_reserved": 1,
        "address_type": 2,
        "_reserved_too": 6,
        "bytes": 13,  # from here to the end of what was asked
        "locked": 1,
        "_reserved_as_well": 2,
        "dwords": 11,
        "status": 3,
        "poisoned": 1,
        "_reserved_again": 1,
        "requester": 16,
        "tag": 8,
        "function": 8,
        "bus": 8,
        "bus_given": 1,  # 0: the block puts in the one that it has
        "traffic_class": 3,
        "attributes": 3,
        "force_ecrc": 1,
    }
)

RQ_DESCRIPTOR = StructLayout(
    {
        "address_type": 2,
        "address": 62,  # in words
        "dwords": 11,
        "type": 4,
        "poisoned": 1,
        "requester": 16,
        "tag": 8,
        "completer": 16,
        "requester_given": 1,  # 0: the block puts in the one that it has
        "traffic_class": 3,
        "attributes": 3,
        "force_ecrc": 1,
    }
)

RC_DESCRIPTOR = StructLayout(
    {
        "lower_address": 12,  # a completion itself has no more than seven bits of it
        "error": 4,  # a `Found`
        "bytes": 13,  # from here to the end of what was asked
        "locked": 1,
        "completed": 1,
        "_reserved": 1,
        "dwords": 11,
        "status": 3,
        "poisoned": 1,
        "_reserved_too": 1,
        "requester": 16,
        "tag": 8,
        "completer": 16,
        "_reserved_as_well": 1,
        "traffic_class": 3,
        "attributes": 3,
        "_reserved_again": 1,
    }
)


def _beat(width: int, user: StructLayout | int) -> StructLayout:
    if width not in BEAT_BITS:
        raise ValueError(f"a beat of the block has {BEAT_BITS} bits, not {width}")
    return StructLayout(
        {
            "data": width,
            "keep": unsigned(width // DWORD),  # words that are there
            "last": 1,
            "user": user,
        }
    )


def cq_beat(width: int) -> StructLayout:
    """Return the layout of a beat from the block.

    Fields of `user` that say which bytes count are there with a packet's first beat. `discontinue`
    comes with the last one: the payload was damaged in the block.
    """
    if width == 512:
        # Straddling would use the second half of each of the first two.
        user = StructLayout(
            {"first_bytes": 4, "_0": 4, "last_bytes": 4, "_1": 84, "discontinue": 1, "_2": 86}
        )
    else:
        user = StructLayout(
            {"first_bytes": 4, "last_bytes": 4, "_0": 33, "discontinue": 1, "_1": 46}
        )
    return _beat(width, user)


def cc_beat(width: int) -> StructLayout:
    """Return the layout of a beat to the block; nothing in `user` is needed.

    `valid` must not fall within a packet.
    """
    return _beat(width, 81 if width == 512 else 33)


def rq_beat(width: int) -> StructLayout:
    """Return the layout of a beat of a request to the block.

    Fields of `user` are taken with a packet's first beat; `valid` must not fall within a packet.
    """
    if width == 512:
        # Straddling would use the second half of each of the first two.
        user = StructLayout({"first_bytes": 4, "_0": 4, "last_bytes": 4, "_1": 125})
    else:
        user = StructLayout({"first_bytes": 4, "last_bytes": 4, "_0": 54})
    return _beat(width, user)


def rc_beat(width: int) -> StructLayout:
    """Return the layout of a beat of an answer from the block.

    `discontinue` comes with the last beat: the payload was damaged in the block.
    """
    if width == 512:
        user = StructLayout({"_0": 96, "discontinue": 1, "_1": 64})
    else:
        user = StructLayout({"_0": 42, "discontinue": 1, "_1": 32})
    return _beat(width, user)
