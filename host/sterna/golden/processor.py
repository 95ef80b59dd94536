"""The compact chip's control processor, instruction by instruction.

Source: `sterna.spec.processor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sterna.spec.processor import (
    DATA_WORDS,
    OPERAND_BITS,
    PORT_BITS,
    PORTS,
    PROGRAM_WORDS,
    STACK,
    Code,
    Go,
    If,
    Mode,
    Move,
    Result,
)

__all__ = ["Processor"]

_MASK = 0xFFFF
_DEPTH = DATA_WORDS - STACK


class Processor:
    """State of the processor, and its ports as two functions.

    Parameters
    ----------
    program : sequence of int
        Instructions, from address 0 on.
    data : sequence of int
        The data memory, from address 0 on; the rest is 0.
    read : callable
        Given a port's number, return what comes from it.
    write : callable
        Given a port's number and a word, take it.

    Attributes
    ----------
    a, carry, x, product, at, depth : int
        Accumulator, carry, index, last product, address of the next instruction, words on the
        stack.
    data : list of int
        All words of the data memory.
    """

    def __init__(
        self,
        program: Sequence[int],
        data: Sequence[int],
        read: Callable[[int], int],
        write: Callable[[int, int], None],
    ) -> None:
        self.program = [*program, *[0] * (PROGRAM_WORDS - len(program))]
        self.data = [*data, *[0] * (DATA_WORDS - len(data))]
        self.read, self.write = read, write
        self.a = self.carry = self.x = self.product = self.at = self.depth = 0

    def step(self) -> None:
        """Execute the next instruction."""
        word = self.program[self.at]
        code, mode = word >> OPERAND_BITS + 2, word >> OPERAND_BITS & 3
        operand = word & (1 << OPERAND_BITS) - 1
        self.at = (self.at + 1) % PROGRAM_WORDS
        place = (operand + self.x * (mode == Mode.INDEXED)) % DATA_WORDS
        match code:
            case Code.STORE:
                self.data[place] = self.a
            case Code.IN:
                self.a = self.read(operand % PORTS)
            case Code.OUT:
                number = mode >> 1 << 4 | operand >> PORT_BITS
                self.write(operand % PORTS, number if mode & 1 else self.a)
            case Code.MOVE:
                self._move(mode, operand)
            case Code.GO:
                self._go(mode, operand)
            case Code.IF | Code.IF_SIGN:
                if self._holds(code, mode):
                    self.at = operand
            case _:
                self._compute(code, operand if mode == Mode.NUMBER else self.data[place])

    def _compute(self, code: int, v: int) -> None:
        match code:
            case Code.LOAD:
                self.a = v
            case Code.ADD | Code.ADD_CARRY:
                self._add(v, self.carry if code == Code.ADD_CARRY else 0)
            case Code.SUBTRACT | Code.SUBTRACT_CARRY:
                self._add(v ^ _MASK, self.carry if code == Code.SUBTRACT_CARRY else 1)
            case Code.AND:
                self.a &= v
            case Code.OR:
                self.a |= v
            case Code.XOR:
                self.a ^= v
            case Code.MULTIPLY:
                self.product = self.a * v

    def _add(self, v: int, carry: int) -> None:
        self.carry, self.a = divmod(self.a + v + carry, 1 << 16)

    def _move(self, mode: int, operand: int) -> None:
        match mode:
            case Move.RIGHT:
                self.a, self.carry = self.carry << 15 | self.a >> 1, self.a & 1
            case Move.LEFT:
                self.a, self.carry = (self.a << 1 | self.carry) & _MASK, self.a >> 15
            case Move.INDEX:
                self.x = self.a & 0xFF
            case Move.RESULT if operand & Result.ZEROS:
                self.a = min(16 - self.a.bit_length(), 15)
            case Move.RESULT:
                self.a = self.product >> 16 if operand & Result.HIGH else self.product & _MASK

    def _go(self, mode: int, operand: int) -> None:
        match mode:
            case Go.RETURN:
                self.depth = (self.depth - 1) % _DEPTH
                self.at = self.data[STACK + self.depth] % PROGRAM_WORDS
                return
            case Go.CALL:
                self.data[STACK + self.depth] = self.at
                self.depth = (self.depth + 1) % _DEPTH
        self.at = operand

    def _holds(self, code: int, mode: int) -> bool:
        if code == Code.IF_SIGN:
            return bool(self.a >> 15) != bool(mode & 1)
        zero, carry = self.a == 0, self.carry == 1
        return {If.ZERO: zero, If.NOT_ZERO: not zero, If.CARRY: carry, If.NO_CARRY: not carry}[
            If(mode)
        ]
