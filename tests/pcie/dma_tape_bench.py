"""DmaTape in the hands of a host, clock by clock: what `dma_tape_parts` is written in.

A host does its part as a coroutine that goes on once a clock has passed. Beside it reads are
answered, the chip's registers answer, and what must hold on every clock is watched.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import numpy as np
from amaranth import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.device.lent import laid_out, table_writes
from sterna.spec.dma import (
    BEATS_SHIFT,
    BLOCK_BYTES,
    BUSY,
    FIRST_REGISTER,
    PAGE_BYTES,
    RESULTS,
    THERE,
    DmaError,
    DmaRegister,
)
from sterna.spec.pcie import BEAT_BITS
from sterna.spec.registers import REGISTERS
from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit.player import CheckError, Engine
from sterna_sim.kit.stalls import pattern
from tests.chip.models import config_for
from tests.pcie.answers import Answers, Behaviour
from tests.pcie.request_rules import RequestRules

__all__ = [
    "CHIP",
    "CONFIG",
    "ERRORS",
    "RESULT_ADDRESSES",
    "Host",
    "HostBeside",
    "Memory",
    "Plain",
    "request",
]

CONFIG = config_for("ring")
PATIENCE = 200
ERRORS = (1 << len(DmaError)) - 1
RESULT_ADDRESSES = [REGISTERS[name].address for name in RESULTS]
CHIP = 7
"""A register of the chip's own."""


def request(write: int, number: int, data: int = 0) -> int:
    """Bits of a request for a register."""
    return write | number << 1 | data << 9


class Plain(wiring.Component):
    """The unit with its streams as plain ports; `o_done` is offered while `end` is up."""

    def __init__(self, width: int, unit: type[DmaTape] = DmaTape) -> None:
        self.unit = unit(CONFIG, width, PATIENCE)
        self.streams = {}
        members: dict[str, Any] = {"end": In(1), "o_done": Out(stream.Signature(1))}
        for name, member in self.unit.signature.members.items():
            if member.is_signature:
                bits = len(Value.cast(getattr(self.unit, name).payload))
                ports = {"payload": Out(bits), "valid": Out(1), "ready": In(1)}
                member = self.streams[name] = member.flow(wiring.Signature(ports))
            members[name] = member
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.comb += self.o_done.valid.eq(self.end)
        for name, member in unit.signature.members.items():
            inside, outside = getattr(unit, name), getattr(self, name)
            parts = [(inside, outside)]
            if member.is_signature:
                parts = [
                    (getattr(inside, part), getattr(outside, part)) for part in ("payload", "valid")
                ]
                back = (outside.ready, inside.ready)
                m.d.comb += back[0].eq(back[1]) if member.flow == In else back[1].eq(back[0])
            for mine, its in parts:
                mine = Value.cast(mine)
                m.d.comb += mine.eq(its) if member.flow == In else its.eq(mine)
        return m


class Memory:
    """Pages of a host that hold a tape; see `sterna.device.lent.Lent`."""

    def __init__(self, addresses: list[int], page_bytes: int = PAGE_BYTES) -> None:
        self.addresses, self.page_bytes = addresses, page_bytes
        self.pages: dict[int, bytes] = {}

    def fill(self, data: bytes) -> None:
        size = self.page_bytes
        self.pages = {
            address: data[n * size :][:size].ljust(PAGE_BYTES, b"\0")
            for n, address in enumerate(self.addresses)
        }

    def take(self, place: int) -> int:
        raise NotImplementedError


class _Clock:
    def __await__(self) -> Generator[None]:
        yield


class Host:
    """A host's side of the ports.

    Parameters
    ----------
    width : int
        Bits of a beat.
    seed : int
    stalled : bool
        Whether all that can wait does: words, requests, answers and their takers.

    Attributes
    ----------
    words : list of int
        Words of the tape since it began.
    passed : list of int
        Requests that came to the chip's registers, but for reads of results.
    refusing, holding, mute : bool
        The chip refuses what it is asked for; the block takes no requests; the chip gives no
        answers.
    results : deque of (int, int)
        Registers and words that are there.
    """

    def __init__(self, width: int, seed: int, stalled: bool) -> None:
        self.width, self.stalled = width, stalled
        self.rng = random.Random(f"dma tape {seed}")
        self.words, self.passed, self.time = [], [], 0
        self.refusing = self.holding = self.mute = False
        self.results: deque[tuple[int, int]] = deque()
        self.rules = RequestRules(width, 512, [])
        self.answers: Answers | None = None
        self.longest = 0  # bytes of the longest read so far
        self.steady = False  # a word that waits stays
        self.due = 0  # answers
        self.silent = True  # nothing may be asked for
        self.inputs = {"longest": 2, "space": CONFIG.ring_words}
        self.seen: dict[str, int] = {}
        self._waiting: deque[int] = deque()  # answers of the chip
        kinds = ("random", "random", "random", "random") if stalled else ["none"] * 4
        names = ("o_word", "o_request", "i_answer", "host")
        self._go = {
            name: pattern(kind, f"{seed} {name}") for name, kind in zip(names, kinds, strict=True)
        }
        self._held: int | None = None

    # What happens on each clock.

    def drive(self, engine: Engine) -> None:
        """Write the unit's inputs."""
        answers, rng = self.answers, self.rng
        beat = answers.beat() if answers else None
        self.inputs["rq__ready"] = int(bool(answers) and answers.moves() and not self.holding)
        self.inputs["rc__valid"] = int(beat is not None)
        self.inputs["rc__payload"] = self._beat(beat) if beat else rng.getrandbits(self.width)
        for name in ("o_word", "o_request"):
            self.inputs[f"{name}__ready"] = int(
                self._go[name](bool(self.seen.get(f"{name}__valid")))
            )
        if not self.inputs.get("i__valid"):
            self.inputs["i__payload"] = rng.getrandbits(41)
        if not self.inputs.get("i_answer__valid"):
            there = self._waiting and not self.mute and self._go["i_answer"](True)
            self.inputs["i_answer__valid"] = int(bool(there))
            self.inputs["i_answer__payload"] = (
                self._waiting.popleft() if there else rng.getrandbits(32)
            )
        self.inputs["i_refused"] = int(self.refusing)
        for name, value in self.inputs.items():
            engine.write(name, value)

    def sample(self, engine: Engine) -> None:
        """Look at the unit's outputs."""
        self.time += 1
        self.seen = {name: engine.read(name) for name in _OUTPUTS}
        if self.answers:
            for tag in self.answers.finished:
                self.rules.waiting.pop(tag, None)
            self.answers.finished.clear()
        assert self.seen["rc__ready"], "an answer has to wait"
        self._requests()
        self._registers()
        self._words()

    def _requests(self) -> None:
        rq, words = self.seen["rq__payload"], self.width // 32
        keep, last, user = (rq >> self.width + n for n in (0, words, words + 1))
        beat = rq & (1 << self.width) - 1, keep & (1 << words) - 1, last & 1, user
        valid = self.seen["rq__valid"]
        assert not (valid and self.silent), "asks though it was idle"
        asked = self.rules.clock(valid, self.inputs["rq__ready"], *beat)
        if asked and self.answers:
            self.longest = max(self.longest, asked.bytes)
            self.answers.ask(asked)

    def _registers(self) -> None:
        seen, inputs = self.seen, self.inputs
        if seen["o_request__valid"] and inputs["o_request__ready"]:
            self._chip(seen["o_request__payload"])
        if inputs["i_answer__valid"] and seen["i_answer__ready"]:
            inputs["i_answer__valid"] = 0
        taken = inputs.get("i__valid") and seen["i__ready"]
        if taken:
            own = inputs["i__payload"] >> 1 & 0xFF >= FIRST_REGISTER
            assert seen["refused"] == (self.refusing and not own), "refused"
        assert self.due or not seen["o__valid"], "an answer too many"
        self.due += bool(taken and not inputs["i__payload"] & 1)
        self.due -= bool(seen["o__valid"] and inputs.get("o__ready"))

    def _chip(self, asked: int) -> None:
        number = asked >> 1 & 0xFF
        assert number < FIRST_REGISTER, "the chip is asked for what is none of its registers"
        if number in RESULT_ADDRESSES and not asked & 1:
            there = self.results and self.results[0][0] == number
            self._waiting.append(self.results.popleft()[1] if there else 0)
            return
        self.passed.append(asked)
        if not asked & 1:
            self._waiting.append(self.answer(number))

    @staticmethod
    def answer(number: int) -> int:
        """What a register of the chip reads as."""
        return number * 0x01020305 & 0x7FFFFFFF

    def _words(self) -> None:
        valid, word = self.seen["o_word__valid"], self.seen["o_word__payload"]
        if self._held is not None and self.steady:
            assert (valid, word) == (1, self._held), "a word that waited is gone"
        moves = valid and self.inputs["o_word__ready"]
        self._held = word if valid and not moves else None
        if moves:
            self.words.append(word)

    def _beat(self, beat: dict[str, int]) -> int:
        """Bits of a beat."""
        words = self.width // 32
        places = {"data": 0, "keep": self.width, "last": self.width + words}
        places["user"] = places["last"] + 1
        return sum(beat[name] << place for name, place in places.items())

    # What a part is made of.

    def lend(self, tape: list[int], memory: Memory, ring: Memory | None = None, **behaviour):
        """Put a tape into memory, answer in some way from now on; return the writes that say so."""
        pieces = [
            [word >> 32 * n & 0xFFFFFFFF for n in range(-(-CONFIG.word_bits // 32))]
            for word in tape
        ]
        data = laid_out(np.array(pieces, dtype="<u4"), self.width)
        memory.fill(data)
        if self.stalled:
            behaviour = {"pauses": 0.2, "shuffle": True, "cut": 0.2} | behaviour
        self.answers = Answers(self.width, memory.pages, Behaviour(**behaviour), self.rng.random())
        self.rules.pages = [(page, len(part)) for page, part in memory.pages.items()]
        self.rules.waiting.clear()
        self.rules.writable = [(page, PAGE_BYTES) for page in (ring.addresses if ring else ())]
        return [(int(n), word) for n, word in table_writes(memory, len(data), ring)]

    def beats(self, blocks: int) -> int:
        """Beats of the answers to so many blocks, in packets of 256 bytes and what is left."""
        size, packet = blocks * BLOCK_BYTES, 256
        sizes = [min(packet, size - at) for at in range(0, size, packet)]
        return sum(-(-(96 + 8 * part) // self.width) for part in sizes)

    async def clocks(self, count: int) -> None:
        for _ in range(count):
            await _Clock()

    async def come(self, count: int) -> None:
        """Wait for so many words."""
        for _ in range(40 * count + 8000):
            if len(self.words) >= count:
                return
            await self.clocks(1)
        raise AssertionError(f"{len(self.words)} words of {count}")

    async def _request(self, write: int, number: int, data: int) -> None:
        while not self._go["host"](True):
            await self.clocks(1)
        self.inputs |= {"i__payload": request(write, number, data), "i__valid": 1}
        for _ in range(400):
            await self.clocks(1)
            if self.seen["i__ready"]:
                break
        else:
            raise AssertionError("a request is not taken")
        self.inputs["i__valid"] = 0

    async def write(self, *writes: tuple[int, int]) -> None:
        for number, data in writes:
            if (number, data & 1) == (DmaRegister.RUN, 1):
                self.silent = False
            await self._request(1, number, data)

    async def ask(self, number: int) -> None:
        """Ask for a register, and leave it at that."""
        await self._request(0, number, 0)

    async def take(self) -> int:
        """Take an answer, on the next clock or later."""
        shown = None
        for _ in range(400):
            ready = int(self._go["host"](shown is not None))
            self.inputs["o__ready"] = ready
            await self.clocks(1)
            word = self.seen["o__payload"] if self.seen["o__valid"] else None
            assert shown in (None, word), "an answer that waited is another"
            shown = word
            if ready and word is not None:
                self.inputs["o__ready"] = 0
                return word
        raise AssertionError("no answer")

    async def read(self, number: int) -> int:
        await self.ask(number)
        asked = self.time
        word = await self.take()
        own = number >= FIRST_REGISTER
        assert not own or self.stalled or self.time == asked + 1, "no answer on the next clock"
        return word

    async def idle(self) -> int:
        """Wait until nothing is on its way; return what else STATUS says."""
        for _ in range(400):
            status = await self.read(DmaRegister.STATUS)
            if not status & BUSY:
                assert status & THERE
                assert BEAT_BITS[status >> BEATS_SHIFT & 3] == self.width
                assert status & ~(3 << BEATS_SHIFT | THERE) == status & ERRORS
                return status & ERRORS
        raise AssertionError("busy for ever")

    async def stop(self) -> int:
        """Clear RUN and wait; from then on nothing may be asked for. Return the errors."""
        await self.write((DmaRegister.RUN, self.rng.getrandbits(31) << 1))
        errors = await self.idle()
        assert not self.rules.words, "idle within a packet"
        self.silent = True
        return errors

    async def look(self) -> None:
        """Read STATUS once; if it says that the unit is idle, it must be."""
        self.silent = not await self.read(DmaRegister.STATUS) & BUSY

    async def reset_chip(self) -> None:
        """Reset the chip, which then gives none of its answers; the tape is no longer read."""
        self.inputs["clear"] = 1
        await self.clocks(1)
        self.inputs["clear"] = 0
        self._waiting.clear()
        self.results.clear()
        self.inputs["i_answer__valid"] = 0
        assert await self.read(DmaRegister.RUN) == 0
        assert await self.idle() == 0
        self.silent = True

    async def fails(self, error: DmaError) -> None:
        """Wait for an error, and for the end of what is on its way."""
        for _ in range(1000):
            if await self.read(DmaRegister.STATUS) & ERRORS:
                assert await self.idle() == 1 << error
                return
        raise AssertionError("no error")

    async def restart(self) -> None:
        self.inputs["restart"] = 1
        self.steady = False
        await self.clocks(1)
        self.inputs["restart"] = 0
        self.words.clear()

    def begins(self, tape: list[int]) -> None:
        """What came, if anything, is the tape from its beginning, round and round."""
        expected = [tape[n % len(tape)] for n in range(len(self.words))]
        assert self.words == expected, "another tape"


class HostBeside:
    """Plays a part of a host; see `Case.beside`."""

    def __init__(
        self,
        part: Callable[[Host], Coroutine[Any, Any, None]],
        width: int,
        seed: int,
        stalled: bool,
    ) -> None:
        self.host = Host(width, seed, stalled)
        self.part, self.begun = part, None
        self.done = False

    def drive(self, engine: Engine) -> None:
        self.host.drive(engine)

    def sample(self, engine: Engine) -> None:
        host = self.host
        try:
            host.sample(engine)
            host.inputs["end"] = 0
            if self.begun is None:
                self.begun = self.part(host)
            if not self.done:
                self.begun.send(None)
        except StopIteration:
            self.done = True
            host.inputs["end"] = 1
        except AssertionError as error:
            raise CheckError(str(error), at=host.time) from error

    def check(self) -> None:
        """A part ends before its case does."""


_OUTPUTS = (
    "rq__payload", "rq__valid", "rc__ready", "o_request__payload", "o_request__valid",
    "i_answer__ready", "i__ready", "o__payload", "o__valid", "refused",
    "o_word__payload", "o_word__valid",
)  # fmt: skip
