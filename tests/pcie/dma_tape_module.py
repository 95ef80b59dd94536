"""cocotb test: what a host does to DmaTape, on its Verilog."""

from __future__ import annotations

import cocotb

from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit.cocotb_engine import CocotbEngine
from sterna_sim.kit.ports import Ports
from tests.pcie.dma_tape_bench import CONFIG, WIDTH, Bench, scenario


@cocotb.test()
async def tape(dut) -> None:
    """Play the scenario."""
    ports = Ports.of(DmaTape(CONFIG, WIDTH))
    engine = CocotbEngine(dut, [name for name, signal in ports.signals.items() if len(signal)])
    for name in ports.driven:
        engine.write(name, 0)
    for level in (1, 0):
        engine.write("rst", level)
        await engine.settle()
        await engine.clock()
    await scenario(Bench(engine, WIDTH))
