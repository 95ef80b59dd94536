"""docs/reference.md is what the specification's tables and docstrings make of it."""

import re
from pathlib import Path

import pytest

from sterna.spec.chip import ChipConfig
from sterna.spec.dma import DmaError, DmaRegister
from sterna.spec.link import Code, Kind, Outcome
from sterna.spec.program import Op, Stats
from sterna.spec.reference import reference
from sterna.spec.registers import REGISTERS, Control, Counter, Memory, Status
from sterna.spec.tape import HEADER_FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "run `python -m sterna.spec.reference > docs/reference.md`"
    )


@pytest.mark.parametrize(
    "kind",
    [
        Op,
        Stats,
        Control,
        Status,
        Memory,
        Counter,
        Kind,
        Code,
        Outcome,
        DmaRegister,
        DmaError,
    ],
)
def test_members(kind):
    """All members with their comments: one that is written in another way would be missing."""
    rows = reference().split(f"### {kind.__name__}\n")[1].split("\n#")[0]
    without = [member.name for member in kind if f"| {member.value} | {member.name} |  |" in rows]
    commented = (Memory.STREAM, Memory.EXTERNAL)
    without_comment = [memory.name for memory in Memory if memory not in commented]
    expected = without_comment if kind is Memory else []
    assert without == [*expected, *(["CLEAR_COUNTERS"] if kind is Control else [])]
    assert rows.count("\n| ") == len(kind) + 2


def test_names():
    names = [*REGISTERS, *(name for name, *_ in HEADER_FIELDS), *ChipConfig.__dataclass_fields__]
    assert [name for name in names if f"| {name} |" not in reference()] == []


def test_codes():
    """27 triples, each with a code of its own."""
    codes = re.findall(r"(?<=\| )([01]{5}) \| ([-0+] [-0+] [-0+]) ", reference())
    assert len({code for code, _ in codes}) == len({triple for _, triple in codes}) == 27
