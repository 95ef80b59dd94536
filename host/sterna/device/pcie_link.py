"""A chip's registers in a BAR: writes that were refused are found out afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from sterna.device.identity import check_identity
from sterna.device.lent import Lent, laid_out, table_writes
from sterna.device.operations import Operation
from sterna.device.ring import RING_BYTES, Ring
from sterna.errors import DeviceError, LinkReset
from sterna.spec.dma import (
    BEATS_SHIFT,
    BUSY,
    RESULTS,
    THERE,
    DmaError,
    DmaRegister,
)
from sterna.spec.link import Code
from sterna.spec.pcie import BEAT_BITS, COUNT_BITS, FRESH, HELD, LINK
from sterna.spec.registers import REGISTERS

__all__ = ["Bar", "PcieLink"]

_MOST = 1 << 12
"""Words that are written before the device is asked what became of them."""

_PATIENCE = 60.0
"""Seconds without room for a word after which a device is said to hang."""

_NOBODY = 0xFFFFFFFF
"""What a host reads if no device answers."""

_WHY = {
    DmaError.FAILED: "this computer refused to read its memory for the card (unsupported request "
    "or completer abort)",
    DmaError.MALFORMED: "an answer of this computer's memory is not what the card asked for",
    DmaError.TIMEOUT: "this computer's memory did not answer the card in time",
    DmaError.OUTSIDE: "the card came to the end of the pages that it was lent for that",
    DmaError.DAMAGED: "data from this computer's memory were damaged on their way (poisoned)",
}
"""What each error of DMA means."""


class Bar(Protocol):
    """Words of 32 bits that a device shows."""

    name: str

    def read(self, offset: int) -> int:
        """Read the word at a byte offset."""
        ...

    def write(self, offset: int, word: int) -> None:
        """Write the word at a byte offset; may return before the device has it."""
        ...

    def lend(self, size: int, written: bool = False) -> Lent | None:
        """Give the device memory of so many bytes to read, if there is a way to do that.

        If it is to be `written`, the device may write it too.
        """
        ...

    def close(self) -> None:
        """Free the device, and what it was lent."""
        ...


class PcieLink:
    """A chip's registers through a BAR; see `sterna.spec.pcie`.

    Parameters
    ----------
    bar : Bar
        Closed with the link, also if this fails.

    Raises
    ------
    DeviceError
        If what answers is no Sterna, or nothing does. By `execute` also if the device could not
        read the tape that it was lent, which is told once; it has to be lent anew then.
    LinkReset
        By `execute` and `offer`: the device has been reset meanwhile. What was asked may or may not
        have been done.
    """

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._lent: Lent | None = None
        self._lent_bytes = 0
        self._ring: Ring | None = None
        self._reads = False  # the device reads what it was lent, and writes the ring
        try:
            magic, version = (
                bar.read(4 * REGISTERS[name].address) for name in ("MAGIC", "VERSION")
            )
            self._there(magic)
            check_identity(bar.name, magic, version)
            self._resume()
        except BaseException:
            bar.close()
            raise

    def close(self) -> None:
        """Free the device."""
        try:
            # What it has asked for would come to memory that is somebody else's by then.
            if self._lent:
                self._stop_reading()
        finally:
            self._bar.close()

    def execute(self, operations: Sequence[Operation]) -> np.ndarray:
        """Do the operations in order; see `RegisterPort`."""
        words: list[int] = []
        writes: list[tuple[int, int]] = []
        for operation in operations:
            if operation.code in (Code.WRITE, Code.WRITE_NEXT):
                writes += _writes(operation)
            else:
                self._write_all(writes)
                writes = []
                words += self._read(operation)
        if words:
            self._refuse_failed_reads()
        self._write_all(writes)
        return np.array(words, dtype="<u4")

    def _read(self, operation: Operation) -> list[int]:
        """Read registers; results come from this computer's memory, if the chip writes them."""
        ring = self._ring if self._reads and operation.register in RESULTS else None
        if ring is None:
            return [self._bar.read(offset) for offset in _offsets(operation)]
        words = ring.take(operation.register, operation.count)
        if (taken := ring.news()) is not None:
            self._write_all([(4 * DmaRegister.TAKEN, taken)])
        return words

    def offer(self, operation: Operation) -> int:
        """Write what there is room for; see `RegisterPort`."""
        return self._write(list(_writes(operation)))

    def lend_tape(self, tape: np.ndarray) -> bool:
        """Let the chip read the tape from this computer's memory; see `RegisterPort`.

        Then it also writes its results to this computer's memory.
        """
        status = self._bar.read(4 * DmaRegister.STATUS)
        if not status & THERE:
            return False
        data = laid_out(tape, BEAT_BITS[status >> BEATS_SHIFT & 3])
        self._stop_reading()
        if self._lent_bytes < len(data):
            self._lent = self._bar.lend(len(data))
            self._lent_bytes = len(data)
        if self._lent is None:
            return False
        self._lent.fill(data)
        if self._ring is None and (lent := self._bar.lend(RING_BYTES, written=True)):
            self._ring = Ring(lent)
        if self._ring:
            self._ring.begin()
        writes = [
            *table_writes(self._lent, len(data), self._ring and self._ring.lent),
            (DmaRegister.TAKEN, 0),
            (DmaRegister.STATUS, 0),
            (DmaRegister.RUN, 1),
        ]
        self._write_all([(4 * register, word) for register, word in writes])
        if self._bar.read(4 * DmaRegister.RUN) != 1:
            raise DeviceError(f"{self._bar.name} does not begin to read the tape; reset it")
        self._reads = True
        return True

    def _refuse_failed_reads(self) -> None:
        """Refuse to go on if the chip could not read what it was lent: it waits for ever."""
        if not self._reads:
            return
        status = self._there(self._bar.read(4 * DmaRegister.STATUS))
        why = [_WHY[error] for error in DmaError if status >> error & 1]
        if why:
            self._reads = False
            raise DeviceError(f"{self._bar.name}: {'; '.join(why)}; the next start lends it anew")

    def _stop_reading(self) -> None:
        """End the chip's reading from this computer's memory."""
        self._reads = False
        self._write_all([(4 * DmaRegister.RUN, 0)])
        began = time.monotonic()
        while self._there(self._bar.read(4 * DmaRegister.STATUS)) & BUSY:
            if time.monotonic() - began > _PATIENCE:
                raise DeviceError(f"{self._bar.name} waits for what it has asked for; reset it")

    def _write_all(self, writes: list[tuple[int, int]]) -> None:
        """Write to registers, waiting for room."""
        last_progress = time.monotonic()
        done = 0
        while done < len(writes):
            taken = self._write(writes[done : done + _MOST])
            done += taken
            if taken:
                last_progress = time.monotonic()
                continue
            self._refuse_failed_reads()
            if time.monotonic() - last_progress > _PATIENCE:
                raise DeviceError(f"{self._bar.name}: the device takes no more data; reset it")

    def _write(self, writes: list[tuple[int, int]]) -> int:
        """Write to registers until one has no room; return how many were done."""
        for offset, word in writes:
            self._bar.write(offset, word)
        link = self._look()
        if link & FRESH:
            self._resume()
            raise LinkReset(f"{self._bar.name}: the device was reset")
        done = (link - self._count) % (1 << COUNT_BITS)
        self._count += done
        if link & HELD:
            self._resume()
        return done

    def _resume(self) -> None:
        """Let writes through again."""
        self._bar.write(LINK, 0)
        link = self._look()
        if link & (FRESH | HELD):
            raise DeviceError(f"{self._bar.name} does not take what is written to it; reset it")
        self._count = link

    def _look(self) -> int:
        """Read LINK; what was written before is with the device once this has come."""
        return self._there(self._bar.read(LINK))

    def _there(self, word: int) -> int:
        """Return a word that can't be all ones, if it is not."""
        if word == _NOBODY:
            raise DeviceError(
                f"{self._bar.name} does not answer; see that the card has power and Sterna's "
                "bitstream, and that the host has found it anew since that was loaded"
            )
        return word


def _offsets(operation: Operation) -> Iterator[int]:
    """Byte offsets of an operation's registers."""
    first = REGISTERS[operation.register].address
    steps = operation.code in (Code.WRITE_NEXT, Code.READ_NEXT)
    return (4 * (first + number * steps) for number in range(operation.count))


def _writes(operation: Operation) -> Iterator[tuple[int, int]]:
    """Byte offsets and words of a write."""
    return zip(_offsets(operation), operation.words.tolist(), strict=True)
