"""The model of power: by hand for one of each cell, and what the documents say of two chips."""

import json
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


@pytest.mark.parametrize("path", sorted((ROOT / "bitstreams").glob("*/report.json")))
def test_figures_of_the_page(path):
    """Of each shipped bitstream: cells as placed; clocks per token are simulated."""
    report, manifest = (
        json.loads(path.with_name(f"{name}.json").read_text()) for name in ("report", "manifest")
    )
    clock_hz, found = manifest["clock_hz"], report["power"]
    watts = found["static_watts"] + found["dynamic_watts"]
    table = PAGE.split("## Power")[1].splitlines()
    line = next(line for line in table if line.startswith(f"| `{path.parent.name}` |"))
    figures = [text.strip() for text in line.split("|")[2:-1]]
    mhz, static, dynamic, clocks, microjoules = (float(one.replace(",", "")) for one in figures)
    assert mhz == clock_hz / 1e6
    assert (static, dynamic) == (found["static_watts"], found["dynamic_watts"])
    assert microjoules == pytest.approx(1e6 * watts * clocks / clock_hz, rel=0.01)
    if "comb" in report["have"]:
        cells = sum(map(Counter, report["units"].values()), Counter())
        assert found == power(cells, manifest["fpga"], clock_hz)
