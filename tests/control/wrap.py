"""Wrappers that make a unit playable: the ports that they only hand on."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib.wiring import Component

from sterna_sim.kit.ports import Ports

__all__ = ["join"]


def join(m: Module, outer: Component, inner: Component) -> None:
    """Connect all ports that a wrapper and the unit inside it have under the same name."""
    ours, theirs = Ports.of(outer), Ports.of(inner)
    for name in ours.signals:
        if name in theirs.signals:
            to, by = (theirs, ours) if name in ours.driven else (ours, theirs)
            m.d.comb += to.signals[name].eq(by.signals[name])
