"""Long runs: sequences that join and leave a chip's slots, every token and state the golden one."""

import numpy as np
import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.golden.step import Golden
from sterna.session import Session, run
from sterna_sim.device import DirectDevice
from sterna_sim.kit.bench import default_seed
from tests.chip.models import config_for
from tests.tiny import tiny_model

STREAMS, QUANTUM = 24, 37


def streams(vocab, tokens):
    """Sessions of all lengths with so many tokens in all; some greedy, most drawn."""
    rng = np.random.default_rng(default_seed())
    shares = rng.dirichlet(np.full(STREAMS, 3.0))
    counts = np.maximum(1, np.floor(shares * tokens).astype(int))
    counts[-1] += tokens - counts.sum()
    return [
        Session(
            prompt=rng.integers(0, vocab, rng.integers(1, 9)).tolist(),
            count=int(count),
            sampling=Sampling(
                float(rng.choice([0.0, 0.7, 1.0, 1.5])), seed=int(rng.integers(1000))
            ),
        )
        for count in counts
    ]


class Follower:
    """The golden state of a session, after what it has drawn; to be called after each token."""

    def __init__(self, model, session):
        self.golden, self.session = Golden(model), session
        session.state = self.state = self.golden.state.copy()
        self.drawn = self.stepped = self.checks = 0

    def look(self):
        """Compare the state if the session has left its slot since the last look.

        It is that after all but the last of the tokens that were drawn then.
        """
        if self.session.state is not self.state:
            tokens = [*self.session.prompt, *self.session.drawn[: self.drawn - 1]]
            self.golden.run(np.array(tokens[self.stepped :]))
            self.stepped, self.state, self.checks = len(tokens), self.session.state, self.checks + 1
            assert np.array_equal(self.state, self.golden.state), f"after {self.stepped} tokens"
        self.drawn = len(self.session.drawn)


@pytest.mark.parametrize("tokens", [400, pytest.param(20_000, marks=pytest.mark.slow)])
def test_streams(tokens):
    """State checks each time a stream leaves, and each token against a golden model of its own."""
    device = DirectDevice(tiny_model(), config_for("three-slots"))
    mine, alone = (streams(device.model.shape.vocab, tokens) for _ in range(2))
    followers = [Follower(device.model, session) for session in mine]
    drawn = 0
    for _ in run(device, mine, QUANTUM):
        drawn += 1
        for follower in followers:
            follower.look()
    for follower in followers:
        follower.look()
    list(run(GoldenDevice(device.model), alone))
    for own, other in zip(mine, alone, strict=True):
        assert own.drawn == other.drawn
        assert np.array_equal(own.state, other.state)
    checks = sum(follower.checks for follower in followers)
    print(
        f"seed {default_seed()}: {drawn} tokens of {STREAMS} streams in {device.config.slots} "
        f"slots, {checks} states, {device.chip.clocks} clocks"
    )
    assert drawn == tokens
    assert checks >= STREAMS
    assert device.chip.fault() == ""
    device.close()
