"""The roofline of a chip with SDRAM: how much of what the memory can give a single stream uses."""

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
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig
from sterna.spec.registers import SLOT_SHIFT, VALID
from sterna.spec.sdram import PARTS, WORD_BITS
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import clock_hz

__all__ = ["Streamed", "roofline", "sdram_config", "sdram_model", "streamed"]

_FOLDER = Path(__file__).resolve().parents[2] / "models" / "tern-sdram"

_PASSES = 2


@dataclass(frozen=True, slots=True)
class Streamed:
    """A model from the memory beside a chip, whole tokens, one stream.

    Attributes
    ----------
    model, configuration : str
        Its name; digest of the chip's.
    memory : str
        The part.
    clock_hz : int
        At which its times count.
    tape_bytes : int
        Headers and weights, without what fills up words of the memory.
    bytes_per_useful_byte : float
        Of the tape, for each byte that the trits alone would take.
    clocks_per_token : float
        rtl; from the request for a row of the embedding to the token drawn.
    roofline : float
        See the function of this name.
    starved, waiting, blocked : float
        Clocks per token in which the engine lacked words, activations, or room for results.
    """

    model: str
    configuration: str
    memory: str
    clock_hz: int
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
    """Share of what a memory could give in some clocks without the refreshes that it needs."""
    timing = PARTS[memory].at(hz)
    refreshes = clocks / (Fraction(PARTS[memory].refresh_ns) * hz / 10**9)
    left = clocks - float(refreshes) * (timing.rp + timing.rfc)
    return tape_bytes / (WORD_BITS / 8 * left)


def streamed(model: Model, config: ChipConfig) -> Streamed:
    """Draw tokens one after the other.

    Raises
    ------
    DeviceError
        If they are not the golden model's.
    """
    image, hz = lay_out(model, config), clock_hz(config)
    with CompiledChip(config) as chip:
        chip.load(image)
        chip.write("COUNT", _PASSES)
        chip.write("TOKEN", 1 | VALID)
        chip.idle()
        drawn = [chip.read("GENERATED") & (1 << SLOT_SHIFT) - 1 for _ in range(_PASSES)]
        clocks = chip.read("COUNTER_CLOCKS") / _PASSES
        counters = {
            name: chip.read(f"COUNTER_ENGINE_{name}") / _PASSES
            for name in ("STARVED", "WAITING", "BLOCKED")
        }
    if drawn != list(GoldenDevice(model).generate([1], _PASSES, Sampling())):
        raise DeviceError(f"the chip draws {drawn}, which is not what the golden model does")
    tape_bytes = len(image.tape) * config.word_bits // 8
    useful = model.shape.ternary_weights * config.packing.bits / config.packing.trits / 8
    return Streamed(
        model=model.meta["source"],
        configuration=config.digest,
        memory=config.memory,
        clock_hz=hz,
        tape_bytes=tape_bytes,
        bytes_per_useful_byte=tape_bytes / useful,
        clocks_per_token=clocks,
        roofline=roofline(tape_bytes, clocks, config.memory, hz),
        **{name.lower(): value for name, value in counters.items()},
    )
