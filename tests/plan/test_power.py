"""The model of power: by hand for one of each cell, and what the documents say of two chips."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from sterna.plan.power import STATIC_WATTS, nanojoules_per_clock, power
from sterna.spec.boards import TARGETS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bring-up.md").read_text()


def test_by_hand():
    change = 0.125 * 0.5 * 1e-12 * 1.21
    assert nanojoules_per_clock({"comb": 1}) == pytest.approx(1e9 * change)
    assert nanojoules_per_clock({"ff": 1}) == pytest.approx(1e9 * (change + 30e-15 * 1.21))
    assert nanojoules_per_clock({"ebr": 2, "dsp": 3}) == pytest.approx(27e-3)
    assert nanojoules_per_clock({"ramw": 9}) == 0
    assert power({"ebr": 100}, "LFE5U-85F", 50e6) == {
        "kind": "model", "static_watts": 0.25, "dynamic_watts": 0.03,
    }  # fmt: skip


def test_every_board_has_a_static_power():
    assert {target.fpga for target in TARGETS.values()} <= STATIC_WATTS.keys()


def test_figures_of_the_page():
    """Of the shipped bitstream: cells as placed, clocks per token as simulated."""
    folder = ROOT / "bitstreams" / "ulx3s-85f"
    report, manifest = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("report", "manifest")
    )
    cells = sum(map(Counter, report["units"].values()), Counter())
    clock_hz = manifest["clock_hz"]
    found = power(cells, manifest["fpga"], clock_hz)
    watts = found["static_watts"] + found["dynamic_watts"]
    table = PAGE.split("## Power")[1].splitlines()
    line = next(line for line in table if line.startswith("| `ulx3s-85f` |"))
    cell = [float(text) for text in re.findall(r"\d+\.?\d*", line.split("|", 2)[2])]
    assert cell == pytest.approx(
        [
            clock_hz / 1e6,
            found["static_watts"],
            found["dynamic_watts"],
            6101,
            1e6 * watts * 6101 / clock_hz,
        ],
        rel=0.01,
    )
