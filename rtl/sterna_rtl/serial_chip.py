"""SerialChip: the chip with a UART, two pins and a clock."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.link import DEFAULT_BAUD
from sterna_rtl.chip import Chip, connect_memory, memory_ports
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.link import SerialLink

__all__ = ["SerialChip"]


class SerialChip(Component):
    """A whole accelerator behind a UART, see `sterna.spec.link`.

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        Frequency of the clock, from which the UART's first divisor follows.

    Attributes
    ----------
    rx, tx : Signal
        The UART.
    axi, pins
        Only of a chip with a memory, see `Chip`.
    """

    def __init__(self, config: ChipConfig, clock_hz: int) -> None:
        divisor = round(clock_hz / DEFAULT_BAUD)
        self.chip = Chip(config, clock_hz=clock_hz, uart_divisor=divisor)
        self.link = SerialLink(divisor)
        ports = memory_ports(config) if config.memory else {}
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), **ports})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.chip = chip = self.chip
        m.submodules.link = link = self.link
        connect_stream(m, link.o, chip.i)
        connect_stream(m, chip.o, link.i)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            link.refused.eq(chip.refused),
            link.divisor.eq(chip.divisor),
            chip.clear.eq(link.line_break),
        ]
        if chip.config.memory:
            connect_memory(m, chip, self)
        return m
