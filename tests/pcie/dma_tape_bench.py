"""DmaTape in the hands of a host, clock by clock, in any simulator; what `test_dma_tape` plays."""

from __future__ import annotations

import random
from collections import deque

import numpy as np

from sterna.device.lent import laid_out, table_writes
from sterna.spec.dma import (
    BEATS_SHIFT,
    BLOCK_BYTES,
    BUSY,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    REQUEST_BLOCKS,
    RESULTS,
    THERE,
    DmaError,
    DmaRegister,
)
from sterna.spec.pcie import BEAT_BITS
from sterna.spec.registers import REGISTERS, VALID
from sterna_sim.kit.bench import default_seed
from tests.chip.models import config_for
from tests.pcie.answers import Answers, Behaviour
from tests.pcie.request_rules import RequestRules

__all__ = ["CONFIG", "PATIENCE", "WIDTH", "Bench", "scenario"]

CONFIG = config_for("ring")
PATIENCE = 200
LATENCY = 30
WIDTH = 256  # of what is simulated as Verilog too
ERRORS = (1 << len(DmaError)) - 1
RESULT_ADDRESSES = [REGISTERS[name].address for name in RESULTS]
CHIP = 7  # a register of the chip's own


def request(write, number, data=0):
    """Bits of a request for a register."""
    return write | number << 1 | data << 9


class Memory:
    """Pages of a host that hold a tape; see `sterna.device.lent.Lent`."""

    def __init__(self, addresses, page_bytes=PAGE_BYTES):
        self.addresses, self.page_bytes = addresses, page_bytes

    def fill(self, data):
        size = self.page_bytes
        self.pages = {
            address: data[n * size :][:size].ljust(PAGE_BYTES, b"\0")
            for n, address in enumerate(self.addresses)
        }


class Bench:
    """A host's side of the ports, clock by clock."""

    def __init__(self, engine, width):
        self.engine, self.width = engine, width
        self.rng = random.Random(f"dma tape {default_seed()}")
        self.words, self.passed, self.time = [], [], 0
        self.holding = False  # the block takes no requests
        self.results: deque[tuple[int, int]] = deque()  # registers and words that are there
        self.rules, self.answers = RequestRules(width, 512, []), None
        engine.write("longest", 2)
        engine.write("o_word__ready", 1)
        engine.write("o_request__ready", 1)
        engine.write("space", CONFIG.ring_words)

    def lend(self, tape, memory, ring=None, **behaviour):
        """Put a tape into memory, and answer in some way from now on."""
        pieces = [[word >> 32 * n & 0xFFFFFFFF for n in range(-(-CONFIG.word_bits // 32))]
                  for word in tape]  # fmt: skip
        data = laid_out(np.array(pieces, dtype="<u4"), self.width)
        memory.fill(data)
        self.answers = Answers(self.width, memory.pages, Behaviour(**behaviour), self.rng.random())
        self.rules.pages = [(page, len(part)) for page, part in memory.pages.items()]
        self.rules.waiting.clear()
        self.rules.writable = [(page, PAGE_BYTES) for page in (ring.addresses if ring else ())]
        return [(int(n), word) for n, word in table_writes(memory, len(data), ring)]

    async def clock(self):
        """Play a clock."""
        engine, answers = self.engine, self.answers
        ready = answers.moves() and not self.holding if answers else 0
        beat = answers.beat() if answers else None
        engine.write("rq__ready", int(ready))
        engine.write("rc__valid", int(beat is not None))
        engine.write("rc__payload", self._beat(beat) if beat else self.rng.getrandbits(self.width))
        if answers:
            for tag in answers.finished:
                self.rules.waiting.pop(tag, None)
            answers.finished.clear()
        await engine.settle()
        self.time += 1
        rq, words = engine.read("rq__payload"), self.width // 32
        keep, last, user = (rq >> self.width + n for n in (0, words, words + 1))
        request = rq & (1 << self.width) - 1, keep & (1 << words) - 1, last & 1, user
        asked = self.rules.clock(engine.read("rq__valid"), ready, *request)
        if asked:
            answers.ask(asked)
        if engine.read("o_word__valid"):
            self.words.append(engine.read("o_word__payload"))
        taken = engine.read("o_request__valid") and engine.read("o_request__payload")
        answered = engine.read("i_answer__ready")
        await engine.clock()
        if taken and taken >> 1 & 0xFF in RESULT_ADDRESSES and not taken & 1:
            there = self.results and self.results[0][0] == taken >> 1 & 0xFF
            engine.write("i_answer__payload", self.results.popleft()[1] if there else 0)
            engine.write("i_answer__valid", 1)
        elif taken:
            self.passed.append(taken)
        elif answered:
            engine.write("i_answer__valid", 0)

    def _beat(self, beat):
        """Bits of a beat."""
        words = self.width // 32
        places = {"data": 0, "keep": self.width, "last": self.width + words}
        places["user"] = places["last"] + 1
        return sum(beat[name] << place for name, place in places.items())

    def beats(self, blocks):
        """Beats of the answers to so many blocks, in packets of 256 bytes and what is left."""
        size, packet = blocks * BLOCK_BYTES, 256
        sizes = [min(packet, size - at) for at in range(0, size, packet)]
        return sum(-(-(96 + 8 * part) // self.width) for part in sizes)

    async def clocks(self, count):
        for _ in range(count):
            await self.clock()

    async def come(self, count):
        """Wait for so many words."""
        for _ in range(4000):
            if len(self.words) >= count:
                return
            await self.clock()
        raise AssertionError(f"{len(self.words)} words of {count}")

    async def _request(self, write, number, data=0):
        engine = self.engine
        engine.write("i__payload", request(write, number, data))
        engine.write("i__valid", 1)
        for _ in range(100):
            await engine.settle()
            if engine.read("i__ready"):
                break
            await self.clock()
        else:
            raise AssertionError("a request is not taken")
        await self.clock()
        engine.write("i__valid", 0)

    async def write(self, *writes):
        for number, data in writes:
            await self._request(1, number, data)

    async def read(self, number):
        await self._request(0, number)
        engine = self.engine
        assert engine.read("o__valid"), "no answer on the next clock"
        word = engine.read("o__payload")
        engine.write("o__ready", 1)
        await self.clock()
        engine.write("o__ready", 0)
        assert not engine.read("o__valid"), "an answer too many"
        return word

    async def idle(self):
        """Wait until nothing is on its way; return what else STATUS says."""
        for _ in range(200):
            status = await self.read(DmaRegister.STATUS)
            if not status & BUSY:
                width = status >> BEATS_SHIFT & 3
                assert status & THERE
                assert BEAT_BITS[width] == self.width
                return status & 0xFF
        raise AssertionError("busy for ever")

    async def fails(self, error):
        """Wait for an error, and for the end of what is on its way."""
        for _ in range(1000):
            if await self.read(DmaRegister.STATUS) & ERRORS:
                assert await self.idle() == 1 << error
                return
        raise AssertionError("no error")

    async def restart(self):
        engine = self.engine
        engine.write("restart", 1)
        await self.clock()
        engine.write("restart", 0)
        self.words.clear()

    def begins(self, tape):
        """What came, if anything, is the tape from its beginning, round and round."""
        expected = [tape[n % len(tape)] for n in range(len(self.words))]
        assert self.words == expected, "another tape"


async def scenario(bench):
    """All that a host does."""
    engine, rng = bench.engine, bench.rng
    page_words = PAGE_BYTES * 8 // max(bench.width, CONFIG.word_bits)
    tape = [rng.getrandbits(CONFIG.word_bits) for _ in range(page_words + 37)]
    addresses = [n * PAGE_BYTES for n in rng.sample(range(1 << 40), 3)]
    on, off, clear = (DmaRegister.RUN, 1), (DmaRegister.RUN, 0), (DmaRegister.STATUS, 0)

    # The chip's own registers pass, and theirs alone.
    assert await bench.idle() == 0
    await bench.write((CHIP, 99))
    assert bench.passed == [request(1, CHIP, 99)]
    engine.write("i_answer__payload", 1234)
    await bench._request(0, CHIP)
    engine.write("i_answer__valid", 1)
    engine.write("o__ready", 1)
    await engine.settle()
    assert engine.read("o__valid")
    assert engine.read("o__payload") == 1234
    assert engine.read("i_answer__ready")
    await bench.clock()
    engine.write("o__ready", 0)
    # One that is late waits for its turn behind that of a register for DMA.
    await bench._request(0, CHIP)
    await bench._request(0, DmaRegister.RUN)
    engine.write("i_answer__payload", 77)
    engine.write("i_answer__valid", 1)
    engine.write("o__ready", 1)
    await engine.settle()
    assert (engine.read("o__payload"), engine.read("i_answer__ready")) == (0, 0)
    await bench.clock()
    await engine.settle()
    assert (engine.read("o__payload"), engine.read("i_answer__ready")) == (77, 1)
    await bench.clock()
    engine.write("o__ready", 0)

    # A tape that is lent comes once the chip has a length, in all ways of answering.
    writes = bench.lend(tape, Memory(addresses), latency=40, shuffle=True, cut=0.3, pauses=0.1)
    await bench.write(*writes, on)
    for number, word in ((DmaRegister.PAGES, 3), (DmaRegister.RUN, 1), writes[-2]):
        assert await bench.read(number) == word
    assert await bench.read(DmaRegister.INDEX) == 3
    await bench.clocks(100)
    assert not bench.answers.reads, "asked for without a length"
    # Nobody redirects it while it runs.
    late = [(DmaRegister.PAGES, 1 | LARGE), (DmaRegister.INDEX, 0), (DmaRegister.LOW, 0)]
    late += [(DmaRegister.HIGH, 0), (DmaRegister.HIGH, 0), (DmaRegister.BLOCKS, 1)]
    await bench.write(*late, (DmaRegister.RING, 5))
    for number, word in (
        (DmaRegister.PAGES, 3), (DmaRegister.INDEX, 3), (DmaRegister.RING, 0), writes[-2]
    ):  # fmt: skip
        assert await bench.read(number) == word
    engine.write("length", len(tape))
    await bench.come(2 * len(tape))
    bench.begins(tape)

    # It begins anew when the chip does, wherever it is.
    await bench.come(len(bench.words) // len(tape) * len(tape) + len(tape) * 3 // 2)
    await bench.restart()
    await bench.come(len(tape))
    bench.begins(tape)

    # Room in the ring is all that it asks for.
    engine.write("space", 0)
    await bench.clocks(100)
    count = bench.answers.reads
    await bench.clocks(400)
    assert bench.answers.reads == count, "asked for without room"
    engine.write("space", CONFIG.ring_words)

    # Stopped, it ends what is on its way; until then nothing may change.
    await bench.clocks(20)
    await bench.write(off, (DmaRegister.PAGES, 1), on)
    assert await bench.read(DmaRegister.RUN) == 0
    assert await bench.read(DmaRegister.PAGES) == 3
    assert await bench.idle() == 0
    bench.words.clear()
    count = bench.answers.reads
    await bench.clocks(100)
    assert (bench.words, bench.answers.reads) == ([], count), "goes on"

    # As fast as the answers come, once what had come before is dropped.
    writes = bench.lend(tape, Memory(addresses), latency=LATENCY)
    await bench.clocks(200)
    await bench.write(*writes, on)
    began = bench.time
    await bench.restart()
    await bench.come(1)
    first = bench.time - began
    assert first <= LATENCY + bench.beats(REQUEST_BLOCKS) + 18, "the first word is late"
    await bench.come(2 * len(tape))
    bench.begins(tape)
    clocks, beats = bench.time - began - first, 2 * bench.beats(dict(writes)[DmaRegister.BLOCKS])
    assert clocks <= beats + 16, "answers come faster than words"
    await bench.write(off)
    await bench.idle()

    # After an error no word is given; after that has been cleared all goes on.
    for fault, error in (
        ("unsupported", DmaError.FAILED), ("poisoned", DmaError.DAMAGED), ("late", DmaError.TIMEOUT)
    ):  # fmt: skip
        writes = bench.lend(tape, Memory(addresses[::-1]), latency=20, faults={9: fault}, late=1500)
        await bench.write(*writes, on)
        await bench.restart()
        await bench.fails(error)
        words, reads = len(bench.words), bench.answers.reads
        bench.begins(tape)
        await bench.clocks(50)
        assert (len(bench.words), bench.answers.reads) == (words, reads), "goes on after an error"
        await bench.write(clear)
        await bench.clocks(3)
        assert await bench.read(DmaRegister.STATUS) & ERRORS == 0
        await bench.restart()
        await bench.come(len(tape))
        bench.begins(tape)
        await bench.write(off)
        await bench.idle()

    # Results go to the ring while the tape comes, and the host asks for other things.
    ring = Memory([(1 << 41) * PAGE_BYTES])
    writes = bench.lend(tape, Memory(addresses), ring, latency=20, shuffle=True, pauses=0.2)
    await bench.clocks(200)
    await bench.write(*writes, on)
    await bench.restart()
    results = [
        (address, VALID | rng.getrandbits(24)) for address in RESULT_ADDRESSES for _ in range(9)
    ]
    for result in results:
        bench.results.append(result)
        bench.holding = True
        await bench.clocks(rng.randrange(20, 60))
        bench.holding = False
        await bench.clocks(rng.randrange(10, 40))
    for _ in range(40):
        await bench.write((CHIP, 5))
        assert await bench.read(DmaRegister.RING) == 3 * PAGE_BYTES // BLOCK_BYTES
        await bench.clocks(20)
    entries = [(ring.addresses[0] + 8 * n, [word, a]) for n, (a, word) in enumerate(results)]
    assert bench.rules.written == entries, "other entries"
    bench.begins(tape)
    await bench.come(len(tape))
    await bench.write(off)
    assert await bench.idle() == 0
    # Without a page for it there is none.
    bench.rules.written.clear()
    await bench.write(*writes, (DmaRegister.RING, 4 * PAGE_BYTES // BLOCK_BYTES), on)
    bench.results.append(results[0])
    await bench.fails(DmaError.OUTSIDE)
    await bench.write(off)
    assert await bench.idle() == 0
    assert not bench.rules.written, "a write outside"
    # A tape that goes on into the ring's page is not read there.
    writes = bench.lend(tape, Memory(addresses), latency=20)
    bench.rules.pages = bench.rules.pages[:1]
    await bench.write(*writes, (DmaRegister.RING, PAGE_BYTES // BLOCK_BYTES), on)
    await bench.restart()
    await bench.fails(DmaError.OUTSIDE)
    bench.begins(tape)
    await bench.write(off, clear)

    # A table that is too short for the tape.
    writes = bench.lend(tape, Memory(addresses), latency=20)
    await bench.write(*writes, (DmaRegister.PAGES, 1), on)
    bench.rules.pages = bench.rules.pages[:1]
    await bench.restart()
    await bench.fails(DmaError.OUTSIDE)
    bench.begins(tape)
    await bench.write(off, clear)

    # Large pages.
    large = [n * LARGE_PAGE_BYTES for n in rng.sample(range(1 << 30), 1)]
    short = tape[:page_words]
    await bench.write(*bench.lend(short, Memory(large, LARGE_PAGE_BYTES), latency=20), on)
    engine.write("length", len(short))
    await bench.restart()
    await bench.come(2 * len(short))
    bench.begins(short)

    # Reads of a block if the host allows no more.
    bench.rules.longest = BLOCK_BYTES
    engine.write("longest", 0)
    engine.write("length", 0)
    await bench.clocks(200)
    engine.write("length", len(short))
    bench.words.clear()
    await bench.come(40)
    bench.begins(short)

    # A chip that is reset stops.
    engine.write("clear", 1)
    await bench.clock()
    engine.write("clear", 0)
    assert await bench.read(DmaRegister.RUN) == 0
    assert await bench.idle() == 0
