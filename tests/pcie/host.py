"""A host's requests as packets of the block, bit by bit, and what must follow of them.

Written from the block's description and the PCIe rules, without the layouts of the gateware.
"""

from __future__ import annotations

from sterna.spec.pcie import FRESH, HELD, LINK, QUEUES
from sterna.spec.registers import REGISTERS

FULL = 200  # a register that never has room
DEAF, MUTE = 201, 202  # registers that never take a read, and never answer it
READ, WRITE, IO_READ, IO_WRITE, FETCH_ADD, SWAP, CAS, LOCKED, MESSAGE = 0, 1, 2, 3, 4, 5, 6, 7, 12
VENDOR_MESSAGE = 13
MASK = (1 << 32) - 1
QUEUE_ADDRESSES = {REGISTERS[name].address for name in QUEUES}


def lanes_of(enables):
    """Bytes of a word that are meant."""
    return [n for n in range(4) if enables >> n & 1]


def pack_beats(width, words, user, last_user=0):
    """Words of a packet as beats; `user` in the first, `last_user` in the last."""
    lanes = width // 32
    beats = []
    for start in range(0, len(words), lanes):
        part = words[start : start + lanes]
        last = start + lanes >= len(words)
        beats.append(
            {
                "data": sum(word << 32 * n for n, word in enumerate(part)),
                "keep": (1 << len(part)) - 1,
                "last": int(last),
                "user": (user if start == 0 else 0) | (last_user if last else 0),
            }
        )
    return beats


class Host:
    """Makes requests and knows the state of the window that they reach."""

    def __init__(self, rng, width):
        self.rng, self.width = rng, width
        self.held, self.fresh, self.count, self.tag = True, True, 0, 0
        self.cleared = 0  # resets of the chip, which did not answer
        self.clear()

    def clear(self):
        self.cq, self.cc, self.requests, self.answers = [], [], [], []
        self.accesses, self.words = [], []

    def word(self):
        return int(self.rng.integers(1 << 32))

    def send(
        self, kind, address, words=(), count=None, first=15, last=None, *,
        function=0, bar=0, damaged=False,
    ):  # fmt: skip
        """Send a request of `words`, or of `count` words to be read."""
        rng = self.rng
        count = len(words) if count is None else count
        last = (15 if count > 1 else 0) if last is None else last
        self.tag = (self.tag + int(rng.integers(1, 9))) % 256
        base = int(rng.integers(1 << 52)) << 12
        requester, way = int(rng.integers(1 << 16)), int(rng.integers(4))
        traffic, attributes, aperture = (int(rng.integers(n)) for n in (8, 8, 64))
        head = [
            way | (base | address) & MASK & ~3,
            base >> 32,
            count | kind << 11 | requester << 16,
            self.tag
            | function << 8
            | bar << 16
            | aperture << 19
            | traffic << 25
            | attributes << 28,
        ]
        self.cq += pack_beats(self.width, [*head, *words], *self._user(first, last, damaged))
        parts = {"way": way, "requester": requester, "tag": self.tag | function << 8}
        parts["order"] = traffic << 25 | attributes << 28
        ours = bar == 0 and function == 0
        if kind == WRITE and ours:
            for n, word in enumerate(words):
                enables = first if n == 0 else last if n == count - 1 else 15
                bad = damaged and self._in_last_beat(n, count)
                self._write(address // 4 + n, word, enables, bad)
        elif kind == READ and ours:
            self._read(address, count, first, last, parts)
        elif kind < 8 and kind != WRITE:
            size, low = self._size(count, first, last), 0
            if kind in (READ, LOCKED):
                low = address & 0x7C | min(lanes_of(first), default=0)
            elif kind in (IO_READ, IO_WRITE):
                size = 4
            else:
                size = 4 * count // (2 if kind == CAS else 1)
            self._complete(parts, low, size, 1, [first | last << 4, *head], 0, kind == LOCKED)

    def _in_last_beat(self, word, count):
        lanes = self.width // 32
        return (4 + word) // lanes == (3 + count) // lanes

    def _user(self, first, last, damaged):
        """Sideband bits of the first and of the last beat, and noise where nothing is told."""
        if self.width == 512:
            noise = self.word() << 16 | self.word() << 60 | self.word() << 130
            return first | last << 8 | noise & ~(1 << 96), damaged << 96
        return first | last << 4 | (self.word() & 0xFFFF) << 8 | self.word() << 50, damaged << 41

    @staticmethod
    def _size(count, first, last):
        if count == 1:
            lanes = lanes_of(first)
            return lanes[-1] - lanes[0] + 1 if lanes else 1
        return 4 * count - lanes_of(first)[0] - (3 - lanes_of(last)[-1])

    def _write(self, address, word, enables, damaged):
        if not enables or address > LINK // 4:
            return
        if address == LINK // 4:
            self.held = self.fresh = False
            return
        if self.held:
            return
        if damaged or (enables != 15 and address in QUEUE_ADDRESSES):
            self.held = True
            return
        if enables != 15:
            old = self._ask(address)
            if old is None:
                return
            mask = sum(0xFF << 8 * n for n in lanes_of(enables))
            word = word & mask | old & ~mask
        self.requests.append({"write": 1, "address": address, "data": word})
        self.held = address == FULL
        self.count = (self.count + (not self.held)) % (1 << 24)

    def _ask(self, address):
        if address in (DEAF, MUTE):
            if address == MUTE:
                self.requests.append({"write": 0, "address": address, "data": 0})
            self.held = self.fresh = True
            self.cleared += 1
            return None
        self.requests.append({"write": 0, "address": address, "data": 0})
        self.answers.append(self.word())
        return self.answers[-1]

    def _read_word(self, address, enables):
        if enables and address == LINK // 4:
            return self.count | self.fresh * FRESH | self.held * HELD
        return self._ask(address) or 0 if enables and address < LINK // 4 else 0

    def access(self, write, address, word=0, enables=15, damaged=False):
        """Give the window itself an access."""
        self.accesses.append(
            {"write": write, "address": address, "data": word, "bytes": enables, "damaged": damaged}
        )
        if write:
            self._write(address, word, enables, damaged)
        else:
            self.words.append(self._read_word(address, enables))

    def _read(self, address, count, first, last, parts):
        size, low = self._size(count, first, last), min(lanes_of(first), default=0)
        words = []
        for n in range(count):
            enables = first if n == 0 else last if n == count - 1 else 15
            place = address // 4 + n
            words.append(self._read_word(place, enables))
            if n == count - 1 or (place + 1) % 32 == 0:
                start = 4 * (place + 1 - len(words)) + low
                self._complete(parts, start & 0x7F, size, 0, words, len(words))
                size, low, words = size - 4 * len(words) + low, 0, []

    def _complete(self, parts, low, size, status, payload, dwords, locked=False):
        head = [
            low | parts["way"] << 8 | size << 16 | locked << 29,
            dwords | status << 11 | parts["requester"] << 16,
            parts["tag"] | parts["order"],
        ]
        self.cc += pack_beats(self.width, [*head, *payload], 0)
