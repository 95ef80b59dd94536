"""Event and clock counters."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.registers import Counter

__all__ = ["Counters"]

WIDTH = 32


class Counters(Component):
    """Count events.

    Parameters
    ----------
    config : ChipConfig
    width : int
        Bits of each counter; more events wrap.

    Attributes
    ----------
    events : Signal per counter, in
        Named as in `sterna.spec.registers.Counter`, lower case: how many events this clock.
    values : array of Signal, out
        In the order of `Counter`; two clocks behind events and `clear`.
    clear : Signal, in
    """

    def __init__(self, config: ChipConfig, width: int = WIDTH) -> None:
        per_clock = {counter: 1 for counter in Counter}
        per_clock[Counter.SATURATIONS] = 2 * config.elements
        super().__init__(
            {
                **{c.name.lower(): In(range(most + 1)) for c, most in per_clock.items()},
                "values": Out(width).array(len(Counter)),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # Events come from all over the chip, behind some logic: a clock is for that.
        clear = Signal()
        m.d.sync += clear.eq(self.clear)
        for counter in Counter:
            event, value = getattr(self, counter.name.lower()), self.values[counter]
            seen = Signal.like(event, name=f"{counter.name.lower()}_seen")
            m.d.sync += [seen.eq(event), value.eq(value + seen)]
            with m.If(clear):
                m.d.sync += value.eq(0)
        return m
