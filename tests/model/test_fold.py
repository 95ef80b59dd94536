"""Folding: what of a checkpoint survives exactly, and what is reported about it."""

from pathlib import Path

import numpy as np

from sterna.model.calibrate import calibrate
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model
from sterna.model.fold import NEAR, fold
from sterna.model.ternary import near_threshold
from tests.synthetic import write_checkpoint

ROOT = Path(__file__).parents[2]


def test_embedding_on_a_grid_is_kept_exactly() -> None:
    """So that the float64 reference of a model file is that of its checkpoint."""
    checkpoint = Checkpoint(ROOT / "models" / "tern-ecp5")
    model = fold(checkpoint, calibrate(checkpoint, np.arange(20)))
    model.meta["eps"] = checkpoint.config.eps
    rebuilt = Float64Model.from_model(model)
    table = checkpoint.tensor("model.embeddings.weight")
    np.testing.assert_array_equal(rebuilt.embedding, table)
    assert np.abs(model.embedding.astype(int)).max() <= 8  # trained in 4 bits
    ids = np.arange(40)
    np.testing.assert_array_equal(
        rebuilt.run(ids), Float64Model.from_checkpoint(checkpoint).run(ids)
    )


def test_weights_near_the_threshold_are_counted(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write_checkpoint(tmp_path))
    near = fold(checkpoint, calibrate(checkpoint)).meta["near_threshold"]
    assert len(near) == 13
    weight = checkpoint.tensor("model.layers.1.mlp.gate_proj.weight")
    assert near["model.layers.1.mlp.gate_proj"] == near_threshold(weight, NEAR)
    assert all(0 <= share < 0.05 for share in near.values())


def test_stages_are_told(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write_checkpoint(tmp_path, layers=3))
    calibrated, folded = [], []
    fold(checkpoint, calibrate(checkpoint, progress=calibrated.append), folded.append)
    assert calibrated == folded == [0, 1, 2, 3]
