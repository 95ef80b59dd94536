"""The memories of the plan are those of the gateware."""

import re
from collections import Counter

import pytest

from sterna.plan.memories import memories
from sterna.spec.ram import LUTRAM_WORDS
from sterna_rtl.lib import ram
from sterna_sim.tables import chip_rtlil
from tests.chip.models import config_for

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "odd-columns",
        "ring",
        *(pytest.param(name, marks=SLOW) for name in ("two-slots", "reference")),
    ],
)
def test_memories(name):
    """All that are deep enough for block RAM, with their shapes."""
    config = config_for(name)
    found = re.findall(r"^ +memory width (\d+) size (\d+) ", chip_rtlil(config), re.M)
    deep = Counter((int(words), int(bits)) for bits, words in found if int(words) > LUTRAM_WORDS)
    planned = Counter()
    for memory in memories(config):
        if memory.block_rams:
            planned[memory.words, memory.bits] += memory.copies
    assert planned == deep
    assert LUTRAM_WORDS == ram.LUTRAM_WORDS


def test_reference():
    """The block RAMs that place and route counts."""
    assert sum(memory.block_rams for memory in memories(config_for("reference"))) == 202
