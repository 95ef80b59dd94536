"""The roofline of a chip with a memory beside it: how much of what the memory can give is used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.errors import DeviceError
from sterna.model import container
from sterna.model.layout import lay_out
from sterna.model.model import Model, Shape
from sterna.spec.axi4 import AXI4, Axi4
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import MORE, SLOT_SHIFT, SOURCE_SHIFT, VALID
from sterna.spec.sdram import PARTS, WORD_BITS
from sterna.spec.trits import Packing
from sterna_sim.axi4_model import Behaviour
from sterna_sim.compiled.axi4 import AXI4_HZ, ChipAxi4
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import clock_hz

__all__ = [
    "PASSES",
    "Streamed",
    "draw",
    "roofline",
    "sdram_config",
    "sdram_model",
    "streamed",
    "useful_bytes",
]

_FOLDER = Path(__file__).resolve().parents[2] / "models" / "tern-sdram"

PASSES = 2


@dataclass(frozen=True, slots=True)
class Streamed:
    """A model from the memory beside a chip, whole tokens.

    Attributes
    ----------
    model, configuration : str
        Its name; digest of the chip's.
    memory : str
        A name in `sterna.spec.memories.MEMORIES`.
    clock_hz : int
        At which its times count.
    streams : int
        Sequences side by side, one a slot.
    tape_bytes : int
        Headers and weights, without what fills up words of the memory.
    bytes_per_useful_byte : float
        Of the tape, for each byte that the trits alone would take.
    clocks_per_token : float
        rtl; from the request for a row of the embedding to the token drawn, of a pass over the
        streams.
    roofline : float
        See the function of this name.
    starved, waiting, blocked : float
        Clocks per token in which the engine lacked words, activations, or room for results.
    """

    model: str
    configuration: str
    memory: str
    clock_hz: int
    streams: int
    tape_bytes: int
    bytes_per_useful_byte: float
    clocks_per_token: float
    roofline: float
    starved: float
    waiting: float
    blocked: float


def sdram_model() -> Model:
    """Return the model for boards with SDRAM."""
    return container.load(_FOLDER / "tern-sdram.sterna")


def sdram_config() -> ChipConfig:
    """Return the chip for it on the board ULX3S."""
    return ChipConfig.from_dict(json.loads((_FOLDER / "ulx3s.json").read_text()))


def roofline(tape_bytes: int, clocks: float, memory: str, hz: int) -> float:
    """Share of what an SDRAM could give in some clocks without the refreshes that it needs."""
    timing = PARTS[memory].at(hz)
    refreshes = clocks / (Fraction(PARTS[memory].refresh_ns) * hz / 10**9)
    left = clocks - float(refreshes) * (timing.rp + timing.rfc)
    return tape_bytes / (WORD_BITS / 8 * left)


def axi4_roofline(tape_bytes: int, clocks: float, memory: Axi4, behaviour: Behaviour) -> float:
    """Share of what a memory behind AXI4 could give in some clocks without its refreshes."""
    return tape_bytes / (memory.word_bits / 8 * behaviour.rate * clocks)


def useful_bytes(shape: Shape, packing: Packing) -> float:
    """Bytes that a model's trits alone would take."""
    return shape.ternary_weights * packing.bits / packing.trits / 8


def streamed(
    model: Model, config: ChipConfig, behaviour: Behaviour | None = None, streams: int = 1
) -> Streamed:
    """Draw tokens one after the other, in some slots side by side.

    Parameters
    ----------
    model : Model
    config : ChipConfig
    behaviour : Behaviour
        Of a memory behind AXI4.
    streams : int

    Raises
    ------
    DeviceError
        If they are not the golden model's.
    """
    image, hz = lay_out(model, config), AXI4_HZ if behaviour else clock_hz(config)
    with CompiledChip(config) as chip:
        chip.load(image)
        if behaviour:
            assert isinstance(chip.memory, ChipAxi4)
            chip.memory.behave(behaviour)
        drawn = draw(chip, streams, PASSES)
        clocks = chip.read("COUNTER_CLOCKS") / PASSES
        counters = {
            name: chip.read(f"COUNTER_ENGINE_{name}") / PASSES
            for name in ("STARVED", "WAITING", "BLOCKED")
        }
        fault = chip.fault()
    golden = [
        list(GoldenDevice(model).generate([1 + slot], PASSES, Sampling()))
        for slot in range(streams)
    ]
    if fault or drawn != golden:
        raise DeviceError(f"the chip draws {drawn}, the golden model {golden}; {fault}")
    tape_bytes = len(image.tape) * config.word_bits // 8
    if behaviour:
        share = axi4_roofline(tape_bytes, clocks, AXI4[config.memory], behaviour)
    else:
        share = roofline(tape_bytes, clocks, config.memory, hz)
    return Streamed(
        model=model.meta["source"],
        configuration=config.digest,
        memory=config.memory,
        clock_hz=hz,
        streams=streams,
        tape_bytes=tape_bytes,
        bytes_per_useful_byte=tape_bytes / useful_bytes(model.shape, config.packing),
        clocks_per_token=clocks,
        roofline=share,
        **{name.lower(): value for name, value in counters.items()},
    )


def draw(chip: CompiledChip, streams: int, count: int) -> list[list[int]]:
    """Let each of the first slots draw some tokens after one of its own; return them by slot."""
    for slot in range(streams):
        chip.write("SLOT", slot)
        chip.write("COUNT", count)
    for slot in range(streams):
        more = MORE if slot < streams - 1 else 0
        chip.write("TOKEN", 1 + slot | slot << SLOT_SHIFT | slot << SOURCE_SHIFT | more | VALID)
    chip.idle()
    drawn: list[list[int]] = [[] for _ in range(streams)]
    while (word := chip.read("GENERATED")) & VALID:
        drawn[word >> SLOT_SHIFT & 7].append(word & (1 << SLOT_SHIFT) - 1)
    return drawn
