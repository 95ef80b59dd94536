"""The model of power: by hand for one of each cell, and what the documents say of two chips."""

import re
from pathlib import Path

import pytest

from sterna.plan.power import STATIC_WATTS, nanojoules_per_clock, power
from sterna.spec.boards import TARGETS

PAGE = (Path(__file__).parents[2] / "docs" / "bring-up.md").read_text()


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
    """Of the reference chip: cells as placed, clocks per token as simulated."""
    cells = {"comb": 38_024, "ff": 27_125, "dsp": 97, "ebr": 202}
    found = power(cells, "LFE5U-85F", 50e6)
    watts = found["static_watts"] + found["dynamic_watts"]
    table = PAGE.split("## Power")[1].splitlines()
    line = next(line for line in table if line.startswith("| `ulx3s-85f` |"))
    cell = [float(text) for text in re.findall(r"\d+\.?\d*", line.split("|", 2)[2])]
    assert cell == pytest.approx(
        [50, found["static_watts"], found["dynamic_watts"], 6101, 1e6 * watts * 6101 / 50e6],
        rel=0.01,
    )
