"""A BAR without a device: registers that remember, a queue with little room, and LINK."""

from __future__ import annotations

from sterna.spec.pcie import COUNT_BITS, FRESH, HELD, LINK
from sterna.spec.registers import INTERFACE_VERSION, MAGIC, REGISTERS

ADDRESSES = {4 * register.address: name for name, register in REGISTERS.items()}


class FakeBar:
    """Remembers what is written; TOKEN takes words while there is `room`, and
    `more` after it has refused one."""

    name = "card at 0000:01:00.0"

    def __init__(self, room=1 << 20, more=3):
        self.words = {"MAGIC": MAGIC, "VERSION": INTERFACE_VERSION}
        self.room, self.more = room, more
        self.tokens: list[int] = []
        self.writes: list[tuple[str, int]] = []
        self.looks, self.closed = 0, False
        self.gone = self.deaf = False
        self.reset()

    def reset(self):
        self.held, self.fresh, self.count = HELD, FRESH, 0

    def read(self, offset):
        if self.gone:
            return 0xFFFFFFFF
        if offset == LINK:
            self.looks += 1
            return self.held | self.fresh | self.count
        return self.words.get(ADDRESSES.get(offset), 0)

    def write(self, offset, word):
        if self.gone or self.deaf:
            return
        if offset == LINK:
            self.held = self.fresh = 0
        elif not self.held:
            name = ADDRESSES[offset]
            if name == "TOKEN":
                if len(self.tokens) == self.room:
                    self.held = HELD
                    self.room += self.more  # some time has passed
                    return
                self.tokens.append(word)
            self.words[name] = word
            self.writes.append((name, word))
            self.count = (self.count + 1) % (1 << COUNT_BITS)

    def lend(self, size, written=False):
        return None

    def close(self):
        self.closed = True
