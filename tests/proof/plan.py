"""The testplan: what the pages claim, and what shows it."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "Claim", "Named", "claims", "named_in"]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Named:
    """A test as the plan names it: file, function, and a bug of its bench or nothing."""

    file: str
    function: str
    bug: str

    @classmethod
    def read(cls, text: str) -> Named:
        """Read ``file::function`` or ``file::function: bug``."""
        test, _, bug = text.partition(": ")
        file, _, function = test.partition("::")
        return cls(file, function, bug)

    @property
    def node(self) -> str:
        """What pytest calls it, for all its parameters."""
        return f"{self.file}::{self.function}"


@dataclass(frozen=True)
class Claim:
    """An entry of the plan; `tests` is empty for sentences that no test can show."""

    page: str
    says: str
    tests: tuple[Named, ...]
    bug: tuple[Named, ...]
    why: str


def claims() -> list[Claim]:
    """Return all entries."""
    plan = tomllib.loads((ROOT / "tests" / "testplan.toml").read_text())
    return [
        Claim(
            entry["page"],
            " ".join(entry["says"].split()),
            tuple(map(Named.read, entry.get("tests", ()))),
            tuple(map(Named.read, entry.get("bug", ()))),
            entry.get("why", ""),
        )
        for entry in (*plan["claim"], *plan["other"])
    ]


@cache
def named_in(file: str) -> dict[str, bool]:
    """Return the tests of a file, and whether `make test` leaves all of one out as slow."""
    found: dict[str, bool] = {}
    for node in ast.parse((ROOT / file).read_text()).body:
        match node:
            case ast.FunctionDef(name=name, decorator_list=decorators):
                found[name] = any(ast.unparse(mark) == "pytest.mark.slow" for mark in decorators)
            case ast.Assign(targets=[ast.Tuple(elts=names)]):
                found |= {name.id: False for name in names if isinstance(name, ast.Name)}
    return {name: slow for name, slow in found.items() if name.startswith("test_")}
