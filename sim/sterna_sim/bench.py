"""Clocks and lane use on the cycle-accurate chip.

`make bench` runs it: whole tokens from the embedding to the token drawn, padding not counted as
work. All figures are of kind rtl, but for the simulator's own speed and the driver's.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from sterna.device.device import Sampling
from sterna.model.layout import Image, lay_out
from sterna.model.model import Model, Shape
from sterna.model.outline import Outline
from sterna.plan.clocks import expected_clocks
from sterna.session import Session, run
from sterna.spec.chip import REFERENCE, ChipConfig
from sterna.spec.registers import MORE, SLOT_SHIFT, SOURCE_SHIFT, Control
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.demo import demo_model
from sterna_sim.device import DirectDevice
from sterna_sim.host_bench import host_time
from sterna_sim.memory_bench import draw, sdram_config, sdram_model, streamed

__all__ = [
    "PASSES", "SMALL", "Figures", "SlowMemory", "draw_passes", "main", "measure", "random_model",
    "slow_memory",
]  # fmt: skip

TOKENS = 50

SMALL = Shape(vocab=160, hidden=64, width=64, intermediate=144, layers=2)
"""A model of 98 304 ternary weights, in which each segment is hardly longer than a pipeline."""

RING = replace(REFERENCE, slots=4, tape_words=0, ring_words=2048)
"""The reference's lanes with the tape from outside."""

PASSES = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model needs on one chip.

    Attributes
    ----------
    model, configuration : str
        Its name; digest of the chip's.
    ternary_weights : int
    streams : int
        Sequences side by side, one a slot.
    clocks_per_token : float
        rtl; clocks of a pass over the streams.
    expected_clocks : int
        Of a pass by `sterna.plan.clocks`, to compare.
    lane_use : float
        Ternary MACs over lanes times clocks.
    starved, waiting, blocked : float
        Clocks per token in which the engine lacked words, activations, or room for results.
    simulated_clocks_per_second : float
        Of wall time, on this machine.
    """

    model: str
    configuration: str
    ternary_weights: int
    streams: int
    clocks_per_token: float
    expected_clocks: int
    lane_use: float
    starved: float
    waiting: float
    blocked: float
    simulated_clocks_per_second: float


@dataclass(frozen=True, slots=True)
class SlowMemory:
    """Passes over a tape that comes from a slow memory: a word in so many clocks.

    Attributes
    ----------
    clocks_per_word : int
        And slots of the passes that are compared.
    one, sequences, positions : float
        Clocks of a pass with one slot; with a sequence a slot; with consecutive positions of one.
    """

    clocks_per_word: int
    one: float
    sequences: float
    positions: float


def random_model(shape: Shape) -> Model:
    """Make a model of a shape for its clocks, which do not depend on the weights."""
    rng = np.random.default_rng(0)
    steps = Outline.of_shape(shape).steps
    sizes = {step.vector_a: step.rows for step in steps}
    sizes |= {step.vector_q: step.columns for step in steps}
    matrices = [step for step in steps if step.columns]
    return Model(
        shape,
        steps,
        {step.name: rng.integers(-1, 2, (step.rows, step.columns), np.int8) for step in matrices},
        {name: rng.integers(-32767, 32768, size) for name, size in sizes.items() if name},
        rng.integers(-8, 8, (shape.vocab, shape.hidden), np.int8),
        rng.integers(0, 65536, shape.vocab),
        meta={"source": f"random, hidden {shape.hidden}"},
    )


def measure(model: Model, config: ChipConfig = REFERENCE) -> Figures:
    """Generate as many sequences as the chip has slots and read its counters."""
    streams = config.slots
    device = DirectDevice(model, config)
    sessions = [Session([1], TOKENS, Sampling(1.0, seed)) for seed in range(streams)]
    try:
        clocks, start = device.chip.clocks, time.perf_counter()
        list(run(device, sessions))
        speed = (device.chip.clocks - clocks) / (time.perf_counter() - start)
        counters = device.counters()
    finally:
        device.close()
    tokens = counters["tokens"]
    weights = model.shape.ternary_weights
    return Figures(
        model=model.meta["source"],
        configuration=config.digest,
        ternary_weights=weights,
        streams=streams,
        clocks_per_token=counters["clocks"] / tokens,
        expected_clocks=round(expected_clocks(model.steps, config, streams)),
        lane_use=weights * tokens / (config.lanes * counters["clocks"]),
        starved=counters["engine_starved"] / tokens,
        waiting=counters["engine_waiting"] / tokens,
        blocked=counters["engine_blocked"] / tokens,
        simulated_clocks_per_second=speed,
    )


def slow_memory(model: Model, slots: int) -> SlowMemory:
    """Compare passes over a tape of which a word comes in `slots` clocks."""
    image = lay_out(model, RING)
    with CompiledChip(RING) as chip:
        alone = draw_passes(chip, image, slots, 1)
        sequences = draw_passes(chip, image, slots, slots)
        return SlowMemory(slots, alone, sequences, _step(chip, image, slots))


def draw_passes(chip: CompiledChip, image: Image, period: int, streams: int) -> float:
    """Clocks of a pass in which each of some slots draws a token of its own, of `PASSES`.

    A tape from outside comes from a memory that gives a word every `period` clocks.
    """
    chip.load(image, period)
    draw(chip, streams, PASSES)
    return chip.read("COUNTER_CLOCKS") / PASSES


def _step(chip: CompiledChip, image: Image, slots: int) -> float:
    """Clocks of a pass over consecutive positions of one sequence."""
    chip.load(image, slots)
    for token in range(PASSES * slots):
        slot = token % slots
        source = (slot - 1) % slots
        more = MORE if slot < slots - 1 else 0
        chip.write("TOKEN", 1 + token | slot << SLOT_SHIFT | source << SOURCE_SHIFT | more)
    chip.idle()
    chip.command(Control.RESET)
    return chip.read("COUNTER_CLOCKS") / PASSES


def main() -> None:
    """Print the tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = demo_model()
    two_slots = replace(REFERENCE, slots=2)
    figures = [measure(model), measure(model, two_slots), measure(random_model(SMALL))]
    slow = [slow_memory(model, slots) for slots in (2, 4)]
    sdram = streamed(sdram_model(), sdram_config())
    host = [host_time(model, RING, most) for most in (1, 16)]
    if options.json:
        rows = {"on_chip": figures, "slow_memory": slow, "sdram": [sdram], "host": host}
        print(json.dumps({k: [asdict(r) for r in v] for k, v in rows.items()}, indent=2))
        return
    print("tape on the chip: R = 4, C = 64, E = 8 (rtl)")
    for field in asdict(figures[0]):
        values = [getattr(row, field) for row in figures]
        print(
            f"{field:28}"
            + "".join(f"{v:>18.5g}" if isinstance(v, float) else f"{v:>18}" for v in values)
        )
    print("\ntape from a slow memory, clocks of a pass (rtl)")
    print("clocks per word   one slot   a sequence a slot      positions of one")
    for row in slow:
        pairs = ((row.sequences, row.sequences / row.one), (row.positions, row.positions / row.one))
        text = "".join(f"{clocks:14.0f} ({ratio:.3f})" for clocks, ratio in pairs)
        print(f"{row.clocks_per_word:15}{row.one:11.0f}{text}")
    print("\ntape and embedding in SDRAM, one stream (rtl)")
    for field, value in asdict(sdram).items():
        print(f"{field:28}" + (f"{value:>18.5g}" if isinstance(value, float) else f"{value:>18}"))
    print("\nthe driver's own time over PCIe, before a card that answers at once (this computer)")
    print("tokens a look   µs per token   reads of registers per token")
    for row in host:
        print(f"{row.tokens_a_look:13}{row.microseconds:15.1f}{row.reads:31.2f}")


if __name__ == "__main__":
    main()
