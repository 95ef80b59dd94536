"""The formulae for LUTs and multipliers against what Yosys maps a chip to."""

from collections import Counter

import pytest

from sterna.model.model import Shape
from sterna.model.outline import Outline
from sterna.plan.area import luts, multipliers
from sterna.plan.memories import memories
from sterna.spec.chip import REFERENCE
from sterna_sim.tables import mapped_cells
from tests.plan.drawn import draw

DRAWN = range(200, 204)
"""Seeds of the configurations that were drawn after the constants had been fixed."""


def test_reference():
    """Place and route packed 37 984 TRELLIS_COMB and 97 multipliers."""
    assert luts(REFERENCE) == pytest.approx(37_984, rel=0.1)
    assert multipliers(REFERENCE) == 97


@pytest.mark.slow
@pytest.mark.parametrize("seed", DRAWN)
def test_drawn_chips(seed):
    drawn = draw(seed, largest=600, most_lanes=96)
    vocab, hidden, inner, layers = drawn.sizes.values()
    config = drawn.config(Outline.of_shape(Shape(vocab, hidden, hidden, inner, layers)))
    total = sum(mapped_cells(config).values(), Counter())
    print(f"{config.to_dict()}\n{total}, expected {luts(config)}")
    assert luts(config) == pytest.approx(total["luts"], rel=0.15)
    assert multipliers(config) == total["multipliers"]
    assert sum(memory.block_rams for memory in memories(config)) == total["block_rams"]
