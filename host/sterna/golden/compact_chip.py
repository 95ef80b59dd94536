"""The compact chip: its firmware on the emulated processor, with what hangs on its ports.

Everything that a port begins is done at once, so that nothing is said about clocks.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence

import numpy as np

from sterna.golden.compact import Done, Memories, execute
from sterna.golden.processor import Processor
from sterna.golden.sampler import gumbel, uniforms
from sterna.spec.compact import COLUMNS, FACTOR_WORDS, NOISE_WORDS, TAPE_WORDS, Place, Program
from sterna.spec.compact_chip import SETTINGS, Read, Write
from sterna.spec.trits import Packing, unpack

__all__ = ["Chip", "Waiting"]


class Waiting(Exception):
    """The processor waits for a byte."""


class Chip:
    """A compact chip behind the bytes of its frames.

    Parameters
    ----------
    program : sequence of int
        The firmware's instructions, from address 0 on.
    data : sequence of int
        What its data memory holds at first.

    Attributes
    ----------
    memories : Memories
    tape : list of int
        Words of 48 bits.
    received : deque
        What comes next over the link: bytes of a frame, or at its end whether it is whole.
    sent : bytearray
        All bytes that were sent.
    processor : Processor
    """

    def __init__(self, program: Sequence[int], data: Sequence[int]) -> None:
        self.memories, self.tape = Memories(), [0] * TAPE_WORDS
        for place, address in SETTINGS["place"].items():
            self.memories.places[place] = address
        self.received: deque[int | bool] = deque()
        self.sent = bytearray()
        self.processor = Processor(program, data, self._read, self._write)
        self.steps = 0
        self._done = Done()
        self._at = self._seek = 0
        self._first = self._last = self._sum_at = self._last_row = self._state = 0
        self._shifted = slice(0)  # elements that were shifted into the lanes last
        self._pieces: list[int] = []
        self._checked = b""
        self._partial = np.zeros(FACTOR_WORDS, dtype=np.int64)

    def run(self) -> None:
        """Run until the processor waits for a byte."""
        try:
            while True:
                self.processor.step()
                self.steps += 1
        except Waiting:
            self.processor.at -= 1

    def restart(self) -> None:
        """Do what a line break does."""
        self.processor.at = self.processor.depth = 0

    def _write(self, port: int, word: int) -> None:
        memories = self.memories
        match port:
            case Write.FIRST:
                self._first = word % (1 << 9)
            case Write.LAST:
                self._last = word % (1 << 9)
            case Write.PROGRAM:
                self._done = execute(Program(word), self._first, self._last, memories)
                if word == Program.ACTIVATE:
                    self._shifted = slice(self._first, self._last + 1)
            case Write.LAST_ROW:
                self._last_row = word
            case Write.BLOCK:
                self._block(begins=bool(word & 1), ends=bool(word & 2))
            case Write.SUM_AT:
                self._sum_at = word % len(memories.sums)
            case Write.SUM | Write.SUM_MORE | Write.NIBBLE:
                more = {Write.SUM: word, Write.SUM_MORE: word + (1 << 16)}
                memories.sums[self._sum_at] = more.get(Write(port), (word & 15 ^ 8) - 8)
                self._sum_at = (self._sum_at + 1) % len(memories.sums)
            case Write.PEEK:
                memories.places[Place.STATE] = word % len(memories.vectors)
            case Write.PIECE:
                self._state = self._state >> 16 | word << 48
            case Write.NOISE:
                noise = gumbel(uniforms(self._state, word + 1))
                memories.sums[NOISE_WORDS : NOISE_WORDS + word + 1] = noise
            case Write.SEEK:
                self._at = self._seek = word % TAPE_WORDS
            case Write.TAPE:
                self._pieces = [*self._pieces[-1:], word]
            case Write.TAPE_WORD:
                low, middle = self._pieces
                self.tape[self._seek] = low | middle << 16 | word << 32
            case Write.SEND:
                self.sent.append(word & 0xFF)
            case Write.CHECK_START:
                self._checked = b""
            case Write.CHECK:
                self._checked += bytes([word & 0xFF])
            case _ if port >= Write.SHIFT:
                memories.shifts[port - Write.SHIFT] = word % 32
            case _ if port >= Write.PLACE:
                memories.places[port - Write.PLACE] = word % (1 << 14)

    def _read(self, port: int) -> int:
        done = self._done
        match port:
            case Read.RECEIVED:
                if not self.received:
                    raise Waiting
                item = self.received.popleft()
                return 0x8000 | item if isinstance(item, bool) else item
            case Read.RESULT:
                return done.result & 0xFFFF
            case Read.ELEMENT:
                return done.element
            case Read.CLAMPED:
                return done.clamped
            case Read.MORE:
                return done.more
            case Read.PEEKED:
                return int(self.memories.vectors[self.memories.places[Place.STATE]]) & 0xFFFF
            case _ if port in range(Read.TOTAL, Read.TOTAL + 3):
                return done.total >> 16 * (port - Read.TOTAL) & 0xFFFF
            case _ if port in range(Read.REST, Read.REST + 3):
                return done.rest >> 16 * (port - Read.REST) & 0xFFFF
            case _ if port in range(Read.CHECK, Read.CHECK + 2):
                return zlib.crc32(self._checked) >> 16 * (port - Read.CHECK) & 0xFFFF
            case _ if port in range(Read.TAPE, Read.TAPE + 3):
                word = self.tape[self._at] >> 16 * (port - Read.TAPE) & 0xFFFF
                self._at = (self._at + (port == Read.TAPE + 2)) % TAPE_WORDS
                return word
        return 0

    def _block(self, begins: bool, ends: bool) -> None:
        rows = self._last_row + 1
        words = [self.tape[(self._at + row) % TAPE_WORDS] for row in range(rows)]
        self._at = (self._at + rows) % TAPE_WORDS
        raw = b"".join(word.to_bytes(6, "little") for word in words)
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little")
        trits = unpack(bits.reshape(rows, -1), COLUMNS, Packing.TWO_BITS).astype(np.int64)
        sums = trits @ self.memories.activations[self._shifted]
        self._partial[:rows] = sums if begins else self._partial[:rows] + sums
        if ends:
            self.memories.sums[:rows] = self._partial[:rows]
