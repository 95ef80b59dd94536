"""Assembler of `sterna.spec.processor`.

A line is a label, an instruction or a declaration of data; what follows a semicolon is a comment.

    again:  load  counter       ; a word of the data memory
            sub   #1            ; a number of at most 10 bits
            add   table,x       ; the word X places behind
            and   =0xFF00       ; a constant of 16 bits, which gets a word of its own
            ifnz  again
            out   port, #3      ; a number of at most 5 bits to a port, instead of A
            call  routine
            return
    .word   table 1 2 0x10      ; data and what they are at the start
    .room   counter 1           ; data, 0 at the start

Operands are expressions of Python; names are labels, data and the constants that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sterna.spec.processor import (
    PROGRAM_WORDS,
    STACK,
    Code,
    Go,
    If,
    Mode,
    Move,
    Result,
    instruction,
    output,
)

__all__ = ["Assembly", "AssemblyError", "assemble"]

_WITH_VALUE = {
    "load": Code.LOAD,
    "add": Code.ADD,
    "addc": Code.ADD_CARRY,
    "sub": Code.SUBTRACT,
    "subc": Code.SUBTRACT_CARRY,
    "and": Code.AND,
    "or": Code.OR,
    "xor": Code.XOR,
    "mul": Code.MULTIPLY,
    "store": Code.STORE,
}

_WITH_ADDRESS = {
    "in": (Code.IN, 0),
    "out": (Code.OUT, 0),
    "goto": (Code.GO, Go.TO),
    "call": (Code.GO, Go.CALL),
    "ifz": (Code.IF, If.ZERO),
    "ifnz": (Code.IF, If.NOT_ZERO),
    "ifc": (Code.IF, If.CARRY),
    "ifnc": (Code.IF, If.NO_CARRY),
    "ifneg": (Code.IF_SIGN, 0),
    "ifpos": (Code.IF_SIGN, 1),
}

_ALONE = {
    "return": (Code.GO, Go.RETURN, 0),
    "right": (Code.MOVE, Move.RIGHT, 0),
    "left": (Code.MOVE, Move.LEFT, 0),
    "index": (Code.MOVE, Move.INDEX, 0),
    "low": (Code.MOVE, Move.RESULT, Result.LOW),
    "high": (Code.MOVE, Move.RESULT, Result.HIGH),
    "zeros": (Code.MOVE, Move.RESULT, Result.ZEROS),
}


class AssemblyError(Exception):
    """A line that is no instruction; says which."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """An assembled program.

    Attributes
    ----------
    program, data : tuple of int
        Both memories from address 0 on.
    labels, names : dict
        Addresses in either.
    """

    program: tuple[int, ...]
    data: tuple[int, ...]
    labels: dict[str, int]
    names: dict[str, int]


def assemble(text: str, constants: Mapping[str, Any]) -> Assembly:
    """Assemble a program; constants are names that its operands may use."""
    lines, labels, names, data = [], {}, {}, []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(";")[0].split(None, 1)
        if words and words[0].endswith(":"):
            label = words[0][:-1]
            if label in labels:
                raise AssemblyError(f"line {number}: {label} is there twice")
            labels[label] = len(lines)
            words = words[1].split(None, 1) if len(words) > 1 else []
        if not words:
            continue
        name, rest = words[0], words[1].strip() if len(words) > 1 else ""
        if name in (".word", ".room"):
            own, values = rest.split(None, 1)
            if own in names:
                raise AssemblyError(f"line {number}: {own} is there twice")
            names[own] = len(data)
            given = [_value(value, constants, number) for value in values.split()]
            data += [0] * given[0] if name == ".room" else [value & 0xFFFF for value in given]
        else:
            lines.append((number, name, rest))
    known = {**constants, **labels, **names}
    literals: dict[int, int] = {}

    def operand(text: str, number: int) -> tuple[int, int]:
        """Return mode and operand."""
        if text.startswith("="):
            value = _value(text[1:], known, number) & 0xFFFF
            if value not in literals:
                literals[value] = len(data)
                data.append(value)
            return Mode.WORD, literals[value]
        if text.startswith("#"):
            return Mode.NUMBER, _value(text[1:], known, number)
        word, comma, _ = text.partition(",")
        return (Mode.INDEXED if comma else Mode.WORD), _value(word, known, number)

    program = []
    for number, name, rest in lines:
        try:
            if name in _WITH_VALUE:
                program.append(instruction(_WITH_VALUE[name], *operand(rest, number)))
            elif name == "out" and "#" in rest:
                port, _, value = rest.partition(", #")
                sent = _value(port, known, number), _value(value, known, number)
                program.append(output(*sent))
            elif name in _WITH_ADDRESS:
                code, mode = _WITH_ADDRESS[name]
                program.append(instruction(code, mode, _value(rest, known, number)))
            elif name in _ALONE and not rest:
                program.append(instruction(*_ALONE[name]))
            else:
                raise ValueError(f"no instruction: {name} {rest}")
        except ValueError as error:
            raise AssemblyError(f"line {number}: {error}") from error
    for what, have, most in (("program", program, PROGRAM_WORDS), ("data", data, STACK)):
        if len(have) > most:
            raise AssemblyError(f"the {what} has {len(have)} words, there are {most}")
    return Assembly(tuple(program), tuple(data), labels, names)


def _value(text: str, names: Mapping[str, Any], number: int) -> int:
    try:
        return int(eval(text, {"__builtins__": {}}, dict(names)))
    except Exception as error:
        raise AssemblyError(f"line {number}: {text!r}: {error}") from error
