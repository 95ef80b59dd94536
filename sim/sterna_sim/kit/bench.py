"""What a unit's bench says: the unit, its cases with golden results, and the bugs it must find."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from amaranth.lib import wiring

from .player import Beside, CheckError, FlatCase, FlatMemory, Plan
from .ports import Codec, Ports
from .stalls import ALL_STALLS, Stalls

__all__ = ["Case", "Memory", "UnitBench", "default_seed", "explain", "make_plan"]


@dataclass
class Memory:
    """A synchronous RAM beside the unit, on plain ports.

    Parameters
    ----------
    words : sequence
        What it holds when the case starts, as items of the data port's shape.
    reads : sequence of tuple
        Read ports as ``(address, data)`` or ``(address, data, enable)`` port names: data come
        `latency` clocks after the address. Without an enable every clock reads. A word that is
        written on the same clock is read as it was before.
    writes : sequence of tuple
        Write ports as ``(enable, address, data)`` port names.
    expected : sequence, optional
        What it must hold when the case ends.
    latency : int
        Clocks from address to data.
    name : str
        For messages.
    """

    words: Sequence[Any]
    reads: Sequence[tuple[str, ...]] = ()
    writes: Sequence[tuple[str, str, str]] = ()
    expected: Sequence[Any] | None = None
    latency: int = 1
    name: str = "memory"


@dataclass
class Case:
    """Items for the inputs and the items that the golden function makes of them.

    Parameters
    ----------
    inputs, outputs : dict
        Items by stream port. A port that is left out has none.
    constants : dict
        Values of plain inputs, set before the case begins and kept (0 where left out).
    finals : dict
        Values that plain outputs must have after the last item.
    memories : sequence of Memory
        RAMs that the unit reads and writes.
    beside : sequence of callable
        Make other models that sit on plain ports, see `player.Beside`; picklable.
    clocks : int, optional
        Bound on the clocks from the first to the last transfer without stalls.
    name : str
        For messages.
    """

    inputs: Mapping[str, Sequence[Any] | np.ndarray] = field(default_factory=dict)
    outputs: Mapping[str, Sequence[Any] | np.ndarray] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    finals: Mapping[str, Any] = field(default_factory=dict)
    memories: Sequence[Memory] = ()
    beside: Sequence[Callable[[], Beside]] = ()
    clocks: int | None = None
    name: str = ""


class UnitBench:
    """Base class of benches; a subclass fills in the first four.

    Attributes
    ----------
    name : str
        The unit.
    configs : dict
        What `dut` and `cases` get, by a short name.
    cocotb_configs : tuple of str
        The two or three that also run as Verilog; by default the first two.
    slow_configs : tuple of str
        Those whose test with pysim is left to `make test-all`.
    bugs : dict
        Planted bugs: functions that take a configuration and return a broken unit; see `edited`.
    bug_configs : tuple of str
        Where the planted bugs are looked for, in this order; by default all.
    stalls : tuple of Stalls
        Stall patterns.
    not_stalled : dict
        Ports on which stalls can't be seen, with the reason.
    patience : int
        Clocks without any transfer after which a case is given up.
    drain : int
        Clocks after the last transfer in which nothing more may come. A unit that ends with writes
        to a memory must be done by then.
    reset_between : bool
        Reset before each case; by default cases follow each other as in use.
    reset_test : bool
        Play a part of the first case first and reset in the middle of it.
    """

    name: ClassVar[str]
    configs: ClassVar[Mapping[str, Any]] = {"default": None}
    slow_configs: ClassVar[Sequence[str]] = ()
    bugs: ClassVar[Mapping[str, Callable[[Any], wiring.Component]]] = {}
    bug_configs: ClassVar[Sequence[str]] = ()
    stalls: ClassVar[Sequence[Stalls]] = ALL_STALLS
    not_stalled: ClassVar[Mapping[str, str]] = {}
    patience: ClassVar[int] = 2000
    drain: ClassVar[int] = 16
    reset_between: ClassVar[bool] = False
    reset_test: ClassVar[bool] = True

    @property
    def cocotb_configs(self) -> Sequence[str]:
        return tuple(self.configs)[:2]

    def dut(self, config: Any) -> wiring.Component:
        """Return the unit."""
        raise NotImplementedError

    def cases(self, config: Any, rng: np.random.Generator) -> Iterable[Case]:
        """Yield the cases of a configuration; all randomness comes from `rng`."""
        raise NotImplementedError


def default_seed() -> int:
    """Return the seed of all benches: `STERNA_SEED` from the environment, else 1."""
    return int(os.environ.get("STERNA_SEED", "1"))


def make_plan(bench: UnitBench, config: str, ports: Ports, seed: int | None = None) -> Plan:
    """Pack the cases of a configuration into what the player plays."""
    seed = default_seed() if seed is None else seed
    salt = random.Random(f"{bench.name}/{config}/{seed}").getrandbits(64)
    cases = [
        _flatten(case, ports, index)
        for index, case in enumerate(
            bench.cases(bench.configs[config], np.random.default_rng(salt))
        )
    ]
    if not cases:
        raise ValueError(f"bench {bench.name} has no cases for {config}")
    return Plan(
        bench=bench.name,
        config=config,
        seed=seed,
        widths={name: len(signal) for name, signal in ports.signals.items()},
        cases=cases,
        not_stalled=frozenset(bench.not_stalled),
        patience=bench.patience,
        drain=bench.drain,
        reset_between=bench.reset_between,
        reset_test=bench.reset_test,
        stalls=list(bench.stalls),
    )


def _flatten(case: Case, ports: Ports, index: int) -> FlatCase:
    name = f"{index}:{case.name}" if case.name else str(index)
    for given, known in (
        (case.inputs, ports.inputs),
        (case.outputs, ports.outputs),
        (case.constants, ports.plain),
        (case.finals, ports.plain),
    ):
        if set(given) - set(known):
            raise ValueError(f"case {name}: no port {sorted(set(given) - set(known))}")
    from_memories = {read[1] for memory in case.memories for read in memory.reads}
    plain_inputs = {port for port in ports.plain if port in ports.driven} - from_memories
    constants = dict.fromkeys(sorted(plain_inputs), 0)
    for port, value in case.constants.items():
        constants[port] = _pack(ports.plain[port], value, name, port)
    return FlatCase(
        name=name,
        inputs=_streams(case.inputs, ports.inputs, name),
        outputs=_streams(case.outputs, ports.outputs, name),
        constants=constants,
        finals={
            port: _pack(ports.plain[port], value, name, port) for port, value in case.finals.items()
        },
        memories=[_flatten_memory(memory, ports, name) for memory in case.memories],
        beside=list(case.beside),
        clocks=case.clocks,
    )


def _streams(given: Mapping[str, Any], ports: Mapping[str, Any], case: str) -> dict[str, list[int]]:
    return {
        port: [
            _pack(stream.codec, item, case, f"{port}[{index}]")
            for index, item in enumerate(given.get(port, ()))
        ]
        for port, stream in ports.items()
    }


def _pack(codec: Codec, item: Any, case: str, place: str) -> int:
    try:
        return codec.pack(item)
    except (TypeError, ValueError) as error:
        raise type(error)(f"case {case}, {place}: {error}") from None


def _flatten_memory(memory: Memory, ports: Ports, case: str) -> FlatMemory:
    data = [read[1] for read in memory.reads] + [write[2] for write in memory.writes]
    codec = ports.plain[data[0]]
    return FlatMemory(
        name=memory.name,
        words=[
            _pack(codec, word, case, f"{memory.name}[{i}]") for i, word in enumerate(memory.words)
        ],
        expected=None
        if memory.expected is None
        else [
            _pack(codec, word, case, f"{memory.name} expected[{i}]")
            for i, word in enumerate(memory.expected)
        ],
        reads=[(read[0], read[1], read[2] if len(read) > 2 else None) for read in memory.reads],
        writes=[(write[0], write[1], write[2]) for write in memory.writes],
        latency=memory.latency,
    )


def explain(error: CheckError, ports: Ports) -> CheckError:
    """Return the same error with raw bits turned into items of the port."""
    where = dict(error.where)
    port = where.get("port")
    streams = ports.inputs | ports.outputs
    codec = streams[port].codec if port in streams else ports.plain.get(str(port))
    if codec is not None:
        for key in ("expected", "got"):
            if isinstance(where.get(key), int):
                where[key] = codec.unpack(where[key])
    return CheckError(error.text, **where)
