"""The Verilog of a compiled chip as Verilator takes it."""

from sterna_sim.compiled.build import _LONG_LINE, _in_lines


def test_long_lines():
    """They are cut where that changes nothing; others stay as they are."""
    short = "  assign a = { b, c };\n"
    long = "  assign d = { " + ", ".join(f"e[{n}]" for n in range(_LONG_LINE // 4)) + " };\n"
    cut = _in_lines(short + long + short)
    assert cut.split() == (short + long + short).split()
    assert cut.startswith(short)
    assert cut.endswith(short)
    assert max(map(len, cut.splitlines())) < _LONG_LINE
