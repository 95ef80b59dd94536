"""Register operations, and how they are packed into requests of the serial link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sterna.spec.link import REPLY_WORDS, REQUEST_BYTES, Code
from sterna.spec.registers import REGISTERS

__all__ = ["Operation", "RegisterPort", "Request", "pack", "read", "read_next", "rest", "write"]

_WORD = 4


@dataclass(frozen=True, slots=True)
class Operation:
    """Reads or writes of registers.

    Attributes
    ----------
    code : Code
    register : str
        The only one, or the first.
    count : int
        Words.
    words : numpy.ndarray
        What is written, uint32.
    """

    code: Code
    register: str
    count: int
    words: np.ndarray


_NOTHING = np.zeros(0, dtype="<u4")


def write(register: str, *words: int | np.ndarray) -> Operation:
    """Write words, integers or arrays of uint32, one after the other to a register."""
    parts = [np.asarray(word, dtype="<u4").reshape(-1) for word in words]
    joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return Operation(Code.WRITE, register, len(joined), joined)


def read(register: str, count: int = 1) -> Operation:
    """Read a register so many times."""
    return Operation(Code.READ, register, count, _NOTHING)


def read_next(register: str, count: int) -> Operation:
    """Read so many registers from this one on."""
    return Operation(Code.READ_NEXT, register, count, _NOTHING)


class RegisterPort(Protocol):
    """A way to a chip's registers."""

    def execute(self, operations: Sequence[Operation]) -> np.ndarray:
        """Do the operations in order, waiting for room; return the words read, uint32."""
        ...

    def offer(self, operation: Operation) -> int:
        """Write as many words as there is room for; return how many."""
        ...

    def lend_tape(self, tape: np.ndarray) -> bool:
        """Let the chip read the tape from this computer's memory; return False if it can't.

        `tape` is uint32 [words, pieces]. To be called while TAPE_LENGTH is 0.
        """
        ...

    def close(self) -> None:
        """Free the port."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """Payload of one request.

    Attributes
    ----------
    payload : bytes
    reads : int
        Words that its reply holds.
    """

    payload: bytes
    reads: int


def _head(code: Code, address: int, count: int) -> bytes:
    return bytes([code, address, count, 0])


def _pieces(operation: Operation) -> Iterator[tuple[bytes, int]]:
    """Cut an operation into parts that fit a request each: bytes, and words read."""
    address, steps = REGISTERS[operation.register].address, operation.code >= Code.WRITE_NEXT
    reads = operation.code in (Code.READ, Code.READ_NEXT)
    most = REPLY_WORDS if reads else REQUEST_BYTES // _WORD - 1
    for start in range(0, operation.count, most):
        count = min(most, operation.count - start)
        head = _head(operation.code, address + start * steps, count)
        data = operation.words[start : start + count].astype("<u4").tobytes()
        yield head + data, count if reads else 0


def pack(operations: Iterable[Operation]) -> list[Request]:
    """As few requests as hold the operations in their order."""
    requests, payload, reads = [], b"", 0
    for operation in operations:
        for part, words in _pieces(operation):
            if len(payload) + len(part) > REQUEST_BYTES or reads + words > REPLY_WORDS:
                requests.append(Request(payload, reads))
                payload, reads = b"", 0
            payload += part
            reads += words
    return [*requests, Request(payload, reads)] if payload else requests


def rest(request: Request, done: int) -> Request:
    """What is left of a request of which so many words were done; the next one is a write's."""
    payload, position, reads = request.payload, 0, request.reads
    while position < done * _WORD:
        code, address, count, _ = payload[position : position + _WORD]
        position += _WORD
        if code in (Code.READ, Code.READ_NEXT):
            reads -= count
            continue
        words = min(count, done - position // _WORD)
        position += words * _WORD
        if words < count:
            steps = words if code == Code.WRITE_NEXT else 0
            head = _head(Code(code), address + steps, count - words)
            return Request(head + payload[position:], reads)
    return Request(payload[position:], reads)
