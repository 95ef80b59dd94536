"""CompactChip: a whole small chip with a UART, two pins and a clock."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.firmware.program import divisor_of, firmware
from sterna.spec.chip import ChipConfig
from sterna_rtl.compact.control import Control
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.cobs import CobsDecoder
from sterna_rtl.link.uart import UartReceiver, UartTransmitter

__all__ = ["CompactChip"]

_WAKING_BITS = 12
"""Block RAMs of an iCE40 show wrong words for some microseconds after configuration; the processor
begins after so many bits of clocks."""


class CompactChip(Component):
    """The compact chip behind a UART, see `sterna.spec.link`.

    Parameters
    ----------
    config : ChipConfig
        With `compact`.
    clock_hz : int
        Frequency of the clock.
    waking_bits : int
        Of the clocks before the first instruction.

    Attributes
    ----------
    rx, tx : Signal
        The UART. A line break begins the firmware anew.
    restart : Signal, in
        So does this, for as long as it is up.
    """

    def __init__(self, config: ChipConfig, clock_hz: int, waking_bits: int = _WAKING_BITS) -> None:
        self.waking_bits = waking_bits
        self.control = Control(firmware(config, clock_hz), divisor_of(clock_hz))
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "restart": In(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.control = control = self.control
        m.submodules.receiver = receiver = UartReceiver()
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.transmitter = transmitter = UartTransmitter()
        connect_stream(m, receiver.o, decoder.i)
        connect_stream(m, decoder.o, control.received)
        connect_stream(m, control.send, transmitter.i)
        waking = Signal(self.waking_bits + 1)
        awake = waking[-1]
        m.d.sync += waking.eq(waking + ~awake)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            receiver.divisor.eq(control.divisor),
            transmitter.divisor.eq(control.divisor),
            self.tx.eq(transmitter.tx),
            control.sent.eq(transmitter.idle),
            control.restart.eq(receiver.line_break | self.restart | ~awake),
        ]
        return m
