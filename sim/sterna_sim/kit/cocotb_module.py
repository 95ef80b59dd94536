"""The side of `cocotb_runner` that runs inside the simulator; one cocotb test per stall pattern."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sterna_sim.kit.player import CheckError, Engine, Plan, failure_record, play

_PLAN: Plan = pickle.loads(Path(os.environ["STERNA_PLAN"]).read_bytes())
_OUTCOME = Path(os.environ["STERNA_OUTCOME"])


class _CocotbEngine(Engine):
    """Makes the clock itself: every value is read after the design has settled."""

    def __init__(self, dut: Any, plan: Plan):
        super().__init__()
        self.handles = {name: getattr(dut, name) for name, width in plan.widths.items() if width}
        # A unit without registers has neither.
        for name in ("clk", "rst"):
            if hasattr(dut, name):
                self.handles[name] = getattr(dut, name)
        self.half = Timer(5, unit="ns")

    def _write(self, name: str, value: int) -> None:
        if name in self.handles:
            self.handles[name].value = value

    def read(self, name: str) -> int:
        return int(self.handles[name].value) if name in self.handles else 0

    async def settle(self) -> None:
        await self.half

    async def clock(self) -> None:
        self._write("clk", 1)
        await self.half
        self._write("clk", 0)


@cocotb.test()
@cocotb.parametrize(("index", list(range(len(_PLAN.stalls)))))
async def stalls(dut: Any, index: int) -> None:
    """Play all cases under one stall pattern."""
    engine = _CocotbEngine(dut, _PLAN)
    try:
        clocks, seen = await play(engine, _PLAN, _PLAN.stalls[index])
        record({"index": index, "clocks": clocks, "seen": seen})
    except CheckError as error:
        record(failure_record(error))
        raise


def record(entry: dict[str, Any]) -> None:
    """Tell the process that started the simulator how a test ended."""
    with _OUTCOME.open("a") as file:
        file.write(json.dumps(entry) + "\n")
