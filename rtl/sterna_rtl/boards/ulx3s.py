"""SerialChip on the board ULX3S: clock, UART, three LEDs and the SDRAM."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import io

from sterna.spec.chip import ChipConfig
from sterna_rtl.boards.sdram_pads import connect_sdram
from sterna_rtl.serial_chip import SerialChip

__all__ = ["Ulx3s"]

_INPUT_HZ = 25_000_000
_COMPARED_HZ = _INPUT_HZ // 2
"""What the PLL compares: not less than 10 MHz (Lattice FPGA-DS-02012)."""
_OSCILLATOR_HZ = 400_000_000, 800_000_000
"""Range of its oscillator, a multiple of what it compares; the chip's clock is a part of it."""
_MOST_PARTS = 128


class Ulx3s(Elaboratable):
    """Top level. LEDs: 0 blinks, 1 and 2 light up while bits come and go.

    The SDRAM's pads are connected if the configuration has a memory.

    The clock stands still until the PLL has locked; configuration has set all flip-flops to their
    initial values, so that there is no reset besides the chip's own (line break, CONTROL).

    Parameters
    ----------
    config : ChipConfig
    clock_hz : int
        Frequency of the chip: a part of a multiple of 12.5 MHz, as all multiples of 2.5 MHz are
        from 10 to 160 MHz.
    """

    def __init__(self, config: ChipConfig, clock_hz: int) -> None:
        self.clock_hz = clock_hz
        self.parts = _parts(clock_hz)
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
        fast, compared, locked = Signal(), Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=str(_INPUT_HZ / 1e6),
            a_FREQUENCY_PIN_CLKOP=str(_COMPARED_HZ / 1e6),
            a_FREQUENCY_PIN_CLKOS=str(self.clock_hz / 1e6),
            p_CLKI_DIV=_INPUT_HZ // _COMPARED_HZ,
            p_CLKFB_DIV=1,
            p_CLKOP_DIV=self.parts * self.clock_hz // _COMPARED_HZ,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOS_DIV=self.parts,
            p_CLKOS_ENABLE="ENABLED",
            p_FEEDBK_PATH="CLKOP",
            i_CLKI=clk25,
            i_CLKFB=compared,
            o_CLKOP=compared,
            o_CLKOS=fast,
            o_LOCK=locked,
        )
        m.submodules.gate = Instance("DCCA", i_CLKI=fast, i_CE=locked, o_CLKO=ClockSignal())


def _parts(clock_hz: int) -> int:
    """Return by what the oscillator is divided, with that near the middle of its range."""
    least, most = _OSCILLATOR_HZ
    found = [
        parts
        for parts in range(1, _MOST_PARTS + 1)
        if least <= clock_hz * parts <= most and clock_hz * parts % _COMPARED_HZ == 0
    ]
    if not found:
        raise ValueError(f"the PLL makes no clock of {clock_hz} Hz from {_INPUT_HZ}")
    return min(found, key=lambda parts: abs(2 * clock_hz * parts - least - most))
