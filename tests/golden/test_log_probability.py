"""Golden log-probability against float64: random logits, hard ones, and those of a real model."""

import math
from pathlib import Path

import numpy as np
import pytest

from sterna.device.golden import GoldenDevice
from sterna.errors import InputError
from sterna.golden.log_probability import log_probability, log_scale
from sterna.model import container
from sterna.spec.tables import OCTAVE_FRACTION

MODEL = Path(__file__).parents[2] / "models" / "tern-ecp5" / "tern-ecp5.sterna"
BOUND = 1e-3
NATS = math.log(2) / 2**OCTAVE_FRACTION


def worst_error(rows, fraction, rng, targets=8):
    """Largest distance from float64, nats."""
    worst = 0.0
    for row in rows:
        shifted = row * 2.0**-fraction
        shifted -= shifted.max()
        exact = shifted - np.log(np.exp(shifted).sum())
        for target in rng.integers(len(row), size=targets).tolist():
            found = log_probability(row, target, log_scale(fraction)) * NATS
            worst = max(worst, abs(found - exact[target]))
    return worst


@pytest.mark.parametrize("fraction", [6, 8, 9, 11, 14, 20])
def test_random_logits(fraction):
    """All magnitudes, vocabularies of 1 to 65,536."""
    rng = np.random.default_rng(fraction)
    rows = [
        np.clip(np.rint(rng.standard_normal(size) * spread * 2**fraction), -32767, 32767)
        for size in (1, 2, 30, 1024, 65536)
        for spread in (0.1, 1, 4)
    ]
    rows += [rng.integers(-32767, 32768, size) for size in (5, 1024)]
    worst = worst_error([row.astype(np.int64) for row in rows], fraction, rng)
    print(f"random logits, {fraction} fraction bits: error {worst:.1e} nats at most")
    assert worst < BOUND


def test_hard_logits():
    """All equal; one far above the rest; two heights at every distance."""
    rng, fraction = np.random.default_rng(1), 9
    rows = [np.full(1000, value) for value in (-32767, -1, 0, 5, 32767)]
    for distance in range(0, 30 * 512, 97):
        row = np.full(1000, -distance)
        row[: 1 + distance % 5] = 0
        rows.append(row)
    worst = worst_error(rows, fraction, rng)
    print(f"hard logits: error {worst:.1e} nats at most")
    assert worst < BOUND


def test_real_logits():
    """The shipped model on some tokens."""
    model = container.load(MODEL)
    rng = np.random.default_rng(7)
    rows = GoldenDevice(model).logits(rng.integers(model.shape.vocab, size=64).tolist())
    worst = worst_error(rows, model.steps[-1].fraction, rng, targets=50)
    print(f"real logits: error {worst:.1e} nats at most")
    assert worst < BOUND


def test_order_does_not_matter():
    """The definition knows no order: tokens changed about give the same bits."""
    rng = np.random.default_rng(2)
    logits = rng.integers(-3000, 3000, 500)
    order = rng.permutation(500)
    scale = log_scale(9)
    for token in range(0, 500, 50):
        place = int(np.flatnonzero(order == token)[0])
        assert log_probability(logits, token, scale) == log_probability(logits[order], place, scale)


def test_logits_too_coarse_are_refused():
    with pytest.raises(InputError, match=r"5 fraction bits.*at least 6"):
        log_scale(5)
