"""Boards for which bitstreams are made."""

from __future__ import annotations

from dataclasses import dataclass

from sterna.errors import InputError

__all__ = ["TARGETS", "Target", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """A board with a chip on it.

    Attributes
    ----------
    fpga : str
        As its maker calls it, without package and speed.
    loader : str
        What openFPGALoader calls the board.
    clock_hz : int
        Clock of the chip if nothing else is asked for.
    config : str
        File of the chip's configuration in a clone; empty for the reference.
    model : str
        File of a model for it in a clone.
    seed : int
        Of the placer: with it the chip reaches that clock.
    loads : tuple of str
        What openFPGALoader is told besides; empty where a bitstream can be loaded until power goes.
    """

    fpga: str
    loader: str
    clock_hz: int
    config: str
    model: str
    seed: int = 1
    loads: tuple[str, ...] = ()


_SDRAM = "models/tern-sdram/ulx3s.json", "models/tern-sdram/tern-sdram.sterna"

TARGETS = {
    "ulx3s-85f": Target(
        "LFE5U-85F", "ulx3s", 100_000_000, "", "models/tern-ecp5/tern-ecp5.sterna", 2
    ),
    "ulx3s-85f-sdram": Target("LFE5U-85F", "ulx3s", 100_000_000, *_SDRAM, 2),
    "ulx3s-45f": Target("LFE5U-45F", "ulx3s", 75_000_000, *_SDRAM),
    "icebreaker": Target(
        "iCE40UP5K", "ice40_generic", 22_125_000, "models/tern-up5k/icebreaker.json",
        "models/tern-up5k/tern-up5k.sterna",
        loads=("--write-flash", "--file-type", "bin"),
    ),
}  # fmt: skip
"""By name, as `sterna build` and `sterna flash` take it."""


def target_of(board: str) -> Target:
    """Return the target of a name; say which there are if there is none."""
    if board not in TARGETS:
        raise InputError(f"no bitstream is made for {board!r}; boards: {', '.join(TARGETS)}")
    return TARGETS[board]
