"""A simulation under cocotb as an engine of the kit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cocotb.triggers import Timer

from sterna_sim.kit.player import Engine

__all__ = ["CocotbEngine"]


class CocotbEngine(Engine):
    """Makes the clock itself: every value is read after the design has settled.

    Parameters
    ----------
    dut : cocotb handle
    names : iterable of str
        The unit's ports; others are not written, and read as 0.
    """

    def __init__(self, dut: Any, names: Iterable[str]) -> None:
        super().__init__()
        self.handles = {name: getattr(dut, name) for name in names}
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
