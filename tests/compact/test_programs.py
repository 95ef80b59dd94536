"""The compact arithmetic's programs, pass by pass in NumPy: the golden functions' results."""

import itertools

import numpy as np
import pytest

from sterna.spec.compact import PASS_BITS, PASS_FIELDS, PROGRAMS, STEP_BITS, rom
from sterna.spec.program import Op
from tests.compact.segments import Segments

SEEDS = range(12)


@pytest.mark.parametrize("op", list(Op))
def test_operations(op):
    """Every shift of the scale that leaves anything; both kinds of states."""
    clamped = 0
    for seed, shift in itertools.product(SEEDS, range(33)):
        segments = Segments(np.random.default_rng([seed, shift]))
        rows = 288 if op in (Op.SILU, Op.PRODUCT, Op.LOGITS) else 96
        segments.operation(op, 0, rows - 1, bounded=bool(seed % 2), shift=shift)
        clamped += segments.counters.saturations
    print(f"{op.name}: {clamped} clamped, seeds {list(SEEDS)}")
    assert clamped


@pytest.mark.parametrize("source, bits, rows", [("x", 16, 96), ("scratch", 18, 288)])
def test_quantiser(source, bits, rows):
    for seed, width in itertools.product(SEEDS, range(1, bits + 1)):
        segments = Segments(np.random.default_rng([seed, width]))
        segments.quantise(source, 0, rows - 1, width=width)


def test_sampler():
    for seed in range(100):
        Segments(np.random.default_rng(seed)).score(0, 255)


def test_rom():
    """Each pass can be read from its row."""
    rows = rom()
    assert max(rows) < 1 << PASS_BITS
    for program, passes in PROGRAMS.items():
        for step, item in enumerate(passes):
            assert not (item.vector and item.to_vector)  # that memory has one port
            row = rows[(program << STEP_BITS) + step]
            for name, bits in PASS_FIELDS:
                expected = step == len(passes) - 1 if name == "last" else getattr(item, name)
                assert row & (1 << bits) - 1 == expected
                row >>= bits
