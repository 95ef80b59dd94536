"""Packed trits: matrices come back as they were, and only when they are asked for."""

import numpy as np
import pytest

from sterna.errors import InputError
from sterna.model.packed import PackedTrits


def test_matrices_come_back() -> None:
    rng = np.random.default_rng(3)
    matrices = {
        name: rng.integers(-1, 2, shape).astype(np.int8)
        for name, shape in {"a": (7, 3), "b": (0, 4), "c": (1, 1)}.items()
    }
    packed = PackedTrits(matrices)
    again = PackedTrits(packed)
    for trits in (packed, again):
        assert list(trits) == ["a", "b", "c"]
        assert trits.shape("a") == (7, 3)
        assert trits.packed("a").nbytes == 5
        for name, matrix in matrices.items():
            np.testing.assert_array_equal(trits[name], matrix, strict=True)


def test_bytes_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="2 bytes of trits were given"):
        PackedTrits().add_packed("a", np.zeros(2, np.uint8), (2, 2))
    with pytest.raises(KeyError):
        PackedTrits()["a"]
