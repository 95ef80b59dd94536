"""Power of a chip on an ECP5 or iCE40, by a model of assumed constants: for orders of magnitude.

Nothing here has been measured, and nothing is the maker's: his own estimator needs the design in
his own tools. What a board draws besides (USB bridge, regulators, SDRAM, LEDs) is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["nanojoules_per_clock", "power"]

STATIC_WATTS = {"LFE5U-85F": 0.25, "LFE5U-45F": 0.15, "iCE40UP5K": 0.0005}
"""Of an FPGA that is configured and stands still."""

VOLTS = 1.1
"""Of an ECP5's core; an iCE40's 1.2 are taken as the same."""

TOGGLES = 0.125
"""Share of the cells' outputs that change in a clock: what vendors' estimators begin with."""

NET_FARADS = 1e-12
"""Wires and loads of a cell's output."""

CLOCK_FARADS = 30e-15
"""Share of a flip-flop in the clock's wires, which change twice a clock."""

ACCESS_JOULES = {"ebr": 6e-12, "dsp": 5e-12}
"""A block RAM's read, or a product: one a clock."""


def nanojoules_per_clock(cells: Mapping[str, int]) -> float:
    """Energy of a clock beside the static power.

    Parameters
    ----------
    cells : mapping
        Tables `comb`, flip-flops `ff`, multipliers `dsp` and block RAMs `ebr` that are used.
    """
    change = NET_FARADS * VOLTS**2 / 2
    outputs = cells.get("comb", 0) + cells.get("ff", 0)
    joules = outputs * TOGGLES * change + cells.get("ff", 0) * CLOCK_FARADS * VOLTS**2
    joules += sum(cells.get(kind, 0) * energy for kind, energy in ACCESS_JOULES.items())
    return joules * 1e9


def power(cells: Mapping[str, int], fpga: str, clock_hz: float) -> dict[str, float | str]:
    """Return static and dynamic power of a chip in W; the label says what they are."""
    return {
        "kind": "model",
        "static_watts": STATIC_WATTS[fpga],
        "dynamic_watts": round(nanojoules_per_clock(cells) * 1e-9 * clock_hz, 3),
    }
