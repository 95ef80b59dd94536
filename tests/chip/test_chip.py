"""The compiled chip and the golden model, number by number."""

import numpy as np
import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.golden.step import Golden
from sterna.spec.registers import Counter
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep
from tests.chip.models import CONFIGS, config_for, model_of

PAIRS = [
    ("tern-ecp5", "reference"),
    ("odd", "reference"),
    *((m, c) for c in CONFIGS if c not in ("reference", "ring") for m in ("fixture-a", "odd")),
]
SLOW = "fixture-a"  # of a configuration that a model of odd shape is played on too


@pytest.fixture(
    params=[
        pytest.param(pair, marks=pytest.mark.slow if pair[0] == SLOW else ()) for pair in PAIRS
    ],
    ids=["-".join(pair) for pair in PAIRS],
    scope="module",
)
def loaded(request):
    """A model loaded into a chip."""
    model, config = request.param
    device = DirectDevice(model_of(model), config_for(config))
    yield device
    device.close()


def random_state(model, rng):
    return rng.integers(-32767, 32768, (model.shape.layers, model.shape.width))


def test_every_vector_of_eight_tokens(loaded):
    """All intermediate vectors, from a random state, at every unit boundary."""
    rng = np.random.default_rng(7)
    golden = Golden(loaded.model)
    golden.state[:] = loaded.state = random_state(loaded.model, rng)
    lockstep = Lockstep(loaded.chip, golden, loaded.model, loaded.image)
    for token in rng.integers(0, loaded.model.shape.vocab, 8):
        difference = lockstep.step(int(token))
        assert difference is None, str(difference)


def test_two_hundred_tokens_sampled(loaded):
    """Tokens, state and event counters of a generation at temperature 1."""
    loaded.state = np.zeros_like(loaded.state)
    before = loaded.counters()
    golden = GoldenDevice(loaded.model)
    sampling = Sampling(temperature=1.0, seed=5)
    prompt = [1, 2, 3]
    assert list(loaded.generate(prompt, 200, sampling)) == list(
        golden.generate(prompt, 200, sampling)
    )
    assert np.array_equal(loaded.state, golden.state)
    after = loaded.counters()
    for name, value in golden.counters().items():
        assert after[name] - before[name] == value, name
    assert loaded.chip.fault() == ""
    assert set(after) == {counter.name.lower() for counter in Counter}


def test_logits_and_argmax(loaded):
    """Logits read by the host, and greedy generation."""
    loaded.state = np.zeros_like(loaded.state)
    golden = GoldenDevice(loaded.model)
    tokens = [5, 9, 12]
    assert np.array_equal(loaded.logits(tokens), golden.logits(tokens))
    assert list(loaded.generate([4], 12, Sampling())) == list(golden.generate([4], 12, Sampling()))
