"""Play a bench clock by clock: drive, sample, compare. The same code under both simulators.

Everything here is plain integers and port names, without Amaranth, so that it runs as well inside
a process that cocotb starts. A simulator is an `Engine` of three methods.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .stalls import Stalls, pattern

__all__ = [
    "Beside",
    "CheckError",
    "Engine",
    "FlatCase",
    "FlatMemory",
    "Plan",
    "StallError",
    "check_stalls",
    "plan_size",
    "play",
]


@dataclass
class FlatMemory:
    """A RAM beside the unit, as port names and raw words; see `bench.Memory`."""

    name: str
    words: list[int]
    expected: list[int] | None
    reads: list[tuple[str, str, str | None]]
    writes: list[tuple[str, str, str]]
    latency: int


@dataclass
class FlatCase:
    """One case as raw integers by port name."""

    name: str
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    constants: dict[str, int]
    finals: dict[str, int]
    memories: list[FlatMemory]
    beside: list[Callable[[], Beside]]
    clocks: int | None


@dataclass
class Plan:
    """All that a run needs: made from a bench, played by any engine."""

    bench: str
    config: str
    seed: int
    widths: dict[str, int]
    cases: list[FlatCase]
    not_stalled: frozenset[str] = frozenset()
    patience: int = 2000
    drain: int = 16
    reset_between: bool = False
    reset_test: bool = True
    stalls: list[Stalls] = field(default_factory=list)


class CheckError(AssertionError):
    """A unit did not do what its bench expects."""

    def __init__(self, text: str, **where: object):
        self.text = text
        self.where = where
        super().__init__(text, where)

    def __str__(self) -> str:
        place = " ".join(f"{key}={value}" for key, value in self.where.items() if value is not None)
        return f"{self.text} [{place}]"


class StallError(CheckError):
    """A stall pattern had no effect: a defect of the bench, or of a unit that hides its state."""


class Engine:
    """A simulator: reads and writes ports by name, settles, clocks."""

    def __init__(self) -> None:
        self._written: dict[str, int] = {}

    def write(self, name: str, value: int) -> None:
        """Drive an input; costs nothing if the value is the one it has."""
        if self._written.get(name) != value:
            self._written[name] = value
            self._write(name, value)

    def _write(self, name: str, value: int) -> None:
        raise NotImplementedError

    def read(self, name: str) -> int:
        """Return the value of an output as an unsigned integer."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let combinational logic follow what was written."""

    async def clock(self) -> None:
        """Give one rising edge; only after `settle`."""
        raise NotImplementedError


class Beside(Protocol):
    """A model beside the unit, on its plain ports."""

    def drive(self, engine: Engine) -> None:
        """Write the unit's inputs for this clock."""

    def sample(self, engine: Engine) -> None:
        """Read the unit's outputs once all has settled."""

    def check(self) -> None:
        """Raise a `CheckError` if anything is wrong at the end."""


class _Source:
    """Offers the items of one input stream; garbage on the payload while it offers nothing."""

    def __init__(self, plan: Plan, port: str, items: list[int], kind: str, seed: str):
        self.port = port
        self.items = items
        self.index = 0
        self.offering = False
        self.go = pattern(kind, seed)
        self.garbage = random.Random(seed)
        self.width = plan.widths[f"{port}__payload"]
        self.seen: Counter[str] = Counter()
        self._was_ready = False

    @property
    def done(self) -> bool:
        return self.index == len(self.items)

    def drive(self, engine: Engine) -> None:
        go = self.go(self._was_ready)
        if not self.offering:
            self.offering = go and not self.done
            payload = (
                self.items[self.index] if self.offering else self.garbage.getrandbits(self.width)
            )
            engine.write(f"{self.port}__payload", payload)
            engine.write(f"{self.port}__valid", int(self.offering))

    def sample(self, engine: Engine) -> bool:
        ready = bool(engine.read(f"{self.port}__ready"))
        self._was_ready = ready
        self.seen["both" if ready else "valid only"] += self.offering
        self.seen["ready only"] += ready and not self.offering
        moved = ready and self.offering
        if moved:
            self.index += 1
            self.offering = False
        return moved


class _Sink:
    """Accepts one output stream, compares it, and watches that it keeps the stream contract."""

    def __init__(self, port: str, expected: list[int], kind: str, seed: str):
        self.port = port
        self.expected = expected
        self.index = 0
        self.go = pattern(kind, seed)
        self.ready = False
        self.held: int | None = None
        self.seen: Counter[str] = Counter()
        self._was_valid = False

    @property
    def done(self) -> bool:
        return self.index == len(self.expected)

    def drive(self, engine: Engine) -> None:
        self.ready = self.go(self._was_valid)
        engine.write(f"{self.port}__ready", int(self.ready))

    def sample(self, engine: Engine) -> bool:
        valid = self._was_valid = bool(engine.read(f"{self.port}__valid"))
        if not valid:
            if self.held is not None:
                raise CheckError(
                    "valid fell before the item was accepted", port=self.port, index=self.index
                )
            self.seen["ready only"] += self.ready
            return False
        got = engine.read(f"{self.port}__payload")
        if self.held is not None and got != self.held:
            raise CheckError(
                "payload changed before the item was accepted",
                port=self.port,
                index=self.index,
                expected=self.held,
                got=got,
            )
        if self.done:
            raise CheckError("extra output", port=self.port, index=self.index, got=got)
        # A wrong value is reported when it is shown, even if it is never accepted.
        if got != self.expected[self.index]:
            raise CheckError(
                "wrong output",
                port=self.port,
                index=self.index,
                expected=self.expected[self.index],
                got=got,
            )
        self.seen["both" if self.ready else "valid only"] += 1
        self.held = None if self.ready else got
        self.index += self.ready
        return self.ready


class _Memory:
    """Synchronous RAM: reads the old word when the same clock writes it."""

    def __init__(self, flat: FlatMemory):
        self.flat = flat
        self.words = list(flat.words)
        self.pipes = [[0] * flat.latency for _ in flat.reads]

    def drive(self, engine: Engine) -> None:
        for (_, data, _), pipe in zip(self.flat.reads, self.pipes, strict=True):
            engine.write(data, pipe[0])

    def _at(self, port: str, address: int) -> int:
        if address >= len(self.words):
            raise CheckError(
                f"address beyond the {len(self.words)} words of {self.flat.name}",
                port=port,
                got=address,
            )
        return address

    def sample(self, engine: Engine) -> None:
        for (address, _, enable), pipe in zip(self.flat.reads, self.pipes, strict=True):
            if enable is None:
                # Reads on every clock: an idle unit may show any address.
                at = engine.read(address)
                word = self.words[at] if at < len(self.words) else 0
            elif engine.read(enable):
                word = self.words[self._at(address, engine.read(address))]
            else:
                word = pipe[-1]
            pipe.append(word)
            del pipe[0]
        for enable, address, data in self.flat.writes:
            if engine.read(enable):
                self.words[self._at(address, engine.read(address))] = engine.read(data)

    def check(self) -> None:
        for index, (got, expected) in enumerate(
            zip(self.words, self.flat.expected or self.words, strict=True)
        ):
            if got != expected:
                raise CheckError(
                    "wrong word in memory",
                    port=self.flat.name,
                    index=index,
                    expected=expected,
                    got=got,
                )


class _Run:
    """One case under one stall pattern."""

    def __init__(self, plan: Plan, case: FlatCase, stalls: Stalls, salt: str):
        seed = f"{plan.bench}/{plan.config}/{plan.seed}/{stalls}/{case.name}/{salt}"
        self.plan = plan
        self.case = case
        self.stalls = stalls
        self.sources = [
            _Source(plan, port, items, stalls.inputs, f"{seed}/{port}")
            for port, items in case.inputs.items()
        ]
        self.sinks = [
            _Sink(port, items, stalls.outputs, f"{seed}/{port}")
            for port, items in case.outputs.items()
        ]
        self.beside: list[Beside] = [
            *(_Memory(flat) for flat in case.memories),
            *(make() for make in case.beside),
        ]
        self.clocks = 0
        self.last_transfer = 0

    async def step(self, engine: Engine) -> bool:
        """Run one clock; return whether an item moved."""
        for part in (*self.sources, *self.sinks, *self.beside):
            part.drive(engine)
        await engine.settle()
        moved = sum([part.sample(engine) for part in (*self.sources, *self.sinks)])
        for model in self.beside:
            model.sample(engine)
        await engine.clock()
        self.clocks += 1
        if moved:
            self.last_transfer = self.clocks
        return bool(moved)

    def begin(self, engine: Engine) -> None:
        for name, value in self.case.constants.items():
            engine.write(name, value)

    async def play(self, engine: Engine) -> None:
        self.begin(engine)
        parts = (*self.sources, *self.sinks)
        while not all(part.done for part in parts):
            await self.step(engine)
            if self.clocks - self.last_transfer > self.plan.patience:
                self._give_up()
        limit = self.case.clocks
        if self.stalls == Stalls() and limit is not None and self.last_transfer > limit:
            raise CheckError("too slow", expected=f"at most {limit}", got=self.last_transfer)
        for _ in range(self.plan.drain):
            await self.step(engine)
        for model in self.beside:
            model.check()
        for port, expected in self.case.finals.items():
            got = engine.read(port)
            if got != expected:
                raise CheckError("wrong value at the end", port=port, expected=expected, got=got)

    def _give_up(self) -> None:
        for sink in self.sinks:
            if not sink.done:
                raise CheckError(
                    f"missing output: {len(sink.expected) - sink.index} of {len(sink.expected)}"
                    f" items did not come in {self.plan.patience} clocks",
                    port=sink.port,
                    index=sink.index,
                    expected=sink.expected[sink.index],
                )
        for source in self.sources:
            if not source.done:
                raise CheckError(
                    f"unread input: {len(source.items) - source.index} of {len(source.items)}"
                    f" items were not taken in {self.plan.patience} clocks",
                    port=source.port,
                    index=source.index,
                )


async def _reset(engine: Engine, plan: Plan) -> None:
    """Reset for two clocks with quiet inputs, and check that no output is valid afterwards."""
    for name in plan.widths:
        if name.endswith("__valid") and name.removesuffix("__valid") in plan.cases[0].inputs:
            engine.write(name, 0)
    engine.write("rst", 1)
    for _ in range(2):
        await engine.settle()
        await engine.clock()
    engine.write("rst", 0)
    await engine.settle()
    for port in plan.cases[0].outputs:
        if engine.read(f"{port}__valid"):
            raise CheckError("valid after reset", port=port)


Seen = dict[str, dict[str, int]]
"""Clocks by stream port and by what was up: ``valid only``, ``ready only``, ``both``."""


async def play(engine: Engine, plan: Plan, stalls: Stalls) -> tuple[int, Seen]:
    """Play all cases under one stall pattern; return the number of clocks and what was seen.

    Raises
    ------
    CheckError
        With the bench, configuration, case, seed, stalls, clock, port, index and both values.
    """
    seen: dict[str, Counter[str]] = {}
    clocks = 0
    run = None
    try:
        await _reset(engine, plan)
        if plan.reset_test:
            # Cut the first case short: a reset in mid-transfer must leave nothing behind.
            run = _Run(plan, plan.cases[0], stalls, "cut")
            run.begin(engine)
            items = sum(map(len, (plan.cases[0].inputs | plan.cases[0].outputs).values()))
            for _ in range(random.Random(f"{plan.seed}/{stalls}").randint(1, 4 + items)):
                await run.step(engine)
            await _reset(engine, plan)
        for case in plan.cases:
            if plan.reset_between:
                await _reset(engine, plan)
            run = _Run(plan, case, stalls, "")
            await run.play(engine)
            clocks += run.clocks
            for part in (*run.sources, *run.sinks):
                seen.setdefault(part.port, Counter()).update(part.seen)
    except CheckError as error:
        where: dict[str, object] = {"bench": plan.bench, "config": plan.config, "stalls": stalls}
        if run is not None:
            where |= {"case": run.case.name, "clock": run.clocks}
        raise CheckError(error.text, **where, **error.where, seed=plan.seed) from error
    return clocks, {port: dict(counts) for port, counts in seen.items()}


def check_stalls(plan: Plan, stalls: Stalls, seen: Seen) -> None:
    """Refuse a pattern that never met its other side: it has shown nothing.

    To be called after all patterns, so that what a unit does wrong comes first.
    """
    for ports, kind, wanted in (
        (plan.cases[0].inputs, stalls.inputs, "ready only"),
        (plan.cases[0].outputs, stalls.outputs, "valid only"),
    ):
        for port in ports:
            counts = seen[port]
            # A few items may pass by chance between the stalls of the other two patterns.
            enough = counts.get("both", 0) >= (1 if kind in ("long", "late") else 16)
            if kind == "none" or port in plan.not_stalled or not enough:
                continue
            if not counts.get(wanted):
                raise StallError(
                    f"stalls were never seen ({wanted})",
                    bench=plan.bench,
                    config=plan.config,
                    stalls=stalls,
                    port=port,
                    seed=plan.seed,
                )


def failure_record(error: CheckError) -> dict[str, object]:
    """Return what a parent process needs to raise the same error again."""
    where = {
        key: value if isinstance(value, int | str | None) else str(value)
        for key, value in error.where.items()
    }
    return {"text": error.text, "where": where}


def plan_size(plan: Plan) -> dict[str, int]:
    """Return counts for a report."""
    return {
        "cases": len(plan.cases),
        "inputs": sum(len(items) for case in plan.cases for items in case.inputs.values()),
        "outputs": sum(len(items) for case in plan.cases for items in case.outputs.values()),
    }
