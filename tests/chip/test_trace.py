"""Timelines: slices tile each track, and their sums are the counters and the program's work."""

import json
import sys
from collections import Counter as Tally
from itertools import groupby, pairwise

import numpy as np
import pytest

from sterna.cli import main
from sterna.device.device import Sampling
from sterna.model import container
from sterna.spec.activity import ACTIVITY, RUNNING
from sterna.spec.program import Op
from sterna.trace import slices, timeline
from sterna_sim.device import DirectDevice
from tests.chip.models import config_for, model_of

MODEL, CONFIG, TOKENS = "fixture-a", "odd-columns", 3

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


@pytest.fixture(scope="module")
def traced():
    """Activity and counters of a few tokens."""
    device = DirectDevice(model_of(MODEL), config_for(CONFIG))
    # The second watch begins where the reader had run ahead.
    for _ in range(2):
        device.port.watch()
        before = device.counters()
        list(device.generate([1], TOKENS, Sampling(temperature=1.0)))
        after = device.counters()
        activity = device.port.seen()
    device.close()
    return activity, {name: after[name] - before[name] for name in after}, device.image


def cut(traced, unit):
    activity, _, image = traced
    return list(slices(activity, unit, image, model_of(MODEL), config_for(CONFIG)))


@pytest.mark.parametrize("unit", ACTIVITY)
def test_slices_tile_the_track(traced, unit):
    found = cut(traced, unit)
    assert found[0][0] == 0
    assert found[-1][1] == traced[1]["clocks"]
    assert all(end == start for (_, end, *_), (start, *_) in pairwise(found))
    assert all(start < end for start, end, *_ in found)


@pytest.mark.parametrize("unit", ACTIVITY)
def test_sums_are_the_counters(traced, unit):
    """And the states that have none are those that the counters leave."""
    sums = Tally()
    for start, end, state, _ in cut(traced, unit):
        sums[state] += end - start
    counted = {state: name for (of, state), name in COUNTERS.items() if of == unit}
    assert {state: sums[state] for state in counted} == {
        state: traced[1][name] for state, name in counted.items()
    }
    assert sum(sums.values()) == traced[1]["clocks"]


def test_a_bit_too_many_is_seen(traced):
    """The comparison can fail."""
    activity, counters, image = traced
    wrong = activity.copy()
    blocked = 1 << RUNNING - 1  # of the sampler, the last unit
    idle = np.flatnonzero((activity >> RUNNING & 1 == 1) & (activity >> RUNNING - 2 & 3 == 0))[0]
    wrong[idle] |= blocked
    with pytest.raises(AssertionError):
        test_sums_are_the_counters((wrong, counters, image), "sampler")


@pytest.mark.parametrize("unit", ["engine", "quantizer", "epilogue"])
def test_segments_come_in_order_with_their_work(traced, unit):
    """Each token once through the program; the busy clocks of a segment are its words or beats."""
    model, config, image = model_of(MODEL), config_for(CONFIG), traced[2]
    steps = [s for s in image.segments if unit == "epilogue" or s.header.op is not Op.EMBED]
    names = [name for name, _ in groupby(model.steps[s.step].name for s in steps)]
    busy = [row for row in cut(traced, unit) if row[2] == "busy"]
    order = [name for name, _ in groupby(segment for *_, segment in busy)]
    assert order == names * TOKENS
    work = Tally()
    for start, end, _, segment in busy:
        work[segment] += end - start
    for segment in steps:
        name, header = model.steps[segment.step].name, segment.header
        sums = max(header.groups * config.rows, header.rows)
        expected = {
            "engine": header.groups * header.blocks,
            "quantizer": header.blocks * config.columns // config.elements,
            "epilogue": -(-sums // config.elements),
        }
        assert work[name] == expected[unit] * TOKENS


def test_tape_follows_the_image(traced):
    """The reader runs ahead: it has handed on the tokens' words, and some of the next."""
    busy = Tally()
    for start, end, state, segment in cut(traced, "tape"):
        busy[segment] += (end - start) * (state == "busy")
    for segment in traced[2].segments:
        if segment.words:
            name = model_of(MODEL).steps[segment.step].name
            assert busy[name] >= segment.words * TOKENS - segment.words


def test_file(traced):
    """What Perfetto wants of an event."""
    activity, counters, image = traced
    text = json.dumps(timeline(activity, image, model_of(MODEL), config_for(CONFIG)))
    events = json.loads(text)["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert list(names.values()) == list(ACTIVITY)
    slices = [event for event in events if event["ph"] == "X"]
    assert {"layers.0.i_proj", "at barrier", "lm_head"} <= {event["name"] for event in slices}
    for tid in names:
        assert sum(e["dur"] for e in slices if e["tid"] == tid) == counters["clocks"]


def test_only_the_simulated_chip_is_watched(tmp_path, capsys, monkeypatch):
    container.save(model_of(MODEL), tmp_path / "a.sterna")
    arguments = ["bench", "--model", tmp_path / "a.sterna", "--trace", tmp_path / "t.json"]
    monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "which only sim:direct allows, not golden" in capsys.readouterr().err
    assert not (tmp_path / "t.json").exists()
