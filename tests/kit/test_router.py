"""The router is asked for less where it comes no further, and for no more than it can do."""

import json
import sys

import pytest

from sterna.errors import SternaError
from sterna_sim.router import LONGEST, STUCK, NotRoutedError, is_stuck, route

ROUTER = """
import json, pathlib, sys, time
mhz = float(json.load(open("refined.json"))["modules"]["top"]["settings"]["target_freq"]) / 1e6
with open("asked", "a") as asked:
    asked.write(f"{mhz:g} ")
holds, log = float(sys.argv[1]), pathlib.Path("nextpnr.log")
if mhz > holds:
    log.write_text("Info: iter=1 wires=5 overused=0 overuse=0 tmgfail=9 archfail=NA\\n" * 99)
    time.sleep(60)
log.write_text(sys.argv[2])
fmax = {"clk": {"achieved": mhz * float(sys.argv[3])}}
pathlib.Path("report.json").write_text(json.dumps({"fmax": fmax}))
sys.exit(bool(sys.argv[2]))
"""


def line(overused, late):
    return f"Info: iter=7 wires=5 overused={overused} overuse={overused} tmgfail={late} x=NA\n"


@pytest.mark.parametrize(
    "log, stuck",
    [
        ("", False),
        (line(0, 9) * (STUCK - 1), False),
        (line(0, 9) * STUCK, True),
        (line(0, 9) * STUCK + line(0, 8), False),
        (line(3, 0) * STUCK, True),
        (line(0, 0) * STUCK, False),
        ((line(0, 9) + line(1, 8)) * (LONGEST // 2), False),
        ((line(0, 9) + line(1, 8)) * (LONGEST // 2 + 1), True),
    ],
)
def test_is_stuck(log, stuck):
    assert is_stuck(log) == stuck


def routed(folder, holds, said="", reported=0.99):
    """Route with a stand-in for nextpnr; return the clocks that it was asked for.

    It ends where it is asked for `holds` at most, and a part of what it was asked for is reported.
    """
    (folder / "nextpnr.log").write_text(line(0, 9) * STUCK)  # an old one says nothing
    command = [sys.executable, "-c", ROUTER, str(holds), said, str(reported)]
    try:
        route(command, folder, {"modules": {"top": {"settings": {"seed": "1"}}}}, 100)
    finally:
        settings = json.loads((folder / "refined.json").read_text())["modules"]["top"]["settings"]
        assert settings["seed"] == "1"
        assert settings["router"] == "router2"
    return [float(mhz) for mhz in (folder / "asked").read_text().split()]


def test_clock_asked_for(tmp_path):
    assert routed(tmp_path, 120) == [102]


def test_more_where_less_is_reported(tmp_path):
    assert routed(tmp_path, 120, reported=0.97) == [102, 104]
    assert routed(tmp_path, 120, reported=0.5)[2:] == [102, 104, 106]


@pytest.mark.parametrize(
    "holds, reported, asked", [(101.5, 0.99, [102, 101]), (103, 0.97, [102, 104, 101])]
)
def test_less_where_it_is_stuck(tmp_path, holds, reported, asked):
    assert routed(tmp_path, holds, reported=reported) == asked


def test_a_placement_that_is_too_slow(tmp_path):
    with pytest.raises(NotRoutedError):
        routed(tmp_path, 99)
    assert (tmp_path / "asked").read_text().split() == ["102", "101", "100"]


def test_a_placement_without_ways(tmp_path):
    with pytest.raises(NotRoutedError):
        routed(tmp_path, 120, "ERROR: Failed to route 1 net.")


def test_other_failures(tmp_path):
    with pytest.raises(SternaError, match=r"failed \(no file\); see .*nextpnr.log"):
        routed(tmp_path, 120, "no file\n")
