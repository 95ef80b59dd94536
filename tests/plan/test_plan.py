"""What is chosen fits, and is as good as what people chose."""

import dataclasses

import pytest

from sterna.errors import InputError
from sterna.model.model import Shape
from sterna.model.outline import PUBLISHED, Outline
from sterna.plan.area import luts, multipliers
from sterna.plan.boards import BOARDS
from sterna.plan.clocks import expected_clocks
from sterna.plan.memories import memories
from sterna.plan.plan import plan
from sterna.spec.chip import REFERENCE
from sterna_sim.demo import demo_model

ULX3S = BOARDS["ulx3s-85f"]


def test_as_good_as_the_reference():
    """With the tape on the chip; a second slot fills the pauses of the first."""
    outline = Outline.of(demo_model())
    clocks = expected_clocks(outline.steps, REFERENCE)
    one, best = plan(outline, ULX3S, slots=1), plan(outline, ULX3S)
    for found in (one, best):
        config = found.config
        assert config.tape_words
        assert not found.embedding_outside
        assert found.block_rams == sum(memory.block_rams for memory in memories(config)) <= 208
        assert found.luts == luts(config) <= ULX3S.usable_luts
        assert found.multipliers == multipliers(config) <= 156
        assert found.roofline <= 1
    assert (one.config.slots, one.clocks_per_pass) == (1, one.clocks_alone)
    assert one.clocks_per_token <= clocks
    assert best.clocks_per_token <= one.clocks_per_token


def test_memory_is_the_limit():
    """A published shape on a card: at least 95 % of what its memory allows, with few lanes."""
    outline = Outline.of_shape(PUBLISHED["370M"])
    found = plan(outline, BOARDS["u250"], slots=1)
    assert found.config.ring_words
    assert found.memory_bound
    assert found.embedding_outside
    assert 0.95 < found.roofline <= 1
    assert found.clocks_per_token < 297_000
    half = dataclasses.replace(BOARDS["u250"].memory, bytes_per_second=38.4e9)
    slow = plan(outline, dataclasses.replace(BOARDS["u250"], memory=half), slots=1)
    assert slow.clocks_per_token == pytest.approx(2 * found.clocks_per_token, rel=0.03)
    assert slow.luts < found.luts
    many = plan(outline, BOARDS["u250"])
    assert many.clocks_per_token < found.clocks_per_token / 4


@pytest.mark.parametrize(
    "change, words",
    [
        ({"block_rams": 20, "memory": None}, "block RAMs of 18 Kbit and there are 20"),
        ({"luts": 2000, "usable": 1}, "LUTs and there are 2,000"),
        ({"multipliers": 5}, "18 multipliers and there are 5"),
        (
            {"memory": dataclasses.replace(ULX3S.memory, bytes=1000), "block_rams": 100},
            "bytes of memory and there are 1,000",
        ),
    ],
)
def test_no_fit(change, words):
    """It says what the board has too little of and how much is needed."""
    outline = Outline.of_shape(Shape(1024, 192, 192, 448, 3), 4)
    with pytest.raises(InputError, match=words):
        plan(outline, dataclasses.replace(ULX3S, **change))


def test_board_with_sdram():
    """What the chip does not hold lies in a memory that it drives, a word of 16 bits a clock."""
    outline = Outline.of_shape(Shape(4096, 512, 512, 1536, 8), 8)
    found = plan(outline, ULX3S, slots=1)
    config = found.config
    assert (config.memory, config.embedding_words, found.embedding_outside) == ("ULX3S", 0, True)
    assert found.memory_bound
    assert 0.95 < found.roofline <= 1
    assert found.block_rams <= 208
    # It does not depend on the clock, but for refreshes, which count in ns.
    fast = plan(outline, dataclasses.replace(ULX3S, clock_hz=100e6), slots=1)
    assert fast.clocks_per_token == pytest.approx(found.clocks_per_token, rel=0.01)
    assert fast.clocks_per_token < found.clocks_per_token
    small = dataclasses.replace(ULX3S.memory, bytes=4 << 20)
    with pytest.raises(InputError, match="bytes of memory and there are 4,194,304"):
        plan(outline, dataclasses.replace(ULX3S, memory=small), slots=1)
