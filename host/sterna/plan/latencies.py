"""Latencies of the gateware's units in clocks, as formulae of the chip configuration.

The units state the same numbers themselves; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op

__all__ = ["Latencies"]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Clocks between events of one chip.

    Attributes
    ----------
    engine : int
        From a word of the last block to its sums, regrouped to E a beat.
    barrier : int
        From the last result to the first activations of a job that waits for it.
    writes : dict
        From a beat of sums to its result in the bank, by operation.
    sampler : int
        From the last logits to the token, if it is drawn among all or among the `top_k` largest.
    parts : int
        For which the sampler takes a beat of logits.
    noise : int
        At most, from the end of a segment of logits to the noise of the next.
    """

    engine: int
    barrier: int
    writes: dict[Op, int]
    sampler: int
    parts: int
    noise: int

    @classmethod
    def of(cls, config: ChipConfig, top_k: int = 0) -> Latencies:
        """Latencies of a chip; `top_k` as `Sampling` has it."""
        tree = max(1, _log2(config.columns))
        pre_activation = 6 if config.row_sum_bits > 18 else 5
        later = {
            Op.EMBED: 2, Op.SILU: 11, Op.STATE: 14, Op.GATE: 9, Op.PRODUCT: 5, Op.RESIDUAL: 2,
            Op.LOGITS: 0,
        }  # fmt: skip
        lanes = min(config.rows, config.elements)
        parts, compare = config.elements // lanes, _log2(lanes)
        return cls(
            engine=tree + 3 + (config.rows != config.elements),
            barrier=10
            + config.side_clocks
            + max(_log2(config.elements) - 1, 0)
            + (config.slots > 1),
            writes={op: pre_activation + clocks for op, clocks in later.items()},
            sampler=7 + parts + top_k * (2 + compare) if top_k else 5 + parts + compare,
            parts=parts,
            noise=3 * (compare + 8) + 2,
        )


def _log2(value: int) -> int:
    """Logarithm to base 2, rounded up."""
    return (value - 1).bit_length()
