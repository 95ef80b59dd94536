"""The engine's row sums on ECP5 equal the behavioural ones: proven when small, simulated at size.

Yosys' own model stands for the CCU2C.
"""

import json
import re

import pytest
from amaranth import *
from amaranth.back import rtlil

from sterna_rtl.datapath.engine import _RowSum
from sterna_rtl.family.ecp5_rows import TernaryRows
from sterna_sim.kit.bugs import edited
from tests.kit.lockstep import differences, run


class Sums(Elaboratable):
    """Totals plus carries of some rows, from either form."""

    def __init__(self, rows, columns, form):
        self.rows, self.columns, self.form = rows, columns, form
        self.clk = Signal()
        self.x = Signal(8 * columns)
        self.nonzero = Signal(rows * columns)
        self.negative = Signal(rows * columns)
        self.bits = 9 + (columns - 1).bit_length()
        self.o = Signal(rows * self.bits)
        self.ports = [self.clk, self.x, self.nonzero, self.negative, self.o]

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.clk)
        for row, (total, carry) in enumerate(self._sums(m)):
            m.d.comb += self.o.word_select(row, self.bits).eq(total + carry)
        return m

    def _sums(self, m):
        if self.form is not _RowSum:
            m.submodules.rows = rows = self.form(self.rows, self.columns)
            self._connect(m, rows, self.nonzero, self.negative)
            return list(zip(rows.totals, rows.carries, strict=True))
        sums = []
        for row in range(self.rows):
            m.submodules[f"row_{row}"] = unit = _RowSum(self.columns)
            part = [w.word_select(row, self.columns) for w in (self.nonzero, self.negative)]
            self._connect(m, unit, *part)
            sums.append((unit.total, unit.carry))
        return sums

    def _connect(self, m, unit, nonzero, negative):
        m.d.comb += [
            Value.cast(unit.activations).eq(self.x),
            unit.nonzero.eq(nonzero),
            unit.negative.eq(negative),
        ]


def write(folder, name, rows, columns, form):
    design = Sums(rows, columns, form)
    text = rtlil.convert(design, ports=design.ports, name="top", emit_src=False)
    (folder / f"{name}.il").write_text(text)
    return design


def proven(folder, columns, form):
    """Prove that outputs are equal once whatever the pipelines held at first has left them."""
    write(folder, "first", 1, columns, _RowSum)
    write(folder, "second", 1, columns, form)
    latency = 1 + (columns - 1).bit_length()
    forms = "".join(
        f"""
        read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v
        read_rtlil {name}.il
        hierarchy -top top
        proc
        flatten
        design -stash {name}"""
        for name in ("first", "second")
    )
    (folder / "prove.ys").write_text(f"""{forms}
        design -copy-from first -as first top
        design -copy-from second -as second top
        miter -equiv -flatten first second both
        hierarchy -top both
        opt -full
        tee -o proof.txt sat -seq {latency + 1} -prove-skip {latency} -prove trigger 0 both
    """)
    run(folder, "yosys", "-q", "-s", "prove.ys")
    (verdict,) = re.findall(r"SAT proof finished - .*: (\w+)!", (folder / "proof.txt").read_text())
    return verdict == "SUCCESS"


def test_proven_equal(tmp_path):
    assert proven(tmp_path, 4, TernaryRows)


@pytest.mark.parametrize(
    "old, new",
    [
        ("a ^ (b & c) ^ d", "a ^ (b & c)"),
        ("return total, _delayed(m, negative, 3", "return total, _delayed(m, negative, 2"),
        ("max(0, lane % LANES_OF_A_CHAIN - 1)", "lane % LANES_OF_A_CHAIN // 2"),
    ],
)
def test_planted_bugs(tmp_path, old, new):
    assert not proven(tmp_path, 4, edited(TernaryRows, old, new))


def netlist(folder, name, rows, columns, form):
    design = write(folder, name, rows, columns, form)
    script = f"read_rtlil {name}.il; hierarchy -top top; proc; flatten; write_json {name}.json"
    run(folder, "yosys", "-q", "-p", script)
    return design, json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "rows, columns", [(1, 12), (2, 16), pytest.param(4, 64, marks=pytest.mark.slow)]
)
def test_simulated_equal(tmp_path, rows, columns):
    design, first = netlist(tmp_path, "first", rows, columns, _RowSum)
    _, second = netlist(tmp_path, "second", rows, columns, TernaryRows)
    inputs = {"x": len(design.x), "nonzero": rows * columns, "negative": rows * columns}
    designs = {"first": first, "second": second}
    assert differences(tmp_path, designs, inputs, output=len(design.o)) == 0


def test_columns_in_fours():
    with pytest.raises(ValueError, match="multiple of 4"):
        TernaryRows(1, 6)
