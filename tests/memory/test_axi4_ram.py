"""Axi4Memory beside the AXI RAMs of cocotbext-axi, a model that others wrote."""

import json
from dataclasses import asdict

from sterna.spec.axi4 import Axi4
from sterna_rtl.memory.axi4_memory import Axi4Memory
from sterna_rtl.memory.axi4_reader import Axi4Reader
from sterna_sim.kit import edited, to_verilog
from sterna_sim.kit.cocotb_runner import build, run_module

MEMORY = Axi4(data_bits=256, ports=2, port_bytes=1 << 16, spacing=1 << 16, outstanding=8)


def run(tmp_path, unit=Axi4Memory):
    environment = {
        "STERNA_AXI4": json.dumps(asdict(MEMORY)),
        "STERNA_RATES": str(tmp_path / "rates"),
        "COCOTB_LOG_LEVEL": "WARNING",
    }
    folder = build(to_verilog(unit(MEMORY)))
    tests, failed, said = run_module(folder, tmp_path, "tests.memory.axi_ram", environment, 1)
    print(said)
    return tests, failed


def test_reads(tmp_path):
    assert run(tmp_path) == (10, 0)
    print((tmp_path / "rates").read_text())


def test_planted_bug(tmp_path):
    """A port that is ready only as long as it has room for a burst fails."""

    class Broken(Axi4Memory):
        def __init__(self, memory):
            super().__init__(memory)
            reader = edited(Axi4Reader, "axi.rready.eq(1)", "axi.rready.eq(free >= BEATS)")
            self.readers = [reader(memory, port) for port in range(memory.ports)]

    tests, failed = run(tmp_path, Broken)
    assert tests == 10
    assert failed > 0
