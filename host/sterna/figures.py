"""Figures of speed, under the names that all commands print.

| name | meaning |
|---|---|
| tokens_per_second | tokens over wall time: of a simulation, the simulator's speed |
| clocks_per_token | clocks of the chip from a token to the next |
| device_tokens_per_second | the chip's clock over `clocks_per_token` |
| lane_use | ternary weights of the model over lanes times clocks; padding is no work |
| roofline_fraction | words of the tape over clocks: 1 is a word in every clock |
| saturations | elements that were clamped |
"""

from __future__ import annotations

from dataclasses import dataclass

from sterna.device.device import Device
from sterna.model.layout import lay_out
from sterna.model.model import Model

__all__ = ["Speed", "measure_speed"]


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of a device; what it does not have is None. `device` says if it is simulated."""

    device: str
    tokens: int
    tokens_per_second: float
    saturations: int
    clocks_per_token: float | None = None
    device_tokens_per_second: float | None = None
    lane_use: float | None = None
    roofline_fraction: float | None = None

    def __str__(self) -> str:
        text = f"{self.tokens} tokens, {self.tokens_per_second:.1f} tokens/s of wall time"
        if self.clocks_per_token is not None:
            text += (
                f", {self.clocks_per_token:.0f} clocks per token, {self.lane_use:.1%} of the lanes "
                f"busy ({self.device})"
            )
        return text


def measure_speed(
    device: Device, model: Model, before: dict[str, int], after: dict[str, int], seconds: float
) -> Speed:
    """Figures from counters before and after some tokens, and the wall time between."""
    tokens = after["tokens"] - before["tokens"]
    per_second = tokens / seconds if seconds > 0 else 0.0
    saturations = after["saturations"] - before["saturations"]
    clocks = (after.get("clocks", 0) - before.get("clocks", 0)) % (1 << 32)
    if device.config is None or not tokens or not clocks:
        return Speed(device.label, tokens, per_second, saturations)
    per_token = clocks / tokens
    tape = len(lay_out(model, device.config, streamed=True).tape)
    return Speed(
        device=device.label,
        tokens=tokens,
        tokens_per_second=per_second,
        saturations=saturations,
        clocks_per_token=per_token,
        device_tokens_per_second=device.clock_hz / per_token if device.clock_hz else None,
        lane_use=model.shape.ternary_weights / (device.config.lanes * per_token),
        roofline_fraction=tape / per_token,
    )
