"""Models and configurations drawn by a seed, for checks of what was predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterna.model.layout import fit
from sterna.model.outline import Outline
from sterna.spec.chip import ChipConfig
from sterna.spec.trits import Packing

__all__ = ["Drawn", "draw"]


@dataclass(frozen=True)
class Drawn:
    """A shape and a configuration that holds it.

    Attributes
    ----------
    sizes : dict
        Of the shape, as `tests.synthetic.write_checkpoint` takes them.
    lanes : dict
        As `fit` takes them.
    period : int
        Clocks in which a memory gives a word; 1 if the tape lies on the chip.
    """

    sizes: dict[str, int]
    lanes: dict
    period: int

    def config(self, outline: Outline) -> ChipConfig:
        """Return the smallest configuration."""
        return fit(outline, **self.lanes)


def draw(seed: int, largest: int = 200, most_lanes: int = 128) -> Drawn:
    """Draw a shape with sizes up to `largest` and a configuration."""
    rng = np.random.default_rng(seed)
    rows, elements = (int(2 ** rng.integers(0, 4)) for _ in range(2))
    columns = elements * int(rng.integers(1, max(1, most_lanes // rows // elements) + 1))
    slots = int(rng.integers(1, 5))
    ring = bool(rng.integers(2))
    sizes = {
        "vocab": int(rng.integers(largest // 4, largest)),
        "hidden": int(rng.integers(largest // 8, largest // 2)),
        "intermediate": int(rng.integers(largest // 4, largest)),
        "layers": int(rng.integers(1, 4)),
    }
    blocks = -(-sizes["intermediate"] // columns)
    lanes = {
        "rows": rows,
        "columns": columns,
        "elements": elements,
        "packing": Packing(int(rng.integers(2))),
        "slots": slots,
        # The ring holds at least two segments of the fewest rows.
        "ring_words": ring * max(256, 4 * blocks * max(1, elements // rows)),
    }
    return Drawn(sizes, lanes, int(rng.integers(1, 5)) if ring else 1)
