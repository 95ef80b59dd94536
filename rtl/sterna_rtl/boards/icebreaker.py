"""CompactChip on the board iCEBreaker: clock, UART, two LEDs and the button."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import io

from sterna.spec.chip import ChipConfig
from sterna_rtl.compact.chip import CompactChip

__all__ = ["Icebreaker"]

_INPUT_HZ = 12_000_000
_OSCILLATOR_HZ = 533_000_000, 1_066_000_000
"""Range of the PLL's oscillator (Lattice FPGA-DS-02008)."""


class Icebreaker(Elaboratable):
    """Top level, with the button for a line break.

    The green LED lights up while bits come and go, the red one while the button is pressed.

    The clock comes when the PLL has locked; configuration has set all flip-flops to their initial
    values.

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        Frequency of the chip: a multiple of 12 MHz, divided by a power of two.
    """

    def __init__(self, config: ChipConfig, clock_hz: int) -> None:
        self.multiple, self.halvings = _ratio(clock_hz)
        self.chip = CompactChip(config, clock_hz)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        fast, locked = Signal(), Signal()
        # The oscillator's pin is the PLL's own.
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=Const(0, 4),
            p_DIVF=Const(self.multiple - 1, 7),
            p_DIVQ=Const(self.halvings, 3),
            p_FILTER_RANGE=Const(1, 3),
            i_PACKAGEPIN=platform.request("clk12", dir="-").io,
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            o_PLLOUTGLOBAL=fast,
            o_LOCK=locked,
        )
        m.d.comb += ClockSignal().eq(fast)
        m.submodules.chip = chip = self.chip
        uart = platform.request("uart", dir="-")
        m.submodules.uart_rx = rx = io.Buffer("i", uart.rx)
        m.submodules.uart_tx = tx = io.Buffer("o", uart.tx)
        m.submodules.button = button = io.Buffer("i", platform.request("button", dir="-"))
        pressed = Signal(2)
        m.d.sync += pressed.eq(Cat(button.i | ~locked, pressed))
        m.d.comb += [chip.rx.eq(rx.i), tx.o.eq(chip.tx), chip.restart.eq(pressed[1])]
        lights = [Signal(name=f"light_{number}") for number in range(2)]
        m.d.sync += [lights[0].eq(pressed[1]), lights[1].eq(~chip.rx | ~chip.tx)]
        for name, light in zip(("led_r", "led_g"), lights, strict=True):
            pad = io.Buffer("o", platform.request(name, dir="-"))
            m.submodules[name] = pad
            m.d.comb += pad.o.eq(light)
        return m


def _ratio(clock_hz: int) -> tuple[int, int]:
    """Return by what the PLL multiplies, and how often it halves."""
    for halvings in range(1, 7):
        oscillator = clock_hz << halvings
        whole = oscillator % _INPUT_HZ == 0 and oscillator // _INPUT_HZ <= 128
        if whole and _OSCILLATOR_HZ[0] <= oscillator <= _OSCILLATOR_HZ[1]:
            return oscillator // _INPUT_HZ, halvings
    raise ValueError(f"the PLL makes no clock of {clock_hz} Hz from {_INPUT_HZ}")
