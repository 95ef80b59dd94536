"""What PCIe and the hard block ask of completions, checked beside the model, which checks less."""

from __future__ import annotations

from dataclasses import dataclass

from sterna.spec.pcie import READ_COMPLETION_BOUNDARY

__all__ = ["CompletionRules", "Packet", "ProtocolError"]

READS = (0, 7)
POSTED = (1, 12, 13, 14)


class ProtocolError(AssertionError):
    """A rule was broken."""


@dataclass
class Packet:
    """A request: words of its descriptor, byte enables, and how much of it has been answered."""

    words: list[int]
    first: int
    last: int
    answered: int = 0  # bytes

    @property
    def kind(self) -> int:
        return self.words[2] >> 11 & 15

    @property
    def dwords(self) -> int:
        return self.words[2] & 0x7FF

    @property
    def skipped(self) -> int:
        return next((n for n in range(4) if self.first >> n & 1), 0)

    @property
    def bytes(self) -> int:
        """Bytes that are wanted."""
        if self.kind not in READS:
            return {2: 4, 3: 4, 6: 2 * self.dwords}.get(self.kind, 4 * self.dwords)
        ends = self.first if self.dwords == 1 else self.last
        if not ends:
            return 1
        return 4 * self.dwords - self.skipped - (3 - max(n for n in range(4) if ends >> n & 1))


class CompletionRules:
    """Watches the beats of CC on every clock; told of the requests on CQ as they pass.

    Parameters
    ----------
    width : int
        Bits of a beat.
    most : int
        Bytes of the largest payload.
    """

    def __init__(self, width: int, most: int = 128) -> None:
        self.lanes = width // 32
        self.most = most
        self.waiting: dict[tuple[int, int], Packet] = {}
        self.words: list[int] = []
        self.offered = None
        self.packets = 0

    def request(self, packet: Packet) -> None:
        """Note a request."""
        if packet.kind not in POSTED:
            self.waiting[packet.words[2] >> 16, packet.words[3] & 0xFF] = packet

    def clock(self, valid, ready, data=0, keep=0, last=0) -> None:
        """Look at a clock."""
        beat = (data, keep, last)
        if self.offered is not None:
            self._rule(valid and beat == self.offered, "a beat changed before it was taken")
        self._rule(valid or not self.words, "valid fell within a packet")
        self.offered = beat if valid and not ready else None
        if not (valid and ready):
            return
        count = keep.bit_length()
        self._rule(keep == (1 << count) - 1 and count, "words of a beat are missing")
        self._rule(last or count == self.lanes, "a beat before the last is not full")
        self.words += [data >> 32 * n & 0xFFFFFFFF for n in range(count)]
        if last:
            words, self.words = self.words, []
            self._completion(words)

    def end(self) -> None:
        """Look at what is left when nothing more will come."""
        self._rule(not self.waiting, "a request was not answered")
        self._rule(not self.words, "a packet has no end")

    def _completion(self, words) -> None:
        self.packets += 1
        self._rule(len(words) >= 3, "a descriptor is not whole")
        low, size, locked = words[0] & 0x7F, words[0] >> 16 & 0x1FFF, words[0] >> 29 & 1
        dwords, status = words[1] & 0x7FF, words[1] >> 11 & 7
        key = words[1] >> 16, words[2] & 0xFF
        self._rule(key in self.waiting, "nobody waits for this completion")
        request = self.waiting[key]
        reserved = (1 << 7 | 0x3F << 10 | 3 << 30, 1 << 14 | 1 << 15, 0x1FF << 16 | 1 << 31)
        self._rule(
            not any(word & mask for word, mask in zip(words, reserved, strict=False)),
            "a reserved bit is set",
        )
        self._rule((words[2] ^ request.words[3]) >> 25 & 63 == 0, "class or attributes differ")
        self._rule((words[2] ^ request.words[3]) >> 8 & 255 == 0, "another function answers")
        self._rule((words[0] >> 8 ^ request.words[0]) & 3 == 0, "the address type differs")
        self._rule(locked == (request.kind == 7), "locked or not, as it was asked")
        left = request.bytes - request.answered
        self._rule(size == left, "the byte count is not what is left")
        start = (request.words[0] & ~3) + request.skipped + request.answered & 0x7F
        wanted = start if request.kind in READS else 0
        self._rule(low == wanted, "the lower address is not that of the first byte")
        if status:
            self._rule(dwords == 0, "a failure has no data")
            log = [request.first | request.last << 4, *request.words]
            self._rule(words[3:] == log, "the request does not follow a failure")
            self._rule(request.answered == 0, "a failure after data")
            del self.waiting[key]
            return
        self._rule(request.kind == 0, "what is not supported succeeds")
        self._rule(len(words) == 3 + dwords, "length and words differ")
        self._rule(dwords * 4 <= self.most, "the payload is too long")
        given = min(left, 4 * dwords - low % 4)
        request.answered += given
        self._rule(4 * dwords < low % 4 + left + 4, "more than was asked")
        if given == left:
            del self.waiting[key]
        else:
            self._rule(
                (low + given) % READ_COMPLETION_BOUNDARY == 0, "cut elsewhere than at a boundary"
            )

    @staticmethod
    def _rule(kept, text: str) -> None:
        if not kept:
            raise ProtocolError(text)
