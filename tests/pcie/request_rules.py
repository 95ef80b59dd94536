"""What PCIe and the hard block ask of reads and writes of the host's memory.

Written from the block's description and the PCIe rules, without the layouts of the gateware.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.pcie.rules import ProtocolError

__all__ = ["REQUEST_RULES", "Asked", "RequestRules"]

REQUEST_RULES = {
    "stable": "a beat changed or was taken back before it was taken",
    "gap": "valid fell within a packet",
    "keep": "words of a beat are missing",
    "length": "a descriptor is not whole, or something follows it",
    "kind": "neither a read nor a write of memory",
    "reserved": "a bit is set that must not be",
    "bytes": "byte enables that requests of whole words do not have",
    "empty": "nothing is asked for",
    "longest": "more than the host allows",
    "payload": "a write of more than the link allows",
    "page": "a request over the end of 4 KiB",
    "tag": "the tag of a read that is not answered yet",
    "place": "a read outside the pages that the host gave",
    "writable": "a write outside the pages that the host gave to be written",
}
"""By name."""


@dataclass
class Asked:
    """A read, and how many of its bytes have been answered."""

    address: int
    bytes: int
    tag: int
    come: int = 0


class RequestRules:
    """Watches the beats of RQ on every clock.

    Parameters
    ----------
    width : int
        Bits of a beat.
    longest : int
        Bytes of the longest read.
    pages : iterable of (int, int)
        Beginning and size of what may be read, in bytes.

    Attributes
    ----------
    writable : list of (int, int)
        Of what may be written.
    payload : int
        Bytes of the longest write.
    written : list of (int, list of int)
        Where writes went, and their words.
    """

    def __init__(self, width: int, longest: int, pages: Iterable[tuple[int, int]]) -> None:
        self.width = width
        self.longest = longest
        self.pages = list(pages)
        self.writable: list[tuple[int, int]] = []
        self.payload = 128
        self.written: list[tuple[int, list[int]]] = []
        self.waiting: dict[int, Asked] = {}
        self.words: list[int] = []
        self.user = 0
        self.offered: tuple[int, ...] | None = None

    def clock(self, valid, ready, data=0, keep=0, last=0, user=0) -> Asked | None:
        """Look at a clock; return the read that it completes."""
        beat = (data, keep, last, user)
        if self.offered is not None:
            self._rule(valid and beat == self.offered, "stable")
        self._rule(valid or not self.words, "gap")
        self.offered = beat if valid and not ready else None
        if not (valid and ready):
            return None
        if not self.words:
            self.user = user
        count = keep.bit_length()
        whole = count == self.width // 32 or (last and count)
        self._rule(keep == (1 << count) - 1 and whole, "keep")
        self.words += [data >> 32 * n & 0xFFFFFFFF for n in range(count)]
        if not last:
            return None
        words, self.words = self.words, []
        return self._request(words)

    def end(self) -> None:
        """Look at what is left when nothing more will come."""
        self._rule(not self.words, "gap")

    def _request(self, words: list[int]) -> Asked | None:
        self._rule(len(words) >= 4, "length")
        dwords, kind = words[2] & 0x7FF, words[2] >> 11 & 15
        self._rule(kind in (0, 1), "kind")
        self._rule(len(words) == 4 + kind * dwords, "length")
        # Address type, poisoned, IDs, class, attributes and checksum are the block's.
        self._rule(not (words[0] & 3 or words[2] >> 15 or words[3] >> 8), "reserved")
        # Of 512 bits the second and the fourth group are for a second packet in the same beat.
        enables, whole = (0xFFFF, 0xF0F) if self.width == 512 else (0xFF, 0xFF)
        self._rule(self.user & enables == whole, "bytes")
        asked = Asked(words[1] << 32 | words[0], 4 * dwords, words[3] & 0xFF)
        self._rule(asked.bytes != 0, "empty")
        self._rule(kind or asked.bytes <= self.longest, "longest")
        self._rule(not kind or asked.bytes <= self.payload, "payload")
        end = asked.address + asked.bytes - 1
        self._rule(asked.address >> 12 == end >> 12, "page")
        pages = self.writable if kind else self.pages
        inside = any(start <= asked.address and end < start + size for start, size in pages)
        if kind:
            self._rule(inside, "writable")
            self.written.append((asked.address, words[4:]))
            return None
        self._rule(asked.tag not in self.waiting, "tag")
        self._rule(inside, "place")
        self.waiting[asked.tag] = asked
        return asked

    @staticmethod
    def _rule(kept, name: str) -> None:
        if not kept:
            raise ProtocolError(REQUEST_RULES[name])
