"""Timelines: slices tile each track, and their sums are the counters and the program's work."""

import json
import sys
from collections import Counter as Tally
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
import pytest

from sterna.cli import main
from sterna.device.batch import Part, batch
from sterna.device.device import Sampling
from sterna.model import container
from sterna.model.layout import Image
from sterna.spec.activity import ACTIVITY, RUNNING
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op
from sterna.trace import slices, timeline
from sterna_sim.device import DirectDevice
from tests.chip.models import config_for, model_of

MODEL, TOKENS = "fixture-a", 3

COUNTERS = {
    ("engine", "busy"): "engine_busy",
    ("engine", "starved"): "engine_starved",
    ("engine", "at barrier"): "engine_waiting",
    ("engine", "blocked"): "engine_blocked",
    ("tape", "blocked"): "tape_blocked",
    ("quantizer", "at barrier"): "quantizer_barrier",
    ("quantizer", "blocked"): "quantizer_blocked",
    ("epilogue", "blocked"): "epilogue_blocked",
    ("sampler", "blocked"): "sampler_blocked",
}


@dataclass
class Traced:
    """A few passes in which all slots take part."""

    activity: np.ndarray
    counters: dict[str, int]
    image: Image
    config: ChipConfig

    def cut(self, unit):
        model, slots = model_of(MODEL), self.config.slots
        return list(slices(self.activity, unit, self.image, model, self.config, slots))


@pytest.fixture(scope="module", params=["odd-columns", "three-slots"])
def traced(request):
    config = config_for(request.param)
    device = DirectDevice(model_of(MODEL), config)
    sampling, state = Sampling(temperature=1.0), device.state
    # The second watch begins where the reader had run ahead.
    for _ in range(2):
        device.port.watch()
        before = device.counters()
        parts = [Part([1], TOKENS, sampling, 0, state) for _ in range(config.slots)]
        assert len(list(batch(device, parts))) == TOKENS * config.slots
        after = device.counters()
        activity = device.port.seen()
    device.close()
    counters = {name: after[name] - before[name] for name in after}
    return Traced(activity, counters, device.image, config)


@pytest.mark.parametrize("unit", ACTIVITY)
def test_slices_tile_the_track(traced, unit):
    found = traced.cut(unit)
    assert found[0][0] == 0
    assert found[-1][1] == traced.counters["clocks"]
    assert all(end == start for (_, end, *_), (start, *_) in pairwise(found))
    assert all(start < end for start, end, *_ in found)


@pytest.mark.parametrize("unit", ACTIVITY)
def test_sums_are_the_counters(traced, unit):
    """And the states that have none are those that the counters leave."""
    sums = Tally()
    for start, end, state, _ in traced.cut(unit):
        sums[state] += end - start
    counted = {state: name for (of, state), name in COUNTERS.items() if of == unit}
    assert {state: sums[state] for state in counted} == {
        state: traced.counters[name] for state, name in counted.items()
    }
    assert sum(sums.values()) == traced.counters["clocks"]


def test_a_bit_too_many_is_seen(traced):
    """The comparison can fail."""
    activity = traced.activity
    wrong = activity.copy()
    blocked = 1 << RUNNING - 1  # of the sampler, the last unit
    idle = np.flatnonzero((activity >> RUNNING & 1 == 1) & (activity >> RUNNING - 2 & 3 == 0))[0]
    wrong[idle] |= blocked
    with pytest.raises(AssertionError):
        test_sums_are_the_counters(replace(traced, activity=wrong), "sampler")


@pytest.mark.parametrize("unit", ["engine", "quantizer", "epilogue"])
def test_segments_come_in_order_with_their_work(traced, unit):
    """Each token once through the program; the busy clocks of a segment are its words or beats."""
    model, config, image = model_of(MODEL), traced.config, traced.image
    steps = [s for s in image.segments if unit == "epilogue" or s.header.op is not Op.EMBED]
    names = [name for name, _ in groupby(model.steps[s.step].name for s in steps)]
    busy = [row for row in traced.cut(unit) if row[2] == "busy"]
    order = [name for name, _ in groupby(segment for *_, segment in busy)]
    assert order == names * TOKENS
    work, expected = Tally(), Tally()
    for start, end, _, segment in busy:
        work[segment] += end - start
    for segment in steps:
        name, header = model.steps[segment.step].name, segment.header
        sums = max(header.groups * config.rows, header.rows)
        expected[name] += (
            TOKENS
            * config.slots
            * {
                "engine": header.groups * header.blocks,
                "quantizer": header.blocks * config.columns // config.elements,
                "epilogue": -(-sums // config.elements),
            }[unit]
        )
    assert work == expected


def test_tape_follows_the_image(traced):
    """Words of every pass, but for first ones that come before a token is in flight."""
    busy = Tally()
    for start, end, state, segment in traced.cut("tape"):
        busy[segment] += (end - start) * (state == "busy")
    words = Tally()
    for segment in traced.image.segments:
        words[model_of(MODEL).steps[segment.step].name] += segment.words * traced.config.slots
    first = next(name for name, count in words.items() if count)
    for name, count in words.items():
        least = count * (TOKENS - 1) if name == first else count * TOKENS
        assert least <= busy[name] <= count * TOKENS


def test_file(traced):
    """What Perfetto wants of an event."""
    config = traced.config
    made = timeline(traced.activity, traced.image, model_of(MODEL), config, config.slots)
    events = json.loads(json.dumps(made))["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert list(names.values()) == list(ACTIVITY)
    slices = [event for event in events if event["ph"] == "X"]
    assert {"layers.0.i_proj", "at barrier", "lm_head"} <= {event["name"] for event in slices}
    assert all(e["ts"] >= 0 and e["ts"] + e["dur"] <= traced.counters["clocks"] for e in slices)
    for tid in names:
        assert sum(e["dur"] for e in slices if e["tid"] == tid) == traced.counters["clocks"]


def test_command(tmp_path, capsys, monkeypatch):
    container.save(model_of("odd"), tmp_path / "odd.sterna")
    arguments = [
        "bench", "--model", tmp_path / "odd.sterna", "--device", "sim:direct", "-n", "2",
        "--trace", tmp_path / "t.json", "--json",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    facts = json.loads(capsys.readouterr().out)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    clocks = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert clocks == pytest.approx(facts["clocks_per_token"] * facts["tokens"])


def test_only_the_simulated_chip_is_watched(tmp_path, capsys, monkeypatch):
    container.save(model_of(MODEL), tmp_path / "a.sterna")
    arguments = ["bench", "--model", tmp_path / "a.sterna", "--trace", tmp_path / "t.json"]
    monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "which only sim:direct allows, not golden" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()
