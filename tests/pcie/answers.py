"""A host that answers reads on RC: late, in any order, cut, paused, and with all that goes wrong.

Written from the block's description and the PCIe rules, without the layouts of the gateware.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from sterna_sim.kit.player import CheckError, Engine
from tests.pcie.host import pack_beats
from tests.pcie.request_rules import Asked, RequestRules
from tests.pcie.rules import ProtocolError

__all__ = ["FAULTS", "Answers", "AnswersBeside", "Behaviour"]

FAULTS = {
    "unsupported": "FAILED",
    "aborted": "FAILED",
    "refused, says the block": "FAILED",
    "poisoned": "DAMAGED",
    "poisoned, says the block": "DAMAGED",
    "damaged": "DAMAGED",
    "another's, says the block": "MALFORMED",
    "short": "MALFORMED",
    "long": "MALFORMED",
    "without data": "MALFORMED",
    "odd words": "MALFORMED",
    "too many words": "MALFORMED",
    "another count": "MALFORMED",
    "another address": "MALFORMED",
    "late, says the block": "TIMEOUT",
    "lost": "TIMEOUT",
    "late": "TIMEOUT",
    "unsupported and poisoned": "FAILED",
    "unsupported, late says the block": "FAILED",
    "poisoned, late says the block": "DAMAGED",
}
"""What may be wrong with the answer to a read, and what a device must call it."""

_EMPTY = {
    "unsupported": {"status": 1},
    "aborted": {"status": 4},
    "refused, says the block": {"error": 2},
    "unsupported and poisoned": {"status": 1, "poisoned": 1},
    "unsupported, late says the block": {"status": 1, "error": 9},
    "poisoned, late says the block": {"poisoned": 1, "error": 9},
    "late, says the block": {"error": 9},
    "without data": {},
}
"""Answers that are a descriptor alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a host answers.

    Attributes
    ----------
    latency : int
        Clocks from a read to the first beat of its answer, if nothing stands in the way.
    shuffle : bool
        Of all answers that are due one is chosen by chance; else the oldest.
    boundary : int
        Bytes at whose multiples answers may be cut: 64 or 128.
    payload : int
        Most bytes of a packet.
    cut : float
        Part of the boundaries at which an answer is cut without need.
    pauses : float
        Part of the clocks on which each stream pauses.
    faults : dict
        By the number of a read, from 0 on: what is wrong with its answer, of `FAULTS`.
    late : int
        Clocks after which an answer comes that is late.
    """

    latency: int = 8
    shuffle: bool = False
    boundary: int = 64
    payload: int = 256
    cut: float = 0
    pauses: float = 0
    faults: Mapping[int, str] = field(default_factory=dict)
    late: int = 390


class Answers:
    """Makes packets of answers.

    Parameters
    ----------
    width : int
        Bits of a beat.
    memory : dict
        Bytes by the address of their page, each as long as that.
    behaviour : Behaviour
    seed : int
    """

    def __init__(
        self, width: int, memory: Mapping[int, bytes], behaviour: Behaviour, seed: int = 0
    ) -> None:
        self.width = width
        self.memory = memory
        self.behaviour = behaviour
        self.rng = random.Random(f"answers {seed}")
        self.clock = 0
        self.reads = 0
        self.finished: list[int] = []  # tags of reads that have been answered
        # When the first packet of a read is due, its tag, and its packets.
        self._due: list[tuple[int, int, deque[list[dict[str, int]]]]] = []
        self._beats: deque[dict[str, int]] = deque()

    def ask(self, asked: Asked) -> None:
        """Take a read."""
        fault = self.behaviour.faults.get(self.reads)
        self.reads += 1
        after = self.behaviour.late if fault == "late" else self.behaviour.latency
        if fault != "lost":
            packets = deque(self._packets(asked, fault))
            self._due.append((self.clock + after, asked.tag, packets))

    def moves(self) -> bool:
        """Whether a stream moves on this clock."""
        pauses = self.behaviour.pauses
        return not pauses or self.rng.random() >= pauses

    def beat(self) -> dict[str, int] | None:
        """Return the beat of this clock, if there is one, and go on to the next clock."""
        self.clock += 1
        if not self.moves():
            return None
        if not self._beats:
            due = [entry for entry in self._due if entry[0] < self.clock]
            if not due:
                return None
            entry = self.rng.choice(due) if self.behaviour.shuffle else due[0]
            self._beats.extend(entry[2].popleft())
            if not entry[2]:
                self._due.remove(entry)
                self.finished.append(entry[1])
        return self._beats.popleft()

    def _packets(self, asked: Asked, fault: str | None) -> list[list[dict[str, int]]]:
        """Return the beats of each packet that answers a read."""
        data, packets, come = self._read(asked.address, asked.bytes), [], 0
        if fault in _EMPTY:
            return [self._packet(asked, 0, asked.bytes, b"", **_EMPTY[fault])]
        while come < asked.bytes:
            size = self._size(asked.address + come, asked.bytes - come)
            packets.append((come, data[come : come + size]))
            come += size
        made = [self._packet(asked, at, asked.bytes - at, part) for at, part in packets]
        if fault and fault != "late":
            which = self.rng.randrange(len(packets))
            at, part = packets[which]
            made[which] = self._wrong(asked, at, part, fault)
        return made

    def _wrong(self, asked: Asked, at: int, part: bytes, fault: str) -> list[dict[str, int]]:
        left = asked.bytes - at
        if fault == "poisoned, says the block":
            return self._packet(asked, at, left, part, error=1)
        if fault == "another's, says the block":
            return self._packet(asked, at, left, part, error=self.rng.choice((3, 4, 5, 6, 8)))
        if fault == "poisoned":
            return self._packet(asked, at, left, part, poisoned=1)
        if fault == "damaged":
            return self._packet(asked, at, left, part, damaged=True)
        if fault == "odd words":
            return self._packet(asked, at, left, part + bytes(4))
        if fault == "too many words":
            return self._packet(asked, at, left, part + bytes(left))
        if fault == "another count":
            return self._packet(asked, at, left ^ 1 << self.rng.randrange(13), part)
        if fault == "another address":
            return self._packet(asked, at ^ 1 << self.rng.randrange(7), left, part)
        beats = self._packet(asked, at, left, part)
        if fault == "short":
            beats[-2]["last"] = 1
            return beats[:-1]
        assert fault == "long"
        return [*({**beat, "last": 0} for beat in beats), beats[-1]]

    def _size(self, address: int, left: int) -> int:
        """Bytes of the packet that begins at an address: up to some boundary, or all."""
        behaviour = self.behaviour
        most = min(left, behaviour.payload)
        if most < left:
            most -= (address + most) % behaviour.boundary
        first = behaviour.boundary - address % behaviour.boundary
        for size in range(first, most, behaviour.boundary):
            if behaviour.cut and self.rng.random() < behaviour.cut:
                return size
        return most

    def _read(self, address: int, size: int) -> bytes:
        for page, data in self.memory.items():
            if page <= address < page + len(data):
                return data[address - page : address - page + size]
        return bytes(size)

    def _packet(
        self, asked: Asked, at: int, left: int, data: bytes, *,
        status=0, error=0, poisoned=0, damaged=False,
    ) -> list[dict[str, int]]:  # fmt: skip
        done = at + len(data) == asked.bytes or status != 0
        # A completion says no more than seven bits of the address.
        words = [
            asked.address + at & 0x7F | error << 12 | left << 16 | done << 30,
            len(data) // 4 | status << 11 | poisoned << 14 | self.rng.getrandbits(16) << 16,
            asked.tag | self.rng.getrandbits(16) << 8,
            *(int.from_bytes(data[n : n + 4], "little") for n in range(0, len(data), 4)),
        ]
        bit = 96 if self.width == 512 else 42
        noise = self.rng.getrandbits(32)
        return pack_beats(self.width, words, noise, damaged << bit)


class AnswersBeside:
    """The host on the plain ports of a unit under test; see `Case.beside`.

    Parameters
    ----------
    width : int
        Bits of a beat.
    longest : int
        Bytes of the longest read that is allowed.
    memory : dict
        See `Answers`; nothing else may be read.
    behaviour : Behaviour
    reads : int, optional
        So many must have been asked for at the end.
    seed : int
    """

    def __init__(
        self,
        width: int,
        longest: int,
        memory: Mapping[int, bytes],
        behaviour: Behaviour,
        reads: int | None = None,
        seed: int = 0,
    ) -> None:
        pages = [(page, len(data)) for page, data in memory.items()]
        self.rules = RequestRules(width, longest, pages)
        self.answers = Answers(width, memory, behaviour, seed)
        self.reads = reads
        self.ready = False
        # Whether each answer is whole, or ends with what is wrong with it.
        self.whole = set(behaviour.faults.values()) <= set(_EMPTY)

    def drive(self, engine: Engine) -> None:
        """Show the unit what the host drives."""
        self.ready = self.answers.moves()
        engine.write("rq_ready", int(self.ready))
        beat = self.answers.beat()
        engine.write("rc_valid", int(beat is not None))
        rng = self.answers.rng
        width = self.answers.width
        garbage = {"data": rng.getrandbits(width), "keep": 1, "last": rng.getrandbits(1), "user": 0}
        for name, value in (beat or garbage).items():
            engine.write(f"rc_{name}", value)
        # A tag may be used again once the last packet has begun: nothing of the read comes then.
        for tag in self.answers.finished:
            del self.rules.waiting[tag]
        self.answers.finished.clear()

    def sample(self, engine: Engine) -> None:
        """Take the edge that ends this clock."""
        names = ("valid", "data", "keep", "last", "user")
        valid, *beat = (engine.read(f"rq_{name}") for name in names)
        try:
            asked = self.rules.clock(valid, self.ready, *beat)
        except ProtocolError as error:
            raise CheckError(f"a rule was broken: {error}") from error
        if engine.read("idle") and self.rules.waiting and self.whole:
            raise CheckError("idle while an answer is on its way")
        if asked:
            self.answers.ask(asked)

    def check(self) -> None:
        """Refuse a number of reads that is not as expected."""
        if self.reads is not None and self.answers.reads != self.reads:
            raise CheckError("another number of reads", expected=self.reads, got=self.answers.reads)
