"""The cycle expectation: clocks of one token, from the tape and the latencies that the units state.

A few recurrences follow each segment through quantizer, engine and epilogue; nothing of it was
fitted to a run of the chip. `make demo` and the tests compare it with the chip's counters.
"""

from __future__ import annotations

from functools import cache

from amaranth.hdl import Fragment
from amaranth.utils import ceil_log2

from sterna.model.layout import Image
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Stats
from sterna.spec.tape import header_words
from sterna_rtl.datapath.engine import TernaryEngine
from sterna_rtl.datapath.epilogue import Epilogue
from sterna_rtl.datapath.quantizer import Quantizer

__all__ = ["expected_clocks"]

EMBEDDING = 8
"""Clocks from a token to the first word of its row."""

GENERATOR = 2
"""Clocks from a token drawn to the next pass."""

NEXT_SEGMENT = 3
"""Clocks from an epilogue's last write to its next first beat."""

KEEP = 7
"""Clocks from a job that keeps its statistics to its first activations."""

FRESH = 10
"""Clocks from a job whose statistics wait to its first activations."""

ROW_AHEAD = 4
"""Clocks by which the next row's reading begins before the last word of a row is there."""

FILL = 1
"""Clocks from the last activations of a block to its first word."""


@cache
def _units(config: ChipConfig) -> tuple[TernaryEngine, Epilogue, Quantizer]:
    """Units that state their latencies, elaborated: Amaranth warns of units that never are."""
    units = TernaryEngine(config), Epilogue(config), Quantizer(config)
    for unit in units:
        Fragment.get(unit, None)
    return units


def expected_clocks(image: Image, config: ChipConfig, slots: int = 1, top_k: int = 0) -> int:
    """Clocks from a pass's first token that enters the embedding unit to the next pass's.

    Parameters
    ----------
    image : Image
        A model laid out for `config`.
    config : ChipConfig
    slots : int
        Slots that take part in the pass.
    top_k : int
        As `Sampling` has it.
    """
    engine, epilogue, quantizer = _units(config)
    headers = header_words(config.word_bits)
    regroup = int(config.rows != config.elements)
    load = config.columns // config.elements
    row_free = 0  # the embedding may read the next row
    words_free = 0  # the engine may take the next word
    shadow_free = 0  # the shadow register may take the next block
    source_free = 0  # the quantizer may begin the next job
    last_write = 0  # the segment before is in its bank
    written = [0] * slots  # ... each slot's
    for segment in image.segments:
        header = segment.header
        beats = -(-header.rows // config.elements)
        for slot in range(slots):
            if header.op is Op.EMBED:
                first_beat = max(row_free + EMBEDDING, last_write + NEXT_SEGMENT * bool(slot))
                row_free = first_beat + beats - ROW_AHEAD
                last_write = first_beat + beats - 1 + epilogue.writes[Op.EMBED]
                written[slot] = last_write
                continue
            if header.stats is Stats.FRESH:
                ready = max(written[slot] + quantizer.barrier, source_free + FRESH)
            elif header.stats is Stats.MAXIMUM:
                ready = source_free + header.source_words + quantizer.barrier + 1
            else:
                ready = source_free + KEEP
            tape_free = words_free + headers * (slot == 0)
            loaded = start = 0
            for _ in range(header.blocks):
                loaded = max(ready, shadow_free) + load - 1
                ready = loaded + 1
                start = max(loaded + FILL, tape_free)
                shadow_free = start
                tape_free = start + max(header.groups, 4 if header.blocks > 1 else 0)
            source_free = loaded
            words_free = start + header.groups
            last_sum = words_free - 1 + engine.latency + regroup
            first_sum = start + engine.latency + regroup
            first_beat = max(first_sum, last_write + NEXT_SEGMENT)
            last_beat = max(last_sum, first_beat + beats - 1)
            last_write = written[slot] = last_beat + epilogue.writes[header.op]
    lanes = min(config.rows, config.elements)
    parts, compare = config.elements // lanes, ceil_log2(lanes)
    sampler = 7 + parts + top_k * (2 + compare) if top_k else 5 + parts + compare
    return last_write + sampler + GENERATOR
