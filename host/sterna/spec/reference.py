"""The reference page: all formats, written by the tables and docstrings that define them.

`python -m sterna.spec.reference > docs/reference.md`
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from enum import IntEnum
from itertools import pairwise, product
from types import ModuleType

import numpy as np

from sterna.spec import (
    activity,
    chip,
    dma,
    fixed,
    link,
    pcie,
    program,
    registers,
    tables,
    tape,
    trits,
    xorshift,
)
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.registers import REGISTERS
from sterna.spec.tape import HEADER_BITS, HEADER_FIELDS
from sterna.spec.trits import Packing

__all__ = ["reference"]


def reference() -> str:
    """Return the page, in Markdown."""
    parts = [
        "# Reference",
        "Made by `python -m sterna.spec.reference` from `host/sterna/spec/`; edit that instead.",
        *_section("Numbers", fixed),
        *_constants(fixed),
        *_functions(fixed, "round_shift", "saturate", "normalise"),
        *_section("Tables", tables),
        *_constants(tables),
        *_functions(tables, "sigmoid", "log_mantissa", "gumbel_correction", "exp2", "log2"),
        *_section("Random numbers", xorshift),
        *_constants(xorshift),
        *_functions(xorshift, "next_draw", "next_element"),
        *_section("Packings", trits),
        _packings(),
        "FIVE_THIRDS, bits 4 to 0 of each group and its trits, the first on the left:",
        _codes(),
        *_section("Program", program),
        *_enum(program.Op),
        *_enum(program.Stats),
        *_enum(program.Source),
        *_section("Tape", tape),
        f"A header has {HEADER_BITS} bits:",
        _header(),
        *_constants(tape),
        *_functions(tape, "checksum", "sum_turn"),
        *_section("Registers", registers),
        _registers(),
        *_constants(registers),
        *_enum(registers.Control),
        *_enum(registers.Status),
        *_enum(registers.Memory),
        *_enum(registers.Counter),
        *_section("Activity", activity),
        _activity(),
        _sentence(_variable_docs(activity)["ACTIVITY"]),
        *_section("Serial link", link),
        *_constants(link),
        *_enum(link.Kind),
        *_enum(link.Code),
        *_enum(link.Outcome),
        *_section("PCIe", pcie),
        *_constants(pcie),
        *_section("DMA", dma),
        *_constants(dma),
        *_enum(dma.DmaRegister),
        *_enum(dma.DmaError),
        *_section("Chip configuration", chip),
        _chip(),
        "The column on the right is `REFERENCE`: " + _sentence(_variable_docs(chip)["REFERENCE"]),
        *_rest("digest", ChipConfig.digest),
    ]
    # Powers are no bold text.
    return re.sub(r"((`+).*?\2)|\*\*", lambda m: m[1] or r"\*\*", "\n\n".join(parts)) + "\n"


def _section(title: str, module: ModuleType) -> Iterator[str]:
    """Heading and module docstring."""
    yield f"## {title}"
    yield inspect.cleandoc(module.__doc__ or "")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _sentence(text: str) -> str:
    """One line of text."""
    return " ".join(text.split())


def _variable_docs(module: ModuleType) -> dict[str, str]:
    """Docstrings of a module's variables: the strings that follow their assignments."""
    body = ast.parse(inspect.getsource(module)).body
    docs = {}
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = text
    return docs


def _constants(module: ModuleType) -> Iterator[str]:
    """Integer constants of a module that have a docstring."""
    rows = [
        (name, value if value < 1 << 16 else f"{value:#x}", _sentence(text))
        for name, text in _variable_docs(module).items()
        if isinstance(value := getattr(module, name), int)
    ]
    yield _table(("constant", "value", "meaning"), rows)


def _functions(module: ModuleType, *names: str) -> Iterator[str]:
    """First paragraphs of functions' docstrings, up to their parameters."""
    for name in names:
        yield from _rest(name, getattr(module, name))


def _rest(name: str, documented: object) -> Iterator[str]:
    text = re.split(r"\n\n(?:Parameters|Returns)\n-", inspect.getdoc(documented) or "")[0]
    yield f"* `{name}`: {textwrap.indent(text, '  ').lstrip()}"


def _enum(kind: type[IntEnum]) -> Iterator[str]:
    """Members with the comments behind them."""
    comments = dict(re.findall(r"^ +(\w+) = \d+  #: (.*)$", inspect.getsource(kind), re.M))
    yield f"### {kind.__name__}"
    yield _sentence(kind.__doc__ or "")
    rows = [(m.value, m.name, _sentence(comments.get(m.name, ""))) for m in kind]
    yield _table(("number", "name", "meaning"), rows)


def _packings() -> str:
    lanes = REFERENCE.lanes
    rows = [
        (p.value, p.name, p.bits, p.trits, f"{p.bits / p.trits:.3f}", p.word_bits(lanes))
        for p in Packing
    ]
    last = f"word of {lanes} lanes, bits"
    return _table(("number", "name", "bits", "trits", "bits per trit", last), rows)


def _codes() -> str:
    """All codes of FIVE_THIRDS, by packing every triple."""
    triples = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.int8)
    bits = trits.pack(triples, Packing.FIVE_THIRDS)
    signs = {-1: "-", 0: "0", 1: "+"}
    rows = sorted(
        ("".join(str(bit) for bit in reversed(code)), " ".join(signs[trit] for trit in triple))
        for code, triple in zip(bits.tolist(), triples.tolist(), strict=True)
    )
    width = 4
    rows += [("", "")] * (-len(rows) % width)
    lines = [
        [cell for row in rows[i : i + width] for cell in row] for i in range(0, len(rows), width)
    ]
    return _table(("code", "trits") * width, lines)


def _header() -> str:
    rows, position = [], 0
    for name, bits, is_signed, meaning in HEADER_FIELDS:
        last = position + bits - 1
        place = f"{last}..{position}" if bits > 1 else str(position)
        rows.append((place, name, "signed" if is_signed else "", meaning))
        position += bits
    return _table(("bits", "field", "", "meaning"), rows)


def _registers() -> str:
    rows = [(r.address, name, r.access, r.meaning) for name, r in REGISTERS.items()]
    return _table(("address", "register", "access", "meaning"), rows)


def _activity() -> str:
    states = [(unit, state) for unit, states in activity.ACTIVITY.items() for state in states]
    rows = [(bit, unit, state) for bit, (unit, state) in enumerate(states)]
    return _table(("bit", "unit", "state"), [*rows, (activity.RUNNING, "", "a token is in flight")])


def _chip() -> str:
    """Fields with what the class's docstring says about them."""
    lines = inspect.cleandoc(ChipConfig.__doc__ or "").partition("----------\n")[2].splitlines()
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            names = line.partition(" :")[0].split(", ")
            meanings |= dict.fromkeys(names, "")
        else:
            meanings |= {name: f"{meanings[name]} {line}" for name in names}
    values = REFERENCE.to_dict()
    rows = [(f.name, _sentence(meanings[f.name]), values[f.name]) for f in fields(ChipConfig)]
    return _table(("field", "meaning", "reference"), rows)


if __name__ == "__main__":
    sys.stdout.write(reference())
