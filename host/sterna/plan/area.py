"""LUTs and multipliers of a chip by formulae of its sizes.

A LUT has four inputs; a bit of a carry chain counts as one, and four hold 16 words of 4 bits.
Constants are fitted to five chips mapped to ECP5 by Yosys, unit by unit (`sterna_sim.tables`), all
with the tape on the chip. Place and route adds some 5 % for the ends of carry chains.
"""

from __future__ import annotations

from sterna.plan.memories import memories
from sterna.spec.chip import ChipConfig
from sterna.spec.ram import BANK_WORDS
from sterna.spec.trits import Packing

__all__ = ["LEAST_LUTS", "luts", "multipliers", "unit_luts"]

LEAST_LUTS = 12
"""A lane takes more than this."""

_UNPACKED = {Packing.TWO_BITS: 0, Packing.FIVE_THIRDS: 5 / 3, Packing.EIGHT_FIFTHS: 121 / 5}
"""LUTs of the unpacker for each lane. Those of eight bits are counted, not mapped: nine tables of
seven inputs, each of 13 with four inputs, and four gates for five lanes."""


def unit_luts(config: ChipConfig) -> dict[str, float]:
    """LUTs of each unit, RAMs included that lie in LUTs."""
    rows, elements, lanes, slots = config.rows, config.elements, config.lanes, config.slots
    word, sums, sampled = config.word_bits, rows * config.row_sum_bits, min(rows, elements)
    more, several = slots - 1, slots > 1
    lane = 13.7 if config.columns % 4 == 0 else 18  # chains of four lanes, or adders of two
    embedding = config.embedding_bits * elements
    queued = 3.3 * elements * config.row_sum_bits if rows < elements else 0
    banks, table = (-(-n // BANK_WORDS) for n in (config.tape_words, config.embedding_words))
    units = {
        "engine": 268 + lane * lanes + 3.1 * sums,
        "unpacker": lanes * _UNPACKED[config.packing],
        "regroup": 0.8 * sums if rows > elements else queued,
        "words": 4 + word,
        "epilogue": 335 + 1240 * elements + 28 * more,
        "quantizer": 1600 + 365 * elements + 57 * several + 407 * more,
        "sampler": 411 + 965 * sampled + 39 * elements + 60 * several + 545 * more,
        "embedding": 165 + 30 * elements + embedding * (table - 1) / 3 + 2 * table,
        "banks": 80 + 48 * elements + 30 * more,
        "sequencer": 670 + 0.35 * word + 290 * several + 38 * more,
        "registers": 690 + 0.35 * word + 35 * more,
        "loader": 175 + 0.8 * word + 45 * elements,
        "generator": 261 + 86 * more,
        "logit_tap": 17 * elements,
        "counters": 230 + 20 * elements,
        "checker": 323,
        "link": 1262,
        "top": 45 + 15 * elements + 20 * more,
    }
    if config.ring_words:
        units["ring"] = 250 + 2.9 * word  # a guess after the reader: no such chip was mapped
    else:
        units["reader"] = 200 + (2.9 + 0.73 * (banks - 1)) * word
    for memory in memories(config):
        if memory.luts:
            units[memory.unit] += memory.luts
    return units


def luts(config: ChipConfig) -> int:
    """LUTs of a chip with its UART."""
    return round(sum(unit_luts(config).values()))


def multipliers(config: ChipConfig) -> int:
    """Multipliers of 18 x 18 bits.

    Five of each element in epilogue and quantizer, three of each lane of the sampler; five for
    scale, reciprocal, root and addresses. One more of each element where row sums are wider than 18
    bits is a guess: no such chip was mapped.
    """
    wide = config.row_sum_bits > 18
    return (10 + wide) * config.elements + 3 * min(config.rows, config.elements) + 5
