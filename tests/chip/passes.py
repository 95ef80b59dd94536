"""Passes of slots that are compared with golden models, whatever chip they run on."""

from __future__ import annotations

import numpy as np

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.golden.step import Golden
from sterna.session import Session, run
from sterna.spec.registers import Control, Memory
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep

__all__ = [
    "clear_states",
    "every_vector",
    "generations",
    "positions_of_one_sequence",
    "sequences_side_by_side",
    "sessions",
]


def clear_states(chip: CompiledChip, slots: int) -> None:
    """Set the states of the first slots to zero."""
    config = chip.config
    pieces = -(-config.elements * 16 // 32)
    chip.write_words(Memory.STATE, np.zeros((slots * config.state_words, pieces)))


def positions_of_one_sequence(lockstep: Lockstep, rng: np.random.Generator) -> None:
    """Every vector of passes of one to all positions: the state of one is the next one's."""
    slots = lockstep.config.slots
    for positions in (1, slots, slots, min(2, slots), 1, slots):
        tokens = rng.integers(0, lockstep.model.shape.vocab, positions)
        difference = lockstep.step(*(int(token) for token in tokens))
        assert difference is None, str(difference)
    assert lockstep.chip.fault() == ""


def sequences_side_by_side(lockstep: Lockstep, rng: np.random.Generator) -> None:
    """Every vector of passes in which sequences come, pause and go on."""
    slots = lockstep.config.slots
    goldens = {slot: Golden(lockstep.model) for slot in range(slots)}
    goldens[slots - 1].state[:] = lockstep.golden.state
    clear_states(lockstep.chip, slots - 1)
    for _ in range(6):
        slots_now = rng.permutation(slots)[: rng.integers(1, slots + 1)]
        tokens = {int(s): int(rng.integers(lockstep.model.shape.vocab)) for s in slots_now}
        difference = lockstep.batch(tokens, goldens)
        assert difference is None, str(difference)
    lockstep.golden.state[:] = goldens[slots - 1].state
    assert lockstep.chip.fault() == ""


def every_vector(device: DirectDevice) -> None:
    """Passes of positions and of sequences in all slots, at every unit boundary."""
    clear_states(device.chip, device.config.slots)
    lockstep = Lockstep(device.chip, Golden(device.model), device.model, device.image)
    positions_of_one_sequence(lockstep, np.random.default_rng(3))
    sequences_side_by_side(lockstep, np.random.default_rng(4))


def generations(device: DirectDevice, seeds: int) -> None:
    """A generation for each seed, with resets of the token side in the middle of reads."""
    golden, rng = GoldenDevice(device.model), np.random.default_rng(5)
    device.state = golden.state
    for seed in range(seeds):
        sampling = Sampling(temperature=1.0, seed=seed)
        prompt = rng.integers(0, device.model.shape.vocab, 2).tolist()
        drawn = list(device.generate(prompt, 6, sampling))
        assert drawn == list(golden.generate(prompt, 6, sampling))
        assert np.array_equal(device.state, golden.state)
        # A token that is cut off, somewhere.
        device.chip.step(int(prompt[0]))
        device.chip.run(int(rng.integers(3000)))
        device.chip.command(Control.RESET)
        device.state = golden.state
    assert device.chip.fault() == ""


def _sessions(vocab: int) -> list[Session]:
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


def sessions(device: DirectDevice) -> None:
    """Sessions that join and leave between passes: each has what it has alone."""
    mine, alone = (_sessions(device.model.shape.vocab) for _ in range(2))
    seen: list[list[int]] = [[] for _ in mine]
    for number, token in run(device, mine, quantum=10):
        seen[number].append(token)
    list(run(GoldenDevice(device.model), alone))
    for own, other, tokens in zip(mine, alone, seen, strict=True):
        assert own.drawn == other.drawn == tokens
        assert np.array_equal(own.state, other.state)
        assert own.done
    assert device.chip.fault() == ""
