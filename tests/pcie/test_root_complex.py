"""The endpoint's Verilog under a model of the hard block and a root complex."""

import tempfile
import time
from pathlib import Path

import pytest

from sterna_rtl.pcie.completer import LONGEST
from sterna_rtl.pcie.writer import CcWriter
from sterna_sim.kit import build, edited, run_module, to_verilog
from sterna_sim.kit.bench import default_seed
from tests.pcie.tops import registers_top

SLOW = pytest.mark.slow


def run(top, module):
    """Run a module's tests; return how many ran and failed, and what they said."""
    seed, started = default_seed(), time.perf_counter()
    folder = build(to_verilog(top))
    built = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        environment = {"STERNA_SEED": str(seed), "COCOTB_LOG_LEVEL": "WARNING"}
        tests, failed, said = run_module(folder, Path(place), module, environment, seed)
    ended = time.perf_counter()
    print(f"{module} seed {seed}: build {built - started:.1f} s, run {ended - built:.1f} s\n{said}")
    return tests, failed, said


@pytest.mark.parametrize("width", [256, *(pytest.param(w, marks=SLOW) for w in (64, 128, 512))])
def test_registers(width):
    tests, failed, said = run(registers_top(width), "tests.pcie.registers_module")
    assert (tests, failed) == (2, 0), said


def test_rules_see_what_the_model_does_not():
    """Completions with gaps, which the model takes and the block does not."""
    top = registers_top(64)
    top.access.writer = edited(
        CcWriter,
        "self.o.valid.eq(queue.o.valid & (packets != 0)),\n"
        "            queue.o.ready.eq(self.o.ready & (packets != 0))",
        "self.o.valid.eq(queue.o.valid),\n            queue.o.ready.eq(self.o.ready)",
    )(64, LONGEST)
    tests, failed, said = run(top, "tests.pcie.registers_module")
    assert tests == failed == 2
    assert "ProtocolError: valid fell within a packet" in said
