"""Ternarisation: the reference's trits, scales and limits."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sterna.model.checkpoint import Checkpoint
from sterna.model.ternary import SMALLEST_MEAN, near_threshold, row_sums, ternarise

FIXTURE_A = Path(__file__).parents[1] / "fixtures" / "A"


def test_trits_equal_the_reference() -> None:
    expected = safetensors.numpy.load_file(FIXTURE_A / "ternary.safetensors")
    checkpoint = Checkpoint(FIXTURE_A)
    names = [name.removesuffix(".trit") for name in expected if name.endswith(".trit")]
    assert len(names) == 13
    for name in names:
        trits, scale = ternarise(checkpoint.tensor(name))
        assert trits.dtype == np.int8
        np.testing.assert_array_equal(trits, expected[f"{name}.trit"])
        assert scale == pytest.approx(expected[f"{name}.absmean"].item(), rel=2e-7)


def test_threshold_is_half_of_the_mean() -> None:
    weight = np.array([[0.49, 0.51, -0.49, -0.51], [2.0, -2.0, 2.0, 0.0]], np.float32)
    trits, scale = ternarise(weight)
    assert scale == pytest.approx(1.0)
    np.testing.assert_array_equal(trits, [[0, 1, 0, -1], [1, -1, 1, 0]])


def test_weight_on_the_threshold_is_zero() -> None:
    trits, scale = ternarise(np.array([[1.0, -1.0, 3.0, 3.0]], np.float32))
    assert scale == 2.0
    np.testing.assert_array_equal(trits, [[0, 0, 1, 1]])


def test_zeros_have_the_smallest_scale() -> None:
    trits, scale = ternarise(np.zeros((3, 4), np.float32))
    assert scale == SMALLEST_MEAN
    assert not trits.any()


def test_weights_are_left_alone() -> None:
    weight = np.random.default_rng(1).normal(size=(8, 9)).astype(np.float32)
    before = weight.copy()
    ternarise(weight)
    np.testing.assert_array_equal(weight, before)


def test_near_threshold_counts_weights_within_the_margin() -> None:
    weight = np.array([[0.49, -0.51, 0.0, 3.0]], np.float32)  # mean magnitude 1
    assert near_threshold(weight, 0.02) == 0.5
    assert near_threshold(weight, 0.001) == 0.0
    assert near_threshold(weight, 0.5) == 0.75


def test_shipped_model_was_moved_away_from_the_threshold() -> None:
    weight = Checkpoint(FIXTURE_A.parents[2] / "models" / "tern-ecp5").tensor("lm_head.weight")
    assert near_threshold(weight, 1e-3) == 0.0


@pytest.mark.parametrize(
    ("positions", "rows", "columns"),
    [(1, 1, 1), (1, 700, 1000), (3, 300, 2816), (2, 5, 6912), (1, 3, 1 << 17), (2, 2, 300_000)],
)
def test_row_sums_are_those_of_integers(positions: int, rows: int, columns: int) -> None:
    """Also where every partial sum is as large as it can be, and beyond what float32 holds."""
    rng = np.random.default_rng(columns)
    trits = rng.integers(-1, 2, (rows, columns)).astype(np.int8)
    activations = rng.integers(-128, 128, (positions, columns))
    trits[0], activations[0] = 1, 127
    found = row_sums(activations, trits)
    np.testing.assert_array_equal(found.astype(np.int64), activations @ trits.T.astype(np.int64))
    assert found[0, 0] == 127 * columns
