"""Calibration: the recorded ranges are those of the text."""

from pathlib import Path

import numpy as np
import pytest

from sterna.errors import InputError
from sterna.model.calibrate import calibrate
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model

FIXTURE_A = Path(__file__).parents[1] / "fixtures" / "A"

LAYER_RANGES = {
    "y.i", "y.f", "y.g", "y.u", "y.v", "silu_i", "silu_u", "h", "z.o", "z.down",
    "residual.o", "residual.down",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(FIXTURE_A)


def test_every_rounded_value_has_a_range(checkpoint: Checkpoint) -> None:
    ranges = calibrate(checkpoint, [1, 5, 9, 12])
    layers = {f"layers.{layer}.{name}" for layer in range(2) for name in LAYER_RANGES}
    assert set(ranges) == layers | {"embedding", "logits"}
    assert all(isinstance(value, float) and 0 < value < 1e3 for value in ranges.values())


def test_ranges_are_largest_magnitudes(checkpoint: Checkpoint) -> None:
    ids = np.random.default_rng(4).integers(97, size=30)
    ranges = calibrate(checkpoint, ids)
    model = Float64Model.from_checkpoint(checkpoint)
    states, logits = [], []
    for token in ids:
        logits.append(model.step(token))
        states.append(model.state.copy())
    assert ranges["logits"] == pytest.approx(np.abs(logits).max())
    largest = np.abs(states).max(axis=(0, 2))
    assert ranges["layers.0.h"] == pytest.approx(largest[0])
    assert ranges["layers.1.h"] == pytest.approx(largest[1])
    table = checkpoint.tensor("model.embeddings.weight")
    assert ranges["embedding"] == np.abs(table).max() > np.abs(table[ids]).max()


def test_products_are_bounded_by_their_factors(checkpoint: Checkpoint) -> None:
    ranges = calibrate(checkpoint)
    for layer in ("layers.0", "layers.1"):
        assert ranges[f"{layer}.z.o"] <= ranges[f"{layer}.y.g"] * ranges[f"{layer}.h"]
        assert ranges[f"{layer}.z.down"] <= ranges[f"{layer}.silu_u"] * ranges[f"{layer}.y.v"]
        assert ranges[f"{layer}.silu_i"] <= ranges[f"{layer}.y.i"]


def test_longer_text_never_lowers_a_range(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.model.float64.CHUNK", 16)
    ids = np.random.default_rng(4).integers(97, size=64)
    short, long = calibrate(checkpoint, ids[:16]), calibrate(checkpoint, ids)
    assert all(long[name] >= value for name, value in short.items())
    assert any(long[name] > value for name, value in short.items())


def test_without_a_text_the_seed_decides(checkpoint: Checkpoint) -> None:
    ids = np.random.default_rng(0).integers(97, size=1024)
    assert calibrate(checkpoint) == calibrate(checkpoint, ids)
    assert calibrate(checkpoint) != calibrate(checkpoint, seed=1)


def test_empty_text_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="has no tokens; give a longer one"):
        calibrate(checkpoint, [])
