"""Slots: positions of one sequence or several sequences in one pass, as if stepped one by one."""

import numpy as np
import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.golden.step import Golden
from sterna.model.layout import lay_out
from sterna.session import Session, run
from sterna.spec.registers import Memory
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep
from tests.chip.models import config_for, model_of

PAIRS = [
    (model, config) for config in ("two-slots", "three-slots") for model in ("fixture-a", "odd")
]
RINGS = [("fixture-a", 1), ("odd", 3)]


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair), scope="module")
def loaded(request):
    model, config = request.param
    device = DirectDevice(model_of(model), config_for(config))
    yield device
    device.close()


@pytest.fixture(params=[*PAIRS, *RINGS], ids=lambda pair: f"{pair[0]}-{pair[1]}", scope="module")
def lockstep(request):
    """A chip with its tape on it, or with a memory beside it that gives a word every few clocks."""
    name, config = request.param
    period = 1 if isinstance(config, str) else config
    model, config = model_of(name), config_for(config if isinstance(config, str) else "ring")
    image = lay_out(model, config)
    with CompiledChip(config) as chip:
        chip.load(image, period)
        pieces = -(-config.elements * 16 // 32)
        chip.write_words(Memory.STATE, np.zeros((config.slots * config.state_words, pieces)))
        yield Lockstep(chip, Golden(model), model, image)


def test_positions_of_one_sequence(lockstep):
    """Every vector of passes of one to all positions: the state of one is the next one's."""
    rng, slots = np.random.default_rng(3), lockstep.config.slots
    for positions in (1, slots, slots, 2, 1, slots):
        tokens = rng.integers(0, lockstep.model.shape.vocab, positions)
        difference = lockstep.step(*(int(token) for token in tokens))
        assert difference is None, str(difference)
    assert lockstep.chip.fault() == ""


def test_sequences_side_by_side(lockstep):
    """Every vector of passes in which sequences come, pause and go on."""
    rng, slots = np.random.default_rng(4), lockstep.config.slots
    goldens = {slot: Golden(lockstep.model) for slot in range(slots)}
    goldens[slots - 1].state[:] = lockstep.golden.state
    pieces = -(-lockstep.config.elements * 16 // 32)
    others = np.zeros(((slots - 1) * lockstep.config.state_words, pieces))
    lockstep.chip.write_words(Memory.STATE, others)
    for _ in range(6):
        slots_now = rng.permutation(slots)[: rng.integers(1, slots + 1)]
        tokens = {int(s): int(rng.integers(lockstep.model.shape.vocab)) for s in slots_now}
        difference = lockstep.batch(tokens, goldens)
        assert difference is None, str(difference)
    lockstep.golden.state[:] = goldens[slots - 1].state
    assert lockstep.chip.fault() == ""


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


def sessions(vocab):
    """More than there are slots, of all lengths, settings and ends."""
    rng = np.random.default_rng(8)
    return [
        Session(
            prompt=[int(token) for token in rng.integers(0, vocab, length)],
            count=count,
            sampling=Sampling(temperature, seed=count, stop=(7, 11)),
        )
        for length, count, temperature in (
            (1, 30, 1.0), (5, 12, 0.5), (2, 1, 0.0), (9, 25, 2.0), (1, 40, 1.0), (3, 8, 1.0),
        )
    ]  # fmt: skip


def test_sessions(loaded):
    """Tokens and states of each are those that it has alone."""
    mine, alone = (sessions(loaded.model.shape.vocab) for _ in range(2))
    seen = [[] for _ in mine]
    for number, token in run(loaded, mine, quantum=10):
        seen[number].append(token)
    list(run(GoldenDevice(loaded.model), alone))
    for own, other, tokens in zip(mine, alone, seen, strict=True):
        assert own.drawn == other.drawn == tokens
        assert np.array_equal(own.state, other.state)
        assert own.done
    assert loaded.chip.fault() == ""
