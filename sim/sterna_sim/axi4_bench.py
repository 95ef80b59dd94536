"""Large chips with a memory behind AXI4: whole tokens of the 370M shape, and the memory's share.

``python -m sterna_sim.axi4_bench ddr4 --model 370m.sterna`` steps whole tokens of a model;
``--layers N`` instead takes random weights in N layers of a shape, for the clocks do not depend on
them. Tokens are compared with the golden model's. Building a chip of so many lanes takes long: see
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sterna.model import container
from sterna.model.model import Model, Shape
from sterna.model.outline import Outline
from sterna.model.sizes import ceil_div, fit, needs
from sterna.plan.clocks import expected_clocks
from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Step
from sterna.spec.trits import Packing
from sterna_sim.axi4_model import Behaviour
from sterna_sim.bench import random_model
from sterna_sim.compiled.axi4 import AXI4_HZ, DDR4, HBM
from sterna_sim.memory_bench import streamed, useful_bytes

__all__ = ["CHIPS", "SHAPES", "LargeChip", "expected", "main", "tape_bytes"]

SHAPES = {
    "370M": Shape(vocab=32000, hidden=1024, width=1024, intermediate=2816, layers=24),
    "1.3B": Shape(vocab=32000, hidden=2048, width=2048, intermediate=5632, layers=24),
    "2.7B": Shape(vocab=32000, hidden=2560, width=2560, intermediate=6912, layers=32),
}
"""Of the published models."""


@dataclass(frozen=True, slots=True)
class LargeChip:
    """A chip for the data centre.

    Attributes
    ----------
    sizes : dict
        What `fit` wants besides a model.
    behaviour : Behaviour
        Of its memory.
    """

    sizes: dict[str, Any]
    behaviour: Behaviour

    def config(self, shape: Shape) -> ChipConfig:
        """Return the chip for a shape."""
        packing = Packing.EIGHT_FIFTHS
        return fit(Outline.of_shape(shape), packing=packing, columns=80, elements=16, **self.sizes)


def expected(steps: Iterable[Step], config: ChipConfig, behaviour: Behaviour) -> float:
    """Clocks of a pass with all slots by the cycle expectation (model).

    The memory gives words at its pace without its refreshes; how late it answers is not in it.
    """
    words = ceil_div(config.word_bits, AXI4[config.memory].word_bits)
    return expected_clocks(steps, config, config.slots, words / behaviour.rate)


def tape_bytes(outline: Outline, config: ChipConfig) -> float:
    """Bytes of the tape for each byte that its trits take, without what fills up memory words."""
    tape = needs(outline, config)["tape_words"] * config.word_bits / 8
    return tape / useful_bytes(outline.shape, config.packing)


CHIPS = {
    "ddr4": LargeChip({"rows": 32, "ring_words": 1024, "memory": "axi4-ddr4"}, DDR4),
    "ddr4-slots": LargeChip(
        {"rows": 64, "ring_words": 2048, "memory": "axi4-ddr4", "slots": 4, "psum_words": 22}, DDR4
    ),
    "hbm": LargeChip(
        {"rows": 128, "ring_words": 1024, "memory": "axi4-hbm", "psum_words": 11}, HBM
    ),
}
"""A word of the tape is two words of the memory, four, and one: so the lanes take twice as much as
the memory gives, four times as much, and 4/3. Short segments (`psum_words`) let the epilogue, which
takes E of the R sums of a word in a clock, work while the words of the next one pass."""


def _model(options: argparse.Namespace) -> Model:
    if options.model:
        return container.load(options.model)
    shape = SHAPES[options.shape]
    return random_model(Shape(**asdict(shape) | {"layers": options.layers or shape.layers}))


def main() -> None:
    """Draw two tokens on a chip and print what that took, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chip", choices=CHIPS)
    parser.add_argument("--shape", choices=SHAPES, default="370M")
    parser.add_argument("--layers", type=int, help="of random weights; by default all")
    parser.add_argument("--model", type=Path, help="a .sterna file of that shape instead")
    options = parser.parse_args()
    chip = CHIPS[options.chip]
    config = chip.config(SHAPES[options.shape])
    model = _model(options)
    figures = asdict(streamed(model, config, chip.behaviour, config.slots))
    figures["expected_clocks"] = expected(model.steps, config, chip.behaviour)
    figures["tokens_per_second"] = config.slots * AXI4_HZ / figures["clocks_per_token"]
    for packing in (Packing.FIVE_THIRDS, Packing.EIGHT_FIFTHS):
        name = f"tape_bytes_{packing.name.lower()}"
        figures[name] = tape_bytes(Outline.of(model), replace(config, packing=packing))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
