"""Play a unit's bench on its mutants, and count those that it sees.

Each mutant first gets again, in C++, what went into the unmutated unit. If nothing that the bench
looks at differs on any clock, the bench passes: what it drives depends on nothing else. Otherwise
the bench is played from the game on (its cases under one stall pattern) in which the first
difference came, and stops at its first complaint.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..kit.bench import UnitBench, default_seed, make_plan
from ..kit.player import Plan, play
from ..kit.ports import Ports
from ..kit.stalls import Stalls
from .equivalent import LIMIT, is_equivalent
from .machines import Machine
from .model import Model, Player, Run
from .mutants import Site, make_netlist

__all__ = ["MachineCoverage", "Score", "score"]


@dataclass(frozen=True)
class MachineCoverage:
    """What a bench reaches of a state machine.

    Attributes
    ----------
    name : str
        The machine.
    states, transitions : int
        As the unit's text declares them.
    missed_states, missed_transitions : tuple of str
        Those that never came.
    """

    name: str
    states: int
    transitions: int
    missed_states: tuple[str, ...]
    missed_transitions: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """How a bench did.

    Attributes
    ----------
    bench, config : str
        The bench and its configuration.
    seed : int
        By which the mutants were drawn.
    mutants, killed : int
        Mutants, and those that the bench saw.
    equivalent : tuple of Site
        Mutants that do nothing else than the unit, as was proven.
    survivors : tuple of Site
        Mutants that the bench did not see, though nothing proves them equivalent.
    machines : tuple of MachineCoverage
        The unit's state machines.
    seconds : float
        What it took.
    """

    bench: str
    config: str
    seed: int
    mutants: int
    killed: int
    equivalent: tuple[Site, ...]
    survivors: tuple[Site, ...]
    machines: tuple[MachineCoverage, ...]
    seconds: float

    @property
    def share(self) -> float:
        """Killed mutants per relevant one."""
        relevant = self.mutants - len(self.equivalent)
        return self.killed / relevant if relevant else 1.0


def score(
    bench: UnitBench,
    config: str,
    count: int,
    seed: int | None = None,
    inside: str = "",
    without: Sequence[str] = (),
    others: Sequence[UnitBench] = (),
    limit: int = LIMIT,
) -> Score:
    """Draw mutants of a bench's unit and play the bench on each.

    Parameters
    ----------
    bench : UnitBench
        The bench.
    config : str
        One of its configurations.
    count : int
        Mutants.
    seed : int, optional
        What they, and the bench's cases, are drawn by; see `default_seed`.
    inside, without : str, sequence of str
        See `make_netlist`.
    others : sequence of UnitBench
        Further benches of the same unit, played after it; each has the configuration too.
    limit : int
        Seconds of processor time for one proof of equivalence.

    Raises
    ------
    CheckError
        If the bench complains of the unmutated netlist.
    """
    started = time.perf_counter()
    seed = default_seed() if seed is None else seed
    unit = bench.dut(bench.configs[config])
    ports = Ports.of(unit)
    games = []
    for each in (bench, *others):
        if each.configs[config] != bench.configs[config]:
            raise ValueError(f"{each.name} and {bench.name} have not the same unit in {config}")
        plan = make_plan(each, config, ports, seed)
        games += [(plan, stalls) for stalls in plan.stalls]
    netlist = make_netlist(unit, count, seed, inside, without)
    model = Model(netlist, ports)
    run, ends = _record(model, games)
    killed, equivalent, survivors = 0, [], []
    for number, site in enumerate(netlist.sites, 1):
        clock = run.first_difference(number)
        if clock is not None and _is_seen(model, games, number, ends, clock):
            killed += 1
        elif clock is None and is_equivalent(netlist, number, limit):
            equivalent.append(site)
        else:
            survivors.append(site)
    return Score(
        bench=bench.name,
        config=config,
        seed=seed,
        mutants=len(netlist.sites),
        killed=killed,
        equivalent=tuple(equivalent),
        survivors=tuple(survivors),
        machines=tuple(_coverage(run, *pair) for pair in model.machines.items()),
        seconds=time.perf_counter() - started,
    )


Game = tuple[Plan, Stalls]
"""A bench's cases, and a stall pattern under which they are played."""


def _record(model: Model, games: list[Game]) -> tuple[Run, list[int]]:
    """Play the unmutated unit; return the run and the clock on which each game ends."""
    run = Run(model)
    player = Player(model, run=run)
    ends = []
    for game in games:
        _finish(play(player, *game))
        ends.append(run.clocks)
    return run, ends


def _is_seen(model: Model, games: list[Game], mutant: int, ends: list[int], clock: int) -> bool:
    player = Player(model, mutant)
    first = next(index for index, end in enumerate(ends) if clock < end)
    try:
        for game in games[first:]:
            _finish(play(player, *game))
    except (AssertionError, LookupError, ValueError):
        # A model beside the unit may also break on what no unit should say.
        return True
    return False


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits: a compiled unit answers at once."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("the player waits")


def _coverage(run: Run, output: str, machine: Machine) -> MachineCoverage:
    names = machine.states
    numbers = run.column(output)
    seen = {names[number] for number in set(numbers.tolist())}
    pairs = {(names[a], names[b]) for a, b in set(pairwise(numbers.tolist()))}
    return MachineCoverage(
        machine.name,
        len(names),
        len(machine.transitions),
        tuple(name for name in names if name not in seen),
        tuple(f"{a} -> {b}" for a, b in sorted(machine.transitions - pairs)),
    )
