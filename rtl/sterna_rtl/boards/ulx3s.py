"""SerialChip on the board ULX3S: clock, UART, three LEDs and the SDRAM."""

from __future__ import annotations

from fractions import Fraction

from amaranth import *
from amaranth.lib import io

from sterna.spec.chip import ChipConfig
from sterna_rtl.boards.sdram_pads import connect_sdram
from sterna_rtl.serial_chip import SerialChip

__all__ = ["Ulx3s"]

_INPUT_HZ = 25_000_000
_OSCILLATOR_HZ = 600_000_000
"""Middle of the PLL's range."""


class Ulx3s(Elaboratable):
    """Top level. LEDs: 0 blinks, 1 and 2 light up while bits come and go.

    The SDRAM's pads are connected if the configuration has a memory.

    The clock stands still until the PLL has locked; configuration has set all flip-flops to their
    initial values, so that there is no reset besides the chip's own (line break, CONTROL).

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        Frequency of the chip, a multiple of 12.5 MHz: the PLL compares no less than half its input.
    """

    def __init__(self, config: ChipConfig, clock_hz: int) -> None:
        if Fraction(clock_hz, _INPUT_HZ).denominator > 2:
            raise ValueError(f"clock_hz must be a multiple of 12.5 MHz, not {clock_hz}")
        self.clock_hz = clock_hz
        self.chip = SerialChip(config, clock_hz)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.clk25 = clk25 = io.Buffer("i", platform.request("clk25", dir="-"))
        self._clock(m, clk25.i)
        m.submodules.chip = chip = self.chip
        uart = platform.request("uart", dir="-")
        m.submodules.uart_rx = rx = io.Buffer("i", uart.rx)
        m.submodules.uart_tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [chip.rx.eq(rx.i), tx.o.eq(chip.tx)]

        if chip.chip.config.memory:
            connect_sdram(m, platform, chip.pins)

        beat = Signal(range(self.clock_hz // 2), reset_less=True)
        leds = [Signal(name=f"led_{number}") for number in range(3)]
        for number, led in enumerate(leds):
            pad = io.Buffer("o", platform.request("led", number, dir="-"))
            m.submodules[f"led_{number}"] = pad
            m.d.comb += pad.o.eq(led)
        m.d.sync += beat.eq(Mux(beat == 0, self.clock_hz // 2 - 1, beat - 1))
        with m.If(beat == 0):
            m.d.sync += leds[0].eq(~leds[0])
        m.d.sync += [leds[1].eq(~chip.rx), leds[2].eq(~chip.tx)]
        return m

    def _clock(self, m: Module, clk25: Value) -> None:
        ratio = Fraction(self.clock_hz, _INPUT_HZ)
        fast, locked = Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=str(_INPUT_HZ / 1e6),
            a_FREQUENCY_PIN_CLKOP=str(self.clock_hz / 1e6),
            p_CLKI_DIV=ratio.denominator,
            p_CLKFB_DIV=ratio.numerator,
            p_CLKOP_DIV=round(_OSCILLATOR_HZ / self.clock_hz),
            p_CLKOP_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=clk25,
            i_CLKFB=fast,
            o_CLKOP=fast,
            o_LOCK=locked,
        )
        m.submodules.gate = Instance("DCCA", i_CLKI=fast, i_CE=locked, o_CLKO=ClockSignal())
