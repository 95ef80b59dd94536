"""A memory behind AXI4 ports: it answers late, pauses and refreshes, and objects to what is wrong.

Written from the AXI4 rules, not from the master. Beyond them it wants what ours promises: full
bursts' width, one ID, and RREADY and BREADY that never fall.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sterna.spec.axi4 import BEATS, BOUNDARY, Axi4, Burst, Response

from .kit.player import CheckError, Engine

__all__ = ["RULES", "Axi4Beside", "Axi4Error", "Axi4Port", "Behaviour"]

RULES = {
    "stable": "a channel changed or took back what it offered before it was taken",
    "page": "a burst goes over the end of a page",
    "burst": "a burst that does not increment, or not by the full width",
    "aligned": "an address in the middle of a beat",
    "length": f"a burst of more than {BEATS} beats",
    "range": "an address outside the port's range",
    "id": "another ID than 0",
    "ready": "a beat or a response is not taken at once",
}
"""What the model objects to, by name."""


class Axi4Error(CheckError):
    """A rule was broken."""

    def __init__(self, rule: str, port: int, clock: int, detail: str = "") -> None:
        super().__init__(f"{rule}: {RULES[rule]}", axi_port=port, axi_clock=clock, detail=detail)
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a memory behaves.

    Attributes
    ----------
    latency : int
        Clocks from an address that is taken to its first beat, if nothing stands in the way.
    refresh : tuple of int
        Of so many clocks it gives no beat in so many; the ports take turns.
    pauses : float
        Part of the clocks on which each channel pauses, by chance.
    failing : set of tuple of int
        Ports and words that are answered with SLVERR.
    surplus : tuple of int
        Clocks on which a port gives a beat that nobody asked for, if it has none to give.
    """

    latency: int = 8
    refresh: tuple[int, int] = (1, 0)
    pauses: float = 0
    failing: frozenset[tuple[int, int]] = frozenset()
    surplus: tuple[int, ...] = ()


@dataclass(slots=True)
class _Burst:
    due: int
    words: deque[int]


class Axi4Port:
    """One port.

    Parameters
    ----------
    memory : Axi4
    number : int
    behaviour : Behaviour
    words : dict
        Beats that it holds, by word.
    seed : int

    Attributes
    ----------
    given : int
        Beats given.
    """

    def __init__(
        self, memory: Axi4, number: int, behaviour: Behaviour, words: dict[int, int], seed: int
    ) -> None:
        self.memory = memory
        self.number = number
        self.behaviour = behaviour
        self.words = words
        self.given = 0
        self.clock = 0
        self._rng = random.Random(f"{seed}/{number}")
        self._reads: deque[_Burst] = deque()
        self._waiting: tuple[int, ...] | None = None  # an address that was not taken
        self._arready = False
        # What stands on R while there is no beat.
        self._garbage = {
            "rvalid": 0,
            "rid": 1,
            "rlast": self._rng.getrandbits(1),
            "rresp": Response.SLVERR,
            "rdata": self._rng.getrandbits(memory.data_bits),
        }

    def _moves(self) -> bool:
        pauses = self.behaviour.pauses
        return not pauses or self._rng.random() >= pauses

    def _refreshes(self) -> bool:
        period, length = self.behaviour.refresh
        turn = self.number * period // self.memory.ports
        return (self.clock + turn) % period < length

    def drive(self) -> dict[str, int]:
        """Return what the memory drives in this clock, by the signals' names."""
        self._arready = self._moves()
        return {"arready": int(self._arready), **(self._beat() or self._garbage)}

    def _beat(self) -> dict[str, int] | None:
        if self._reads and self._reads[0].due <= self.clock:
            if self._refreshes() or not self._moves():
                return None
            burst = self._reads[0]
            word = burst.words.popleft()
            if not burst.words:
                self._reads.popleft()
            self.given += 1
            failed = (self.number, word) in self.behaviour.failing
            return {
                "rvalid": 1,
                "rid": 0,
                "rlast": int(not burst.words),
                "rresp": Response.SLVERR if failed else Response.OKAY,
                "rdata": self.words.get(word, 0),
            }
        if not self._reads and self.clock in self.behaviour.surplus:
            return {"rvalid": 1, "rid": 0, "rlast": 1, "rresp": Response.OKAY, "rdata": 0}
        return None

    def sample(self, pin: Callable[[str], int]) -> None:
        """Take the edge that ends this clock; `pin` reads what the master drives."""
        if not pin("rready"):
            raise Axi4Error("ready", self.number, self.clock, "RREADY")
        names = ("arid", "araddr", "arlen", "arsize", "arburst")
        offered = tuple(map(pin, names)) if pin("arvalid") else None
        if self._waiting is not None and offered != self._waiting:
            raise Axi4Error("stable", self.number, self.clock, "AR")
        self._waiting = None
        if offered is not None:
            words = self._checked(*offered)
            if self._arready:
                due = self.clock + self.behaviour.latency
                self._reads.append(_Burst(due, deque(words)))
            else:
                self._waiting = offered
        self.clock += 1

    def _checked(
        self, identity: int, address: int, length: int, size: int, burst: int
    ) -> Iterable[int]:
        """Return the words of a burst that keeps to the rules."""
        bytes_, start = self.memory.beat_bytes, self.number * self.memory.spacing
        end = address + (length + 1) * bytes_ - 1
        for rule, broken in (
            ("id", identity != 0),
            ("burst", burst != Burst.INCR or 1 << size != bytes_),
            ("length", length >= BEATS),
            ("aligned", address % bytes_ != 0),
            ("page", address // BOUNDARY != end // BOUNDARY),
            ("range", not start <= address <= end < start + self.memory.port_bytes),
        ):
            if broken:
                detail = f"address {address:#x}, length {length}, size {size}, burst {burst}"
                raise Axi4Error(rule, self.number, self.clock, detail)
        first = (address - start) // bytes_
        return range(first, first + length + 1)

    def check(self) -> None:
        """Refuse a request whose beats have not all been given."""
        if self._reads:
            raise CheckError("beats still to come", axi_port=self.number)


@dataclass(slots=True)
class Axi4Beside:
    """The model on the ports of a unit under test; see `Case.beside`.

    Parameters
    ----------
    memory : Axi4
    behaviour : Behaviour
    words : dict
        What the memory holds when the case starts, by word: the beats of all ports.
    prefixes : tuple of str
        Names of the ports.
    seed : int
    """

    memory: Axi4
    behaviour: Behaviour
    words: Mapping[int, int]
    prefixes: tuple[str, ...]
    seed: int = 0
    ports: list[Axi4Port] = field(init=False)

    def __post_init__(self) -> None:
        bits = self.memory.data_bits
        self.ports = [
            Axi4Port(
                self.memory,
                number,
                self.behaviour,
                {at: word >> number * bits & (1 << bits) - 1 for at, word in self.words.items()},
                self.seed,
            )
            for number in range(self.memory.ports)
        ]

    def drive(self, engine: Engine) -> None:
        """Show the unit what the memory drives."""
        for prefix, port in zip(self.prefixes, self.ports, strict=True):
            for name, value in port.drive().items():
                engine.write(f"{prefix}__{name}", value)

    def sample(self, engine: Engine) -> None:
        """Take the edge that ends this clock."""
        for prefix, port in zip(self.prefixes, self.ports, strict=True):
            port.sample(lambda name, prefix=prefix: engine.read(f"{prefix}__{name}"))

    def check(self) -> None:
        """Refuse what is left over."""
        for port in self.ports:
            port.check()
