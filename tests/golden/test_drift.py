"""The golden model does not drift from the float64 model, however long a sequence is."""

from dataclasses import replace

import numpy as np
import pytest

from sterna.evaluate import divergence, log_softmax
from sterna.golden.step import Golden
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model
from sterna.spec.program import Op
from sterna_sim.kit.bench import default_seed
from tests.chip.models import model_of
from tests.golden.test_quality import FIXTURE

PARTS, PIECE = 10, 500


def drift(tokens, model, wander=lambda golden: None):
    """Mean divergence in nats, and root mean square error of the state, in each part of a sequence.

    Both models see the same tokens and go on from states of their own; nothing is ever reset. The
    state is compared after each piece; then `wander` is called with the golden model.
    """
    golden = Golden(model)
    reference = Float64Model.from_checkpoint(Checkpoint(FIXTURE))
    unit = 2.0 ** -model.steps[-1].fraction
    units = np.array([[2.0**-step.fraction] for step in model.steps if step.op is Op.STATE])
    for part in np.split(tokens, PARTS):
        kl, errors = 0.0, []
        for start in range(0, len(part), PIECE):
            piece = part[start : start + PIECE]
            log_q = log_softmax(golden.run(piece) * unit)
            kl += divergence(log_softmax(reference.run(piece)), log_q)
            errors.append(np.square(golden.state * units - reference.state).mean())
            wander(golden)
        yield kl / len(part), float(np.sqrt(np.mean(errors)))


def of_random_tokens(count, wander=lambda golden: None):
    """Print and return the drift over random tokens."""
    model = model_of("fixture-a")
    model = replace(model, vectors={name: v.copy() for name, v in model.vectors.items()})
    tokens = np.random.default_rng(default_seed()).integers(0, model.shape.vocab, count)
    found = np.array(list(drift(tokens, model, wander)))
    print(f"seed {default_seed()}, {count} tokens; nats, error of the state, in each tenth:")
    for kl, error in found:
        print(f"  {kl:.3e}  {error:.3e}")
    return found


def check(found):
    """The last part is no further off than the first: by less than its own scatter and 10 %."""
    first, last = found[: PARTS // 2], found[PARTS // 2 :]
    assert (last.mean(axis=0) < 1.1 * first.mean(axis=0) + found.std(axis=0)).all()
    assert (found[:, 0] < 3e-3).all()


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_no_drift(count):
    check(of_random_tokens(count))


def test_drift_is_seen():
    """A weight that wanders from piece to piece is one."""

    def wander(golden):
        golden.model.vectors["head_fold"][0] += 1000

    with pytest.raises(AssertionError):
        check(of_random_tokens(5000, wander))
