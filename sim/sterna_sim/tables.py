"""Cells that Yosys maps a chip to, unit by unit, for the model of LUTs in `sterna.plan`."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from amaranth import *
from amaranth.back import rtlil

from sterna.spec.chip import ChipConfig
from sterna_rtl.family.ecp5 import ECP5
from sterna_rtl.serial_chip import SerialChip
from sterna_sim.pnr import synthesise, unit_of
from sterna_sim.tools import BUILD

__all__ = ["CELLS", "chip_rtlil", "mapped_cells"]

CELLS = {
    "LUT4": ("luts", 1),
    "CCU2C": ("luts", 2),
    "TRELLIS_DPR16X4": ("luts", 4),
    "MULT18X18D": ("multipliers", 1),
    "DP16KD": ("block_rams", 1),
}
"""What each cell is counted as; a piece of carry chain holds two tables, of LUTRAM four."""

_CLOCK_HZ = 50_000_000


class _Top(Elaboratable):
    """SerialChip; if its tape comes from outside, with that stream at the pins."""

    def __init__(self, config: ChipConfig) -> None:
        self.serial = SerialChip(config, _CLOCK_HZ)
        self.rx, self.tx = self.serial.rx, self.serial.tx
        self.ports: list[Signal] = [self.rx, self.tx]
        self.tape = None
        if config.memory:
            pins = self.serial.pins
            self.ports += [
                pins.cke,
                pins.cs_n,
                pins.command,
                pins.bank,
                pins.address,
                pins.mask,
                pins.data.o,
                pins.data.oe,
                pins.data.i,
            ]
        elif config.ring_words:
            chip = self.serial.chip
            self.tape = Signal(config.word_bits), Signal(), Signal(), Signal()
            self.inner = chip.i_tape.payload, chip.i_tape.valid, chip.i_tape.ready, chip.restart
            self.ports += self.tape

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.serial = self.serial
        if self.tape:
            payload, valid, ready, restart = self.inner
            m.d.comb += [payload.eq(self.tape[0]), valid.eq(self.tape[1])]
            m.d.comb += [self.tape[2].eq(ready), self.tape[3].eq(restart)]
        return m


def chip_rtlil(config: ChipConfig) -> str:
    """RTLIL of a chip with its UART, for ECP5."""
    top = _Top(config)
    return rtlil.convert(top, platform=ECP5, ports=top.ports, name="top", emit_src=False)


def mapped_cells(config: ChipConfig) -> dict[str, Counter[str]]:
    """Synthesise a chip for ECP5; return ``luts``, ``multipliers`` and ``block_rams`` of each unit.

    It takes a minute for 16 lanes and four for 256.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as name:  # YoWASP has a /tmp of its own
        folder = Path(name)
        (folder / "top.il").write_text(chip_rtlil(config))
        synthesise(folder)
        cells = json.loads((folder / "mapped.json").read_text())["modules"]["top"]["cells"]
    units: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        if cell["type"] in CELLS:
            kind, count = CELLS[cell["type"]]
            units.setdefault(unit_of(name), Counter())[kind] += count
    return units
