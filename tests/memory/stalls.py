"""Stalls of benches that have the controller and the model of the memory in them."""

from __future__ import annotations

from sterna_sim.kit.stalls import Stalls

__all__ = ["FEW_STALLS"]

FEW_STALLS = (
    Stalls(),
    Stalls("random", "random"),
    Stalls(outputs="3-in-4"),
    Stalls("long", "long"),
    Stalls(outputs="late"),
)
"""Each kind once: a clock of the model takes long, and the controller's own bench has them all."""
