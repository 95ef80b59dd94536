"""The side of `cocotb_runner` that runs inside the simulator; one cocotb test per stall pattern."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import cocotb

from sterna_sim.kit.cocotb_engine import CocotbEngine
from sterna_sim.kit.player import CheckError, Plan, failure_record, play

_PLAN: Plan = pickle.loads(Path(os.environ["STERNA_PLAN"]).read_bytes())
_OUTCOME = Path(os.environ["STERNA_OUTCOME"])


@cocotb.test()
@cocotb.parametrize(("index", list(range(len(_PLAN.stalls)))))
async def stalls(dut: Any, index: int) -> None:
    """Play all cases under one stall pattern."""
    engine = CocotbEngine(dut, [name for name, width in _PLAN.widths.items() if width])
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
