"""Run a bench in Amaranth's own simulator: the wide sweep."""

from __future__ import annotations

from typing import Any

from amaranth import ClockDomain, Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from .bench import UnitBench, explain, make_plan
from .player import CheckError, Engine, Plan, check_stalls, plan_size, play
from .ports import Ports

__all__ = ["PysimEngine", "run_pysim"]


class PysimEngine(Engine):
    """Signals by their ports' names."""

    def __init__(self, ctx: Any, signals: dict[str, Any]):
        super().__init__()
        self.ctx = ctx
        self.signals = signals
        self.masks = {name: (1 << len(signal)) - 1 for name, signal in signals.items()}

    def _write(self, name: str, value: int) -> None:
        self.ctx.set(self.signals[name], value)

    def read(self, name: str) -> int:
        return self.ctx.get(self.signals[name]) & self.masks[name]

    async def clock(self) -> None:
        await self.ctx.tick()


def run_pysim(
    bench: UnitBench, config: str, *, dut: wiring.Component | None = None, seed: int | None = None
) -> dict[str, int]:
    """Play all cases of a configuration under every stall pattern.

    Parameters
    ----------
    bench : UnitBench
        The bench.
    config : str
        Name of one of its configurations.
    dut : wiring.Component, optional
        A unit to test in place of the bench's own, for planted bugs.
    seed : int, optional
        Seed; see `default_seed`.

    Returns
    -------
    dict
        Counts: cases, inputs, outputs, clocks.

    Raises
    ------
    CheckError
        At the first difference.
    """
    dut = bench.dut(bench.configs[config]) if dut is None else dut
    ports = Ports.of(dut)
    plan = make_plan(bench, config, ports, seed)
    counts = plan_size(plan)
    counts["clocks"] = _simulate(dut, ports, plan)
    print(f"pysim {bench.name} {config} seed {plan.seed}: {counts}")
    return counts


def _simulate(dut: wiring.Component, ports: Ports, plan: Plan) -> int:
    m = Module()
    domain = ClockDomain("sync")
    m.domains += domain
    m.submodules.dut = dut
    # The domain has a user even if the unit has no register.
    ticks = Signal()
    m.d.sync += ticks.eq(~ticks)
    signals = dict(ports.signals, rst=domain.rst)
    results = []

    async def testbench(ctx: Any) -> None:
        engine = PysimEngine(ctx, signals)
        for stalls in plan.stalls:
            results.append(await play(engine, plan, stalls))

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    try:
        simulator.run()
    except CheckError as error:
        raise explain(error, ports) from None
    for stalls, (_, seen) in zip(plan.stalls, results, strict=True):
        check_stalls(plan, stalls, seen)
    return sum(clocks for clocks, _ in results)
