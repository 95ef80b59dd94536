"""Activity: what each unit does on a clock, a bit for each state; without any it is idle."""

from __future__ import annotations

__all__ = ["ACTIVITY", "RUNNING"]

ACTIVITY = {
    "tape": ("busy", "blocked"),
    "quantizer": ("busy", "at barrier", "blocked"),
    "engine": ("busy", "starved", "at barrier", "blocked"),
    "epilogue": ("busy", "blocked"),
    "sampler": ("busy", "blocked"),
}
"""States of each unit, in the order of their bits; at most one of a unit's holds on a clock. Busy:
the tape hands on a word, the quantizer gives activations, the engine takes a word, epilogue and
sampler take a beat. Starved: the engine has activations but no word. At barrier: the quantizer has
a job but no activations yet, the engine has a word but no activations. Blocked: what a unit has, or
what comes to it, finds no room."""

RUNNING = sum(map(len, ACTIVITY.values()))
"""The bit above: a token is in flight."""
