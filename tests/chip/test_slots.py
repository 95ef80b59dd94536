"""Slots: positions of one sequence or several sequences in one pass, as if stepped one by one."""

import numpy as np
import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.golden.step import Golden
from sterna.model.layout import lay_out
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep
from tests.chip.models import config_for, model_of
from tests.chip.passes import (
    clear_states,
    positions_of_one_sequence,
    sequences_side_by_side,
    sessions,
)

PAIRS = [
    (model, config) for config in ("two-slots", "three-slots") for model in ("fixture-a", "odd")
]
RINGS = [("fixture-a", 1), ("odd", 3)]
SHARED = [("fixture-a", "shared-headers")]


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair), scope="module")
def loaded(request):
    model, config = request.param
    device = DirectDevice(model_of(model), config_for(config))
    yield device
    device.close()


@pytest.fixture(
    params=[*PAIRS, *SHARED, *RINGS], ids=lambda pair: f"{pair[0]}-{pair[1]}", scope="module"
)
def lockstep(request):
    """A chip with its tape on it, or with a memory beside it that gives a word every few clocks."""
    name, config = request.param
    period = 1 if isinstance(config, str) else config
    model, config = model_of(name), config_for(config if isinstance(config, str) else "ring")
    image = lay_out(model, config)
    with CompiledChip(config) as chip:
        chip.load(image, period)
        clear_states(chip, config.slots)
        yield Lockstep(chip, Golden(model), model, image)


def test_positions_of_one_sequence(lockstep):
    positions_of_one_sequence(lockstep, np.random.default_rng(3))


def test_sequences_side_by_side(lockstep):
    sequences_side_by_side(lockstep, np.random.default_rng(4))


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_prompt_in_passes(loaded, length):
    """A prompt of any length leaves what single steps leave, and counts as much."""
    loaded.state = np.zeros_like(loaded.state)
    golden, prompt = GoldenDevice(loaded.model), list(range(3, 3 + length))
    before, sampling = loaded.counters(), Sampling(temperature=1.0, seed=length)
    assert list(loaded.generate(prompt, 20, sampling)) == list(
        golden.generate(prompt, 20, sampling)
    )
    assert np.array_equal(loaded.state, golden.state)
    after = loaded.counters()
    for name, value in golden.counters().items():
        assert after[name] - before[name] == value, name


def test_sessions(loaded):
    sessions(loaded)
