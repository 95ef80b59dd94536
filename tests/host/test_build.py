"""sterna build: what is refused, how seeds are searched, and what is left of a build that fails."""

import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest

from sterna.errors import InputError
from sterna.spec.boards import TARGETS, target_of
from sterna.spec.chip import REFERENCE
from sterna_sim import build as build_module
from sterna_sim.build import build_board, config_of, report_of
from sterna_sim.flow import ECP5, flow_of
from sterna_sim.pnr import Implementation, check_fit
from sterna_sim.router import NotRoutedError

FILES = {"chip.bit.xz", "floorplan.svg", "manifest.json", "report.json"}


def place(unit, x, y):
    return f"chip.chip.{unit}.x{x}", {
        "type": "TRELLIS_FF",
        "attributes": {"NEXTPNR_BEL": f"X{x}/Y{y}/S"},
    }


def hop(kind, begin, end, ns):
    ends = {
        name: {"cell": f"chip.chip.{unit}.cell"} for name, unit in (("from", begin), ("to", end))
    }
    return {"type": kind, "delay": ns, **ends}


PATH = {
    "from": "posedge clk",
    "to": "posedge clk",
    "path": [
        hop("clk-to-q", "reader", "reader", 0.5),
        hop("routing", "reader", "engine", 3.0),
        hop("logic", "engine", "engine", 0.25),
        hop("routing", "engine", "engine", 1.5),
        hop("setup", "engine", "engine", 0.1),
    ],
}


def ends(unit, ns, *events):
    begins, event = events or ["posedge clk"] * 2
    cell = f"chip.chip.{unit}.cell"
    return {"event": begins, "endpoints": [{"cell": cell, "event": event, "delay": [1.0, ns]}]}


ENDS = [
    ends("engine", 4.0),
    ends("engine", 5.0),
    ends("reader", 2.0),
    ends("reader", 9.0, "<async>", "posedge clk"),
    ends("link", 9.0, "posedge clk", "<async>"),
]
EMPTY = {"critical_paths": [], "detailed_net_timings": []}


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """Stand in for the tools: what each seed's clock is, and what they were asked."""
    asked, speed = [], {}

    def prepare(work, fpga, config, clock_hz):
        work.mkdir(parents=True)
        asked.append((fpga, config.digest, clock_hz))
        (work / "chip.json").write_text(json.dumps({"modules": {"top": {"cells": {}}}}))

    def implement(work, fpga, seed, clock_hz):
        asked.append(seed)
        (work / "chip.bit").write_bytes(f"bits {seed}".encode())
        cells = dict([place("reader", 3, 4), place("engine", 5, 6)])
        (work / "placed.json").write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
        report = {"critical_paths": [PATH], "detailed_net_timings": ENDS}
        (work / "report.json").write_text(json.dumps(report))
        if not speed[seed]:
            raise NotRoutedError
        units = {"engine": Counter(comb=5), "reader": Counter(ebr=1)}
        return Implementation(work, units, {"clk": speed[seed]})

    flow = replace(ECP5, prepare=prepare, implement=implement)
    monkeypatch.setattr(build_module, "flow_of", lambda _: flow)
    monkeypatch.setattr(build_module, "version", lambda tool: f"1 of {tool}")  # not all are there
    return asked, speed


def run(tmp_path, **options):
    told = []
    made = build_board(
        "ulx3s-45f", tmp_path / "kept", lambda *what: told.append(what), work=tmp_path / "work",
        **options,
    )  # fmt: skip
    return made, told


def test_the_first_seed_that_is_fast_enough(tools, tmp_path):
    asked, speed = tools
    speed |= {3: 74.9, 4: 75.0, 5: 80.0}
    made, told = run(tmp_path, seeds=range(3, 9))
    config = config_of("ulx3s-45f")
    assert asked == [("LFE5U-45F", config.digest, 75_000_000), 3, 4]
    assert [done for _, done, _ in told] == [0, 1, 2]
    assert {path.name for path in (tmp_path / "kept").iterdir()} == FILES
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text())
    assert manifest == made["manifest"]
    assert (manifest["seed"], manifest["fmax_mhz"]) == (4, {"clk": 75.0})
    assert manifest["sha256"] == hashlib.sha256(b"bits 4").hexdigest()
    report = json.loads((tmp_path / "kept" / "report.json").read_text())
    assert report["seeds"] == {"3": 74.9, "4": 75.0}
    assert report["units"] == {"engine": {"comb": 5}, "reader": {"ebr": 1}}
    assert report["unit_fmax_mhz"] == {"engine": 200.0, "reader": 500.0}
    way = report["slowest"][0]
    assert way["ns"] == pytest.approx(5.35)
    assert way["steps"] == [
        {"unit": "reader", "logic": 0.5, "wires": 0.0},
        {"unit": "engine", "logic": 0.35, "wires": 4.5},
    ]


def test_a_build_that_is_too_slow_leaves_what_was_there(tools, tmp_path):
    _, speed = tools
    speed |= {1: 40.0, 2: 0.0}
    kept = tmp_path / "kept"
    for there in (False, True):
        if there:
            kept.mkdir()
            (kept / "chip.bit.xz").write_bytes(b"before")
        with pytest.raises(
            InputError, match=r"for 100 MHz: 40 MHz \(seed 1\), not routed \(seed 2\)"
        ):
            build_board(
                "ulx3s-85f", kept, lambda *_: None, REFERENCE, 100_000_000, range(1, 3),
                tmp_path / f"work {there}",
            )  # fmt: skip
        assert [path.read_bytes() for path in kept.glob("*")] == [b"before"] * there


def test_interrupted(tools, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    flow = replace(build_module.flow_of(REFERENCE), implement=interrupt)
    monkeypatch.setattr(build_module, "flow_of", lambda _: flow)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert not (tmp_path / "kept").exists()


def test_a_chip_that_is_too_large(tmp_path):
    cells = {f"m{n}": {"type": "MULT18X18D"} for n in range(73)}
    (tmp_path / "chip.json").write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    (tmp_path / "top.il").write_text("")
    check_fit(tmp_path, "LFE5U-85F")
    with pytest.raises(InputError, match="needs 73 multipliers and an LFE5U-45F has 72"):
        check_fit(tmp_path, "LFE5U-45F")


@pytest.mark.parametrize("board", TARGETS)
def test_flow(board):
    """Each board has one, with the cells of its FPGA; what it counts is what draws power."""
    flow = flow_of(config_of(board))
    have = flow.have[target_of(board).fpga]
    assert flow.drawing.keys() <= have.keys() | {"ff", "lut4"}
    units = {"one": Counter(dict.fromkeys(flow.drawing, 2)), "other": Counter()}
    assert sum(flow.draws(units).values()) == 2 * len(flow.drawing)


def test_what_is_refused(sterna, tmp_path):
    sterna("build", "--board", "nexys").refused("'nexys'", "ulx3s-85f", "ulx3s-45f")
    for clock in ("33", "0", "165"):
        sterna("build", "--board", "ulx3s-45f", "--clock", clock).refused("2.5", "160", clock)
    path = tmp_path / "file"
    path.write_text("{}")
    sterna("build", "--board", "ulx3s-45f", "--folder", path).refused("is a file")
    sterna("build", "--board", "ulx3s-45f", "--config", path).refused("missing or unknown field")


def test_what_is_printed(sterna, tools, tmp_path, monkeypatch):
    _, speed = tools
    speed[1] = 81.5
    monkeypatch.setattr(build_module, "BUILD", tmp_path / "build")
    kept = tmp_path / "kept"
    result = sterna("build", "--board", "ulx3s-45f", "--folder", kept)
    assert result.status == 0
    for words in (
        "0.15 + 0.00 W (model",
        "Fmax clk: 81.5 MHz (pnr), seed 1",
        "reader 0.5 + 0.0, engine 0.3 + 4.5",
    ):
        assert words in result.out
    assert "sterna flash --board ulx3s-45f" in result.out


def test_report_of(tools, tmp_path):
    """Both of the figures that a manifest shows are rounded the same."""
    (tmp_path / "report.json").write_text(json.dumps(EMPTY))
    result = Implementation(tmp_path, {}, {"clk": 58.3333})
    report = report_of(result, ECP5.have["LFE5U-85F"], ECP5.unit_of)
    assert report["fmax_mhz"] == {"clk": 58.33}
