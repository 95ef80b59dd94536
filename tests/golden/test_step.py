"""The golden model as a whole: positions side by side are positions one by one."""

import numpy as np

from sterna.golden.step import Golden
from tests.chip.models import model_of


def test_side_by_side_equals_one_by_one():
    """Logits, state and counters of one call are those of many."""
    model = model_of("odd")
    tokens = np.random.default_rng(2).integers(0, model.shape.vocab, 40)
    together, single = Golden(model), Golden(model)
    logits = together.run(tokens)
    rows = np.concatenate([single.run(tokens[t : t + 1]) for t in range(len(tokens))])
    assert np.array_equal(logits, rows)
    assert np.array_equal(together.state, single.state)
    assert together.counters == single.counters


def test_state_is_the_whole_context():
    """A state moved to another golden model goes on identically."""
    model = model_of("fixture-a")
    first, second = Golden(model), Golden(model)
    first.run(np.arange(20))
    second.state[:] = first.state
    assert np.array_equal(first.run(np.array([7])), second.run(np.array([7])))
