"""Models of the hard blocks: block RAMs of each shape, contents, and multipliers as described."""

import json

import pytest
from amaranth import *
from amaranth.back import rtlil
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.ram import Ram
from sterna_sim.compiled import gates
from sterna_sim.compiled.gates import gate_level
from tests.kit.lockstep import differences, run

WIDTHS = {"address": 11, "data": 36, "write": 1, "a": 17, "b": 18}
SHAPES = (2048, 9), (1024, 18), (512, 36)


class Blocks(Component):
    """RAMs with and without a register behind them, a table, and products."""

    def __init__(self):
        super().__init__({name: In(width) for name, width in WIDTHS.items()} | {"o": Out(192)})

    def elaborate(self, platform):
        m = Module()
        parts = []
        for depth, width in SHAPES:
            m.submodules[f"ram_{width}"] = ram = Ram(depth, width)
            m.d.comb += [
                ram.write.enable.eq(self.write),
                ram.write.address.eq(self.address),
                ram.write.data.eq(self.data),
                ram.read.address.eq(self.address ^ 1),
            ]
            late = Signal(width, name=f"late_{width}")
            m.d.sync += late.eq(ram.read.data)
            parts += [late if width != 18 else ram.read.data]
        rows = [row * 2_654_435_761 % (1 << 29) for row in range(512)]
        m.submodules.table = table = Memory(shape=29, depth=512, init=rows)
        read = table.read_port()
        m.d.comb += read.addr.eq(self.address)
        a, b = Signal(signed(17)), Signal(signed(18))
        product = Signal(signed(35))
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.comb += self.o.eq(Cat(*parts, read.data, product, self.a[:9] * self.b[:9]))
        return m


def wrong_clocks(folder):
    """Clocks on which the cells' outputs are not what the description says."""
    (folder / "top.il").write_text(rtlil.convert(Blocks(), name="top", emit_src=False))
    script = "read_rtlil top.il; hierarchy -top top; proc; flatten; write_json first.json"
    run(folder, "yosys", "-q", "-p", script)
    gate_level(Blocks(), folder / "gates")
    script = "read_verilog gates/chip.v; rename chip top; proc; write_json second.json"
    run(folder, "yosys", "-q", "-p", script)
    designs = {
        name: json.loads((folder / f"{name}.json").read_text()) for name in ("first", "second")
    }
    return differences(folder, designs, WIDTHS, output=192)


def test_blocks_do_what_is_described(tmp_path):
    assert wrong_clocks(tmp_path) == 0
    cells = (tmp_path / "gates" / "gates.json").read_text()
    assert (cells.count('"block_ram"'), cells.count('"multiplier"')) == (4, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "old, new",
    [
        ("words[i] = INIT[i * WIDTH +: WIDTH]", "words[i] = INIT[i * 18 +: WIDTH]"),
        ("{SIGNEDA & a[17], a}", "{1'b0, a}"),
    ],
    ids=["contents", "sign"],
)
def test_planted_bugs(tmp_path, monkeypatch, old, new):
    text = gates.BLOCKS.read_text()
    assert text.count(old) == 1
    (tmp_path / "blocks.v").write_text(text.replace(old, new))
    monkeypatch.setattr(gates, "BLOCKS", tmp_path / "blocks.v")
    assert wrong_clocks(tmp_path) > 0
