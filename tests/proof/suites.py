"""Runs of pytest that `make proof` counts: formal proofs, and lines of Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Lines", "Suite", "lines", "prove"]

BUILD = Path("build")

FORMAL = (
    "test_contract or test_bypass_contract or test_lockups or test_hostile or test_reservation"
    " or test_proven_equal or test_sums_for_all_inputs"
)
"""Tests that prove something, by their names."""

OF_THE_HOST = ("tests/spec", "tests/golden", "tests/model", "tests/host", "tests/plan")
"""Tests of the host package alone; what talks to a chip is run by `tests/chip` and `tests/pcie`."""


@dataclass(frozen=True)
class Suite:
    """What became of some tests."""

    tests: int
    bad: int
    seconds: float


@dataclass(frozen=True)
class Lines:
    """Lines of a folder's Python, and those that ran."""

    folder: str
    all: int
    run: int


def _suite(name: str, *command: str) -> Suite:
    """Run pytest and read what it says."""
    report = BUILD / "proof" / f"{name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *command, "-q", "-n", "2", f"--junit-xml={report}"], check=False
    )
    seconds = time.perf_counter() - started
    if not report.exists():
        return Suite(0, 1, seconds)
    of = [int(suite.get("tests", 0)) for suite in ElementTree.parse(report).iter("testsuite")]
    bad = [
        int(suite.get(kind, 0))
        for suite in ElementTree.parse(report).iter("testsuite")
        for kind in ("failures", "errors")
    ]
    return Suite(sum(of), sum(bad), seconds)


def prove() -> Suite:
    """Run the formal tests."""
    return _suite("formal", "pytest", "-k", FORMAL)


def lines() -> tuple[Suite, list[Lines]]:
    """Run the tests of the host package, and count the lines that they run in each folder."""
    shutil.rmtree(BUILD / "coverage", ignore_errors=True)
    (BUILD / "coverage").mkdir(parents=True)
    suite = _suite("lines", "coverage", "run", "-m", "pytest", "-m", "not slow", *OF_THE_HOST)
    report = BUILD / "coverage" / "lines.json"
    for command in (["combine", "-q"], ["json", "-q", "-o", str(report)]):
        subprocess.run([sys.executable, "-m", "coverage", *command], check=True)
    return suite, list(_by_folder(json.loads(report.read_text())["files"]))


def _by_folder(files: dict) -> Iterator[Lines]:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in files.items():
        folder = counts[str(Path(name).parent)]
        folder[0] += file["summary"]["num_statements"]
        folder[1] += file["summary"]["covered_lines"]
    for folder, (of, run) in sorted(counts.items()):
        yield Lines(folder, of, run)
