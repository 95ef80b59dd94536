"""DmaTape: a host sets it up, reads, restarts, breaks and mends it; the tape comes in order."""

import random

import numpy as np
import pytest
from amaranth import *
from amaranth.sim import Simulator

from sterna.device.lent import laid_out, table_writes
from sterna.spec.dma import (
    BEATS_SHIFT,
    BLOCK_BYTES,
    BUSY,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    THERE,
    DmaError,
    DmaRegister,
)
from sterna.spec.pcie import BEAT_BITS
from sterna_rtl.pcie.dma_tape import DmaTape
from sterna_sim.kit import edited
from sterna_sim.kit.bench import default_seed
from tests.chip.models import config_for
from tests.pcie.answers import Answers, Behaviour
from tests.pcie.request_rules import RequestRules

CONFIG = config_for("ring")
PATIENCE = 200
CHIP = 7  # a register of the chip's own
BEAT = ("data", "keep", "last", "user")


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

    def __init__(self, ctx, dut, width):
        self.ctx, self.dut, self.width = ctx, dut, width
        self.rng = random.Random(f"dma tape {default_seed()}")
        self.words, self.passed = [], []
        self.rules, self.answers = RequestRules(width, 512, []), None
        ctx.set(dut.longest, 2)
        ctx.set(dut.o_word.ready, 1)
        ctx.set(dut.o_request.ready, 1)
        ctx.set(dut.space, CONFIG.ring_words)

    def lend(self, tape, memory, **behaviour):
        """Put a tape into memory, and answer in some way from now on."""
        pieces = [[word >> 32 * n & 0xFFFFFFFF for n in range(-(-CONFIG.word_bits // 32))]
                  for word in tape]  # fmt: skip
        data = laid_out(np.array(pieces, dtype="<u4"), self.width)
        memory.fill(data)
        self.answers = Answers(self.width, memory.pages, Behaviour(**behaviour), self.rng.random())
        self.rules.pages = [(page, len(part)) for page, part in memory.pages.items()]
        self.rules.waiting.clear()
        return [(int(n), word) for n, word in table_writes(memory, len(data))]

    async def clock(self):
        """Play a clock."""
        ctx, dut, answers = self.ctx, self.dut, self.answers
        ready = answers.moves() if answers else 0
        beat = answers.beat() if answers else None
        ctx.set(dut.rq.ready, ready)
        ctx.set(dut.rc.valid, beat is not None)
        for name in BEAT:
            bits = beat[name] if beat else self.rng.getrandbits(8) % 2
            ctx.set(Value.cast(dut.rc.payload[name]), bits)
        if answers:
            for tag in answers.finished:
                self.rules.waiting.pop(tag, None)
            answers.finished.clear()
        request = [ctx.get(Value.cast(dut.rq.payload[name])) for name in BEAT]
        asked = self.rules.clock(ctx.get(dut.rq.valid), ready, *request)
        if asked:
            answers.ask(asked)
        if ctx.get(dut.o_word.valid):
            self.words.append(ctx.get(Value.cast(dut.o_word.payload)))
        if ctx.get(dut.o_request.valid):
            self.passed.append(ctx.get(dut.o_request.payload))
        await ctx.tick()

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
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.i.payload, {"write": write, "address": number, "data": data})
        ctx.set(dut.i.valid, 1)
        for _ in range(100):
            if ctx.get(dut.i.ready):
                break
            await self.clock()
        else:
            raise AssertionError("a request is not taken")
        await self.clock()
        ctx.set(dut.i.valid, 0)

    async def write(self, *writes):
        for number, data in writes:
            await self._request(1, number, data)

    async def read(self, number):
        await self._request(0, number)
        ctx, dut = self.ctx, self.dut
        for _ in range(3):
            if ctx.get(dut.o.valid):
                word = ctx.get(dut.o.payload)
                ctx.set(dut.o.ready, 1)
                await self.clock()
                ctx.set(dut.o.ready, 0)
                assert not ctx.get(dut.o.valid), "an answer too many"
                return word
            await self.clock()
        raise AssertionError("no answer")

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
            if await self.read(DmaRegister.STATUS) & 0xF:
                assert await self.idle() == 1 << error
                return
        raise AssertionError("no error")

    async def restart(self):
        self.ctx.set(self.dut.restart, 1)
        await self.clock()
        self.ctx.set(self.dut.restart, 0)
        self.words.clear()

    def begins(self, tape):
        """What came, if anything, is the tape from its beginning, round and round."""
        expected = [tape[n % len(tape)] for n in range(len(self.words))]
        assert self.words == expected, "another tape"


async def scenario(bench):
    """All that a host does."""
    ctx, dut, rng = bench.ctx, bench.dut, bench.rng
    page_words = PAGE_BYTES * 8 // max(bench.width, CONFIG.word_bits)
    tape = [rng.getrandbits(CONFIG.word_bits) for _ in range(page_words + 37)]
    addresses = [n * PAGE_BYTES for n in rng.sample(range(1 << 40), 3)]
    on, off, clear = (DmaRegister.RUN, 1), (DmaRegister.RUN, 0), (DmaRegister.STATUS, 0)

    # The chip's own registers pass, and theirs alone.
    assert await bench.idle() == 0
    await bench.write((CHIP, 99))
    assert [(word["write"], word["address"], word["data"]) for word in bench.passed] == [
        (1, CHIP, 99)
    ]
    ctx.set(dut.i_answer.payload, 1234)
    await bench._request(0, CHIP)
    ctx.set(dut.i_answer.valid, 1)
    ctx.set(dut.o.ready, 1)
    assert ctx.get(dut.o.valid)
    assert ctx.get(dut.o.payload) == 1234
    assert ctx.get(dut.i_answer.ready)
    await bench.clock()
    ctx.set(dut.o.ready, 0)
    # It has one more answer, which must wait for its turn behind that of a register for DMA.
    ctx.set(dut.i_answer.payload, 77)
    await bench._request(0, DmaRegister.RUN)
    assert (ctx.get(dut.o.payload), ctx.get(dut.i_answer.ready)) == (0, 0)
    ctx.set(dut.i_answer.valid, 0)
    ctx.set(dut.o.ready, 1)
    await bench.clock()
    ctx.set(dut.o.ready, 0)

    # A tape that is lent comes once the chip has a length, in all ways of answering.
    writes = bench.lend(tape, Memory(addresses), latency=40, shuffle=True, cut=0.3, pauses=0.1)
    await bench.write(*writes, on)
    for number, word in ((DmaRegister.PAGES, 3), (DmaRegister.RUN, 1), writes[-1]):
        assert await bench.read(number) == word
    assert await bench.read(DmaRegister.INDEX) == 3
    await bench.clocks(100)
    assert not bench.answers.reads, "asked for without a length"
    # Nobody redirects it while it runs.
    late = [(DmaRegister.PAGES, 1 | LARGE), (DmaRegister.INDEX, 0), (DmaRegister.LOW, 0)]
    late += [(DmaRegister.HIGH, 0), (DmaRegister.HIGH, 0), (DmaRegister.BLOCKS, 1)]
    await bench.write(*late)
    for number, word in ((DmaRegister.PAGES, 3), (DmaRegister.INDEX, 3), writes[-1]):
        assert await bench.read(number) == word
    ctx.set(dut.length, len(tape))
    await bench.come(2 * len(tape))
    bench.begins(tape)

    # It begins anew when the chip does, wherever it is.
    await bench.come(len(bench.words) // len(tape) * len(tape) + len(tape) * 3 // 2)
    await bench.restart()
    await bench.come(len(tape))
    bench.begins(tape)

    # Room in the ring is all that it asks for.
    ctx.set(dut.space, 0)
    await bench.clocks(100)
    count = bench.answers.reads
    await bench.clocks(400)
    assert bench.answers.reads == count, "asked for without room"
    ctx.set(dut.space, CONFIG.ring_words)

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

    # After an error no word is given; after that has been cleared all goes on.
    for fault, error in (("unsupported", DmaError.FAILED), ("late", DmaError.TIMEOUT)):
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
        assert await bench.read(DmaRegister.STATUS) & 0xF == 0
        await bench.restart()
        await bench.come(len(tape))
        bench.begins(tape)
        await bench.write(off)
        await bench.idle()

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
    ctx.set(dut.length, len(short))
    await bench.restart()
    await bench.come(2 * len(short))
    bench.begins(short)

    # Reads of a block if the host allows no more.
    bench.rules.longest = BLOCK_BYTES
    ctx.set(dut.longest, 0)
    ctx.set(dut.length, 0)
    await bench.clocks(200)
    ctx.set(dut.length, len(short))
    bench.words.clear()
    await bench.come(40)
    bench.begins(short)

    # A chip that is reset stops.
    ctx.set(dut.clear, 1)
    await bench.clock()
    ctx.set(dut.clear, 0)
    assert await bench.read(DmaRegister.RUN) == 0
    assert await bench.idle() == 0


def play(width, unit=DmaTape):
    """Play the scenario on a unit."""
    dut = unit(CONFIG, width, PATIENCE)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def testbench(ctx):
        await scenario(Bench(ctx, dut, width))

    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("width", BEAT_BITS)
def test_pysim(width):
    play(width)


BUGS = {
    "not locked while it runs": ("pages.locked.eq(run | busy)", "pages.locked.eq(busy)"),
    "not locked while something comes": ("pages.locked.eq(run | busy)", "pages.locked.eq(run)"),
    "blocks not locked": ("request.write & ~pages.locked", "request.write"),
    "begins while something comes": (" & (run | ~busy)", ""),
    "no restart": ("self.restart | ~run", "~run"),
    "runs without RUN": ("self.restart | ~run", "self.restart"),
    "reads without a length": (" | (self.length == 0)", ""),
    "words after an error": (" | reader.errors.any())", ")"),
    "errors are not cleared": ("reader.clear.eq(request.write)", "reader.clear.eq(0)"),
    "never busy": ("Mux(busy, BUSY, 0)", "0"),
    "longer than is allowed": ("Mux(self.longest < 2,", "Mux(self.longest > 8,"),
    "runs on after a reset": ("with m.If(self.clear):", "with m.If(0):"),
    "the chip sees all": ("self.i.valid & ~own", "self.i.valid"),
    "answers meet": ("self.i_answer.ready.eq(0)", "self.i_answer.ready.eq(1)"),
    "writes are answered": ("answers.eq(~request.write)", "answers.eq(1)"),
    "no room asked for": ("fetch.space.eq(self.space)", "fetch.space.eq(200)"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs(bug):
    with pytest.raises(AssertionError) as found:
        play(256, edited(DmaTape, *BUGS[bug]))
    print(f"planted bug {bug!r} found: {found.value}")
