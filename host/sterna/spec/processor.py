"""Instructions of the compact chip's control processor: 16 bits, one accumulator, no interrupts.

    code (4 bits) | mode (2) | operand (10)

A is the accumulator, C the carry, X an index, P the last product. `v` is what an instruction's mode
and operand name: the operand itself, or a word of the data memory. All numbers are unsigned, 16
bits, modulo 2**16. Addresses to return to lie in the last words of the data memory.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "DATA_WORDS",
    "OPERAND_BITS",
    "PORTS",
    "PORT_BITS",
    "PROGRAM_WORDS",
    "STACK",
    "WORD_BITS",
    "Code",
    "Go",
    "If",
    "Mode",
    "Move",
    "Result",
    "clocks",
    "instruction",
    "output",
]

WORD_BITS, OPERAND_BITS = 16, 10

PROGRAM_WORDS = 1 << OPERAND_BITS
"""Four RAMs of 4 Kbit."""

DATA_WORDS = 256
"""One RAM of 4 Kbit."""

STACK = DATA_WORDS - 8
"""Where the stack begins; it grows upwards, and goes round after eight words."""

PORT_BITS = 6

PORTS = 1 << PORT_BITS
"""Ports of either direction."""


class Code(IntEnum):
    """What an instruction does; those up to `MULTIPLY` have a `Mode`."""

    LOAD = 0  #: A = v
    ADD = 1  #: C, A = A + v
    ADD_CARRY = 2  #: C, A = A + v + C
    SUBTRACT = 3  #: A = A - v; C is 1 if nothing was borrowed
    SUBTRACT_CARRY = 4  #: A = A - v - (1 - C); C as for SUBTRACT
    AND = 5  #: A = A & v
    OR = 6  #: A = A | v
    XOR = 7  #: A = A ^ v
    MULTIPLY = 8  #: P = A * v, 32 bits
    STORE = 9  #: data[operand (+ X)] = A
    IN = 10  #: A = what comes from a port; waits for it
    OUT = 11  #: A, or a number (`output`), to a port; waits until it is taken
    MOVE = 12  #: see `Move`
    GO = 13  #: see `Go`
    IF = 14  #: see `If`
    IF_SIGN = 15  #: go to the operand if A's highest bit is 1 (mode 0) or 0 (mode 1)


class Mode(IntEnum):
    """What `v` is, or where STORE stores."""

    NUMBER = 0  #: the operand
    WORD = 1  #: data[operand]
    INDEXED = 2  #: data[operand + X], modulo `DATA_WORDS`


class Move(IntEnum):
    """Modes of MOVE."""

    RIGHT = 0  #: C moves into A from above, A's lowest bit out of it into C
    LEFT = 1  #: C moves into A from below, A's highest bit out of it into C
    INDEX = 2  #: X = A's lower 8 bits
    RESULT = 3  #: A = a `Result`, by the operand


class Result(IntEnum):
    """What MOVE with the mode RESULT brings to A."""

    LOW = 0  #: P's lower half
    HIGH = 1  #: P's upper half
    ZEROS = 2  #: zeros above A's highest 1; 15 if there is none


class Go(IntEnum):
    """Modes of GO."""

    TO = 0  #: to the operand
    CALL = 1  #: to the operand; the address of the next instruction on the stack
    RETURN = 2  #: to the address on the stack, which is taken from it


class If(IntEnum):
    """Modes of IF: when it goes to the operand."""

    ZERO = 0  #: A is 0
    NOT_ZERO = 1
    CARRY = 2  #: C is 1
    NO_CARRY = 3


def instruction(code: Code, mode: int, operand: int) -> int:
    """Return an instruction's word."""
    if not 0 <= operand < 1 << OPERAND_BITS:
        raise ValueError(f"operand must be 0 to {(1 << OPERAND_BITS) - 1}, not {operand}")
    return code << OPERAND_BITS + 2 | mode << OPERAND_BITS | operand


def output(port: int, number: int) -> int:
    """Return the word of an OUT of a number of five bits instead of A.

    Its lowest bit of the mode is 1; the other one is the number's highest bit, and above the port
    stand the other four.
    """
    if not 0 <= number < 32:
        raise ValueError(f"number to a port must be 0 to 31, not {number}")
    return instruction(Code.OUT, number >> 4 << 1 | 1, (number & 15) << PORT_BITS | port)


def clocks(word: int) -> int:
    """Return the clocks that an instruction takes whose port does not wait.

    One, and another one to read the data memory.
    """
    code, mode = word >> OPERAND_BITS + 2, word >> OPERAND_BITS & 3
    return_ = code == Code.GO and mode == Go.RETURN
    return 1 + (return_ or (code <= Code.MULTIPLY and mode != Mode.NUMBER))
