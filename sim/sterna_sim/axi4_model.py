"""A memory behind AXI4 ports: it answers late, pauses and refreshes, and objects to what is wrong.

Written from the AXI4 rules, not from the master. Beyond them it wants what ours promises: full
bursts' width, one ID, and RREADY and BREADY that never fall.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sterna.spec.axi4 import BEATS, BOUNDARY, Axi4, Burst, Response

from .kit.player import CheckError, Engine

__all__ = ["RULES", "Axi4Beside", "Axi4Error", "Behaviour", "ReadPort", "WritePort"]

RULES = {
    "stable": "a channel changed or took back what it offered before it was taken",
    "page": "a burst goes over the end of a page",
    "burst": "a burst that does not increment, or not by the full width",
    "aligned": "an address in the middle of a beat",
    "length": f"a burst of more than {BEATS} beats",
    "range": "an address outside the port's range",
    "id": "another ID than 0",
    "ready": "a beat or a response is not taken at once",
    "last": "WLAST that is not on the last beat of its burst",
    "strobe": "a beat that leaves out bytes",
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
    late_reads, late_writes : tuple of int
        Clocks more than that of each port, for beats and for answers to writes.
    refresh : tuple of int
        Of so many clocks it gives no beat in so many; the ports take turns.
    pace : tuple of int
        A port gives at most so many beats in so many clocks: 3 in 4 if the memory has half the
        port's width and 1.5 times its clock, and a crossing joins two of its beats.
    pauses : float
        Part of the clocks on which each channel pauses, by chance.
    failing : set of tuple of int
        Ports and words that are answered with SLVERR.
    surplus : tuple of int
        Clocks on which a port gives a beat that nobody asked for, if it has none to give.
    """

    latency: int = 8
    late_reads: tuple[int, ...] = ()
    late_writes: tuple[int, ...] = ()
    refresh: tuple[int, int] = (1, 0)
    pace: tuple[int, int] = (1, 1)
    pauses: float = 0
    failing: frozenset[tuple[int, int]] = frozenset()
    surplus: tuple[int, ...] = ()

    @property
    def rate(self) -> float:
        """Words of the memory a clock, its refreshes in them."""
        beats, of = self.pace
        period, rest = self.refresh
        return beats / of * (1 - rest / period)


Pin = Callable[[str], int]
"""Reads what the master drives, by the signal's name."""

_ADDRESS = ("id", "addr", "len", "size", "burst")


class _Port:
    """What both directions of a port have in common.

    Parameters
    ----------
    memory : Axi4
    number : int
    behaviour : Behaviour
    words : dict
        Beats that it holds, by word.
    seed : int
    """

    def __init__(
        self, memory: Axi4, number: int, behaviour: Behaviour, words: dict[int, int], seed: int = 0
    ) -> None:
        self.memory = memory
        self.number = number
        self.behaviour = behaviour
        self.words = words
        self.clock = 0
        self._rng = random.Random(f"{type(self).__name__} {seed}/{number}")
        self._waiting: dict[str, tuple[int, ...] | None] = {}  # what was not taken, by channel

    def _late(self, clocks: Sequence[int]) -> int:
        return self.behaviour.latency + (clocks[self.number] if clocks else 0)

    def _moves(self) -> bool:
        pauses = self.behaviour.pauses
        return not pauses or self._rng.random() >= pauses

    def _refreshes(self) -> bool:
        period, length = self.behaviour.refresh
        turn = self.number * period // self.memory.ports
        return (self.clock + turn) % period < length

    def _response(self, word: int) -> Response:
        failed = (self.number, word) in self.behaviour.failing
        return Response.SLVERR if failed else Response.OKAY

    def _object(self, rule: str, detail: str) -> None:
        raise Axi4Error(rule, self.number, self.clock, detail)

    def _offered(
        self, channel: str, names: Sequence[str], taken: bool, pin: Pin
    ) -> tuple[int, ...] | None:
        """Return what the master gives on a channel in this clock."""
        offered = None
        if pin(f"{channel}valid"):
            offered = tuple(pin(f"{channel}{name}") for name in names)
        waiting = self._waiting.get(channel)
        if waiting is not None and offered != waiting:
            self._object("stable", channel.upper())
        self._waiting[channel] = None if taken else offered
        return offered if taken else None

    def _burst(self, identity: int, address: int, length: int, size: int, burst: int) -> deque[int]:
        """Return the words of a burst that keeps to the rules."""
        beat, start = self.memory.beat_bytes, self.number * self.memory.spacing
        end = address + (length + 1) * beat - 1
        for rule, broken in (
            ("id", identity != 0),
            ("burst", burst != Burst.INCR or 1 << size != beat),
            ("length", length >= BEATS),
            ("aligned", address % beat != 0),
            ("page", address // BOUNDARY != end // BOUNDARY),
            ("range", not start <= address <= end < start + self.memory.port_bytes),
        ):
            if broken:
                self._object(rule, f"address {address:#x}, {length}, size {size}, burst {burst}")
        first = (address - start) // beat
        return deque(range(first, first + length + 1))


class ReadPort(_Port):
    """AR and R of a port; for the parameters see `_Port`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._latency = self._late(self.behaviour.late_reads)
        self._arready = False
        self._credit = 0
        self._bursts: deque[tuple[int, deque[int]]] = deque()  # when due, and words left
        # What stands on R while there is no beat.
        self._garbage = {
            "rvalid": 0,
            "rid": 1,
            "rlast": self._rng.getrandbits(1),
            "rresp": Response.SLVERR,
            "rdata": self._rng.getrandbits(self.memory.data_bits),
        }

    def drive(self) -> dict[str, int]:
        """Return what the memory drives in this clock, by the signals' names."""
        self._arready = self._moves()
        beats, clocks = self.behaviour.pace
        if not self._refreshes():
            self._credit = min(self._credit + beats, beats + clocks - 1)
        return {"arready": int(self._arready), **(self._beat() or self._garbage)}

    def _beat(self) -> dict[str, int] | None:
        if self._bursts and self._bursts[0][0] <= self.clock:
            clocks = self.behaviour.pace[1]
            if self._credit < clocks or self._refreshes() or not self._moves():
                return None
            self._credit -= clocks
            words = self._bursts[0][1]
            word = words.popleft()
            if not words:
                self._bursts.popleft()
            return {
                "rvalid": 1,
                "rid": 0,
                "rlast": int(not words),
                "rresp": self._response(word),
                "rdata": self.words.get(word, 0),
            }
        if not self._bursts and self.clock in self.behaviour.surplus:
            return {"rvalid": 1, "rid": 0, "rlast": 1, "rresp": Response.OKAY, "rdata": 0}
        return None

    def sample(self, pin: Pin) -> None:
        """Take the edge that ends this clock; `pin` reads what the master drives."""
        if not pin("rready"):
            self._object("ready", "RREADY")
        address = self._offered("ar", _ADDRESS, self._arready, pin)
        if address is not None:
            self._bursts.append((self.clock + self._latency, self._burst(*address)))
        self.clock += 1

    def check(self) -> None:
        """Refuse a burst whose beats have not all been given."""
        if self._bursts:
            raise CheckError("beats still to come", axi_port=self.number)


class WritePort(_Port):
    """AW, W and B of a port; for the parameters see `_Port`.

    What is written can be read once it has been answered, not before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._latency = self._late(self.behaviour.late_writes)
        self._awready = self._wready = False
        self._bursts: deque[deque[int]] = deque()
        self._beats: deque[tuple[int, ...]] = deque()
        # When due, which, and what is written then.
        self._responses: deque[tuple[int, Response, dict[int, int]]] = deque()

    def drive(self) -> dict[str, int]:
        """Return what the memory drives in this clock, by the signals' names."""
        self._awready, self._wready = self._moves(), self._moves() and not self._refreshes()
        shown = {"awready": int(self._awready), "wready": int(self._wready)}
        if self._responses and self._responses[0][0] <= self.clock and self._moves():
            _, response, words = self._responses.popleft()
            self.words.update(words)
            return shown | {"bvalid": 1, "bid": 0, "bresp": response}
        return shown | {"bvalid": 0, "bid": 1, "bresp": Response.SLVERR}

    def sample(self, pin: Pin) -> None:
        """Take the edge that ends this clock; `pin` reads what the master drives."""
        if not pin("bready"):
            self._object("ready", "BREADY")
        address = self._offered("aw", _ADDRESS, self._awready, pin)
        if address is not None:
            self._bursts.append(self._burst(*address))
        beat = self._offered("w", ("data", "strb", "last"), self._wready, pin)
        if beat is not None:
            self._beats.append(beat)
        if self._bursts and len(self._beats) >= len(self._bursts[0]):
            self._store(self._bursts.popleft())
        self.clock += 1

    def _store(self, words: Sequence[int]) -> None:
        worst, stored = Response.OKAY, {}
        for word in words:
            data, strobe, last = self._beats.popleft()
            if strobe != (1 << self.memory.beat_bytes) - 1:
                self._object("strobe", f"word {word}, {strobe:#x}")
            if last != (word == words[-1]):
                self._object("last", f"word {word}")
            response = self._response(word)
            if response is Response.OKAY:
                stored[word] = data
            worst = max(worst, response)
        self._responses.append((self.clock + self._latency, worst, stored))

    def check(self) -> None:
        """Refuse a burst that is not complete, and a beat without one."""
        if self._bursts or self._beats or self._responses:
            raise CheckError("a write is not complete", axi_port=self.number)


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
    kinds : tuple of type
        Channels that the ports have: `ReadPort`, `WritePort`.
    expected : dict, optional
        What it must hold when the case ends.
    """

    memory: Axi4
    behaviour: Behaviour
    words: Mapping[int, int]
    prefixes: tuple[str, ...]
    kinds: tuple[type[ReadPort | WritePort], ...] = (ReadPort,)
    expected: Mapping[int, int] | None = None
    ports: list[tuple[str, ReadPort | WritePort]] = field(init=False, default_factory=list)
    held: list[dict[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.held = [self._of_port(self.words, number) for number in range(self.memory.ports)]
        for number, prefix in enumerate(self.prefixes):
            for kind in self.kinds:
                port = kind(self.memory, number, self.behaviour, self.held[number])
                self.ports.append((prefix, port))

    def _of_port(self, words: Mapping[int, int], number: int) -> dict[int, int]:
        bits = self.memory.data_bits
        return {at: word >> number * bits & (1 << bits) - 1 for at, word in words.items()}

    def drive(self, engine: Engine) -> None:
        """Show the unit what the memory drives."""
        for prefix, port in self.ports:
            for name, value in port.drive().items():
                engine.write(f"{prefix}__{name}", value)

    def sample(self, engine: Engine) -> None:
        """Take the edge that ends this clock."""
        for prefix, port in self.ports:
            port.sample(lambda name, prefix=prefix: engine.read(f"{prefix}__{name}"))

    def check(self) -> None:
        """Refuse what is left over, and words that are not as expected."""
        for _, port in self.ports:
            port.check()
        if self.expected is not None:
            for number, held in enumerate(self.held):
                for at, expected in self._of_port(self.expected, number).items():
                    if held.get(at, 0) != expected:
                        raise CheckError(
                            "wrong word in the memory",
                            axi_port=number,
                            index=at,
                            expected=expected,
                            got=held.get(at, 0),
                        )
