"""Chips and models drawn by a seed, every vector of every pass as the golden model has it."""

from dataclasses import replace

import numpy as np
import pytest

from sterna.golden.step import Golden
from sterna.model.layout import fit, lay_out
from sterna.spec.trits import Packing
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep
from tests.chip.passes import (
    clear_states,
    positions_of_one_sequence,
    sequences_side_by_side,
    sessions,
)
from tests.tiny import tiny_model

SEED, CHIPS, SMALL = 2, 30, 6
"""Of `CHIPS` chips the first `SMALL` have few lanes; only they are built by `make test`."""


def drawn(number):
    """Options of a model, lanes of a chip, and clocks a word of its tape takes from outside."""
    rng = np.random.default_rng((SEED, number))

    def one_of(*choices):
        return choices[rng.integers(len(choices))]

    few = number < SMALL
    elements = one_of(1, 2, 4) if few else one_of(1, 2, 4, 8)
    wide = one_of(True, False)
    model = {
        "vocab": int(rng.integers(20, 60 if few else 200)),
        "hidden": int(rng.integers(5, 24 if few else 70)),
        "layers": int(rng.integers(1, 3 if few else 4)),
        "intermediate": int(rng.integers(5, 40 if few else 100)),
        "expand_ratio": 2.0 if wide else 1.0,
        # The reference itself has no lower bounds of a wider state.
        "use_lower_bound": not wide and one_of(True, False),
        "tied": one_of(True, False),
        "eps": one_of(1e-6, 1e-3),
        "coarse": one_of(True, False),
        "seed": number,
    }
    lanes = {
        "rows": one_of(1, 2) if few else one_of(1, 2, 4, 8),
        "columns": elements * int(rng.integers(1, 4 if few else 9)),
        "elements": elements,
        "packing": tuple(Packing)[number % len(Packing)],
        # One to four; a matrix of more rows than there is room for is cut.
        "slots": 1 + number % 4,
        "psum_words": one_of(None, int(rng.integers(8, 20))),
        "ring_words": one_of(0, 0, 256),
    }
    extras = {"top_k": one_of(0, 3), "log_probability": one_of(True, False)}
    return model, lanes, extras if lanes["slots"] == 1 else {}, int(rng.integers(1, 5))


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=[pytest.mark.slow] if number >= SMALL else [])
        for number in range(CHIPS)
    ],
)
def test_drawn(number):
    """Passes of positions and of sequences; with the tape on the chip, sessions in all slots."""
    options, lanes, extras, period = drawn(number)
    print(f"seed {SEED}, number {number}: {options}, {lanes}, {extras}, a word in {period} clocks")
    model = tiny_model(**options)
    config = replace(fit(model, **lanes), **extras)
    image, rng = lay_out(model, config), np.random.default_rng(number)
    with CompiledChip(config) as chip:
        chip.load(image, period)
        clear_states(chip, config.slots)
        lockstep = Lockstep(chip, Golden(model), model, image)
        positions_of_one_sequence(lockstep, rng)
        sequences_side_by_side(lockstep, rng)
    if config.tape_words:
        device = DirectDevice(model, config)
        sessions(device)
        device.close()


def test_all_sorts_are_drawn():
    """Each number of slots, each packing, both sources of the tape, among the small ones too."""
    for numbers in (range(SMALL), range(CHIPS)):
        lanes = [drawn(number)[1] for number in numbers]
        assert {chip["slots"] for chip in lanes} == {1, 2, 3, 4}
        assert {chip["packing"] for chip in lanes} == set(Packing)
        assert {bool(chip["ring_words"]) for chip in lanes} == {True, False}
        assert {chip["psum_words"] is None for chip in lanes} == {True, False}
