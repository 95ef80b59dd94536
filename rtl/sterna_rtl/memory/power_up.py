"""PowerUp: the commands that a memory needs before the first access."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, Out

from sterna.spec.sdram import ALL_BANKS, INIT_REFRESHES, Command, Timing, mode

__all__ = ["PowerUp"]


class PowerUp(Component):
    """Wait, close all banks, refresh, set the mode register; once after each reset.

    Parameters
    ----------
    timing : Timing

    Attributes
    ----------
    command, address : Signal, out
    done : Signal, out
        All other commands are allowed.
    """

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        super().__init__({"command": Out(3, init=Command.NOP), "address": Out(11), "done": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        timing = self.timing
        steps = {timing.power_up: (Command.PRECHARGE, ALL_BANKS)}
        at = timing.power_up + timing.rp
        for _ in range(INIT_REFRESHES):
            steps[at] = (Command.REFRESH, 0)
            at += timing.rfc
        steps[at] = (Command.MODE, mode(timing.cas))
        end = at + timing.mrd

        clock = Signal(range(end + 1))
        m.d.sync += [clock.eq(clock + ~self.done), self.done.eq(self.done | (clock == end - 1))]
        m.d.comb += self.command.eq(Command.NOP)
        with m.Switch(clock):
            for at, (command, address) in steps.items():
                with m.Case(at):
                    m.d.comb += [self.command.eq(command), self.address.eq(address)]
        return m
