"""What a host does to DmaTape, part by part; a reset before each finds it wherever it was."""

from __future__ import annotations

from sterna.spec.dma import (
    BLOCK_BYTES,
    ENTRIES,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    REQUEST_BLOCKS,
    DmaError,
    DmaRegister,
)
from sterna.spec.registers import VALID
from tests.pcie.dma_tape_bench import (
    CHIP,
    CONFIG,
    ERRORS,
    RESULT_ADDRESSES,
    Host,
    Memory,
    request,
)

__all__ = ["PARTS", "QUICK"]

ON, OFF, CLEAR = (DmaRegister.RUN, 1), (DmaRegister.RUN, 0), (DmaRegister.STATUS, 0)
LATENCY = 30
PAGE_BLOCKS = PAGE_BYTES // BLOCK_BYTES


def page_words(host: Host) -> int:
    return PAGE_BYTES * 8 // max(host.width, CONFIG.word_bits)


def drawn(host: Host) -> tuple[list[int], list[int]]:
    """A tape of more than a page, and where three pages lie."""
    rng = host.rng
    tape = [rng.getrandbits(CONFIG.word_bits) for _ in range(page_words(host) + 37)]
    return tape, [n * PAGE_BYTES for n in rng.sample(range(1 << 40), 3)]


async def registers(host: Host) -> None:
    """The chip's own registers pass, and theirs alone."""
    assert await host.idle() == 0
    for number in (CHIP, 0, 128, DmaRegister.STATUS - 1):
        host.passed.clear()
        data = host.rng.getrandbits(32)
        await host.write((number, data))
        assert host.passed == [request(1, number, data)], "another request"
        assert await host.read(number) == host.answer(number)
        assert len(host.passed) == 2
    # A refusal is of the chip's.
    host.refusing = True
    await host.write((CHIP, 1), (DmaRegister.INDEX, 0), (DmaRegister.BLOCKS, 0))
    host.refusing = False
    # One that is late waits for its turn behind that of a register for DMA.
    host.mute = True
    await host.ask(CHIP)
    await host.clocks(3)
    await host.ask(DmaRegister.RUN)
    host.mute = False
    assert await host.take() == 0, "answers out of turn"
    assert await host.take() == host.answer(CHIP)
    # A second question waits until the first has been answered.
    await host.write((DmaRegister.INDEX, 77))
    await host.ask(DmaRegister.RUN)
    host.inputs |= {"i__payload": request(0, DmaRegister.INDEX), "i__valid": 1}
    for _ in range(5):
        await host.clocks(1)
        assert not host.seen["i__ready"], "a question is lost"
    assert await host.take() == 0
    await host.clocks(1)
    assert host.seen["i__ready"]
    host.inputs["i__valid"] = 0
    assert await host.take() == 77
    # All bits of what they hold; writes beside them change nothing.
    host.passed.clear()
    for _ in range(6):
        bits = host.rng.getrandbits
        words = {
            DmaRegister.BLOCKS: bits(23),
            DmaRegister.RING: bits(22),
            DmaRegister.INDEX: bits(9),
        }
        words |= {DmaRegister.TAKEN: bits(10), DmaRegister.PAGES: bits(9) | bits(1) * LARGE}
        await host.write(*words.items())
        await host.write(*((number, bits(32)) for number in range(249, 256, 3)))
        for number, word in words.items():
            assert await host.read(number) == word, number
        for number in (DmaRegister.LOW, DmaRegister.HIGH, 249, 255):
            assert await host.read(number) == 0, number
    assert not host.passed
    assert await host.idle() == 0


async def lent(host: Host) -> None:
    """A tape that is lent comes once the chip has a length, in all ways of answering."""
    tape, addresses = drawn(host)
    writes = host.lend(tape, Memory(addresses), latency=40, shuffle=True, cut=0.3, pauses=0.1)
    await host.write(*writes, ON)
    for number, word in ((DmaRegister.PAGES, 3), (DmaRegister.RUN, 1), writes[-2]):
        assert await host.read(number) == word
    assert await host.read(DmaRegister.INDEX) == 3
    await host.clocks(100)
    assert not host.answers.reads, "asked for without a length"
    # Nobody redirects it while it runs.
    late = [(DmaRegister.PAGES, 1 | LARGE), (DmaRegister.INDEX, 0), (DmaRegister.LOW, 0)]
    late += [(DmaRegister.HIGH, 0), (DmaRegister.HIGH, 0), (DmaRegister.BLOCKS, 1)]
    await host.write(*late, (DmaRegister.RING, 5))
    for number, word in (
        (DmaRegister.PAGES, 3), (DmaRegister.INDEX, 3), (DmaRegister.RING, 0), writes[-2]
    ):  # fmt: skip
        assert await host.read(number) == word
    host.inputs["length"] = len(tape)
    host.results.append((RESULT_ADDRESSES[0], VALID))  # there is no ring for it
    host.steady = True
    await host.come(2 * len(tape))
    host.begins(tape)

    assert len(host.results) == 1, "a result is gone"

    # It begins anew when the chip does, wherever it is.
    await host.come(len(host.words) // len(tape) * len(tape) + len(tape) * 3 // 2)
    await host.restart()
    await host.come(len(tape))
    host.begins(tape)

    # Room in the ring is all that it asks for.
    host.inputs["space"] = 0
    await host.clocks(100)
    count = host.answers.reads
    await host.clocks(400)
    assert host.answers.reads == count, "asked for without room"
    host.inputs["space"] = CONFIG.ring_words

    # Stopped, it ends what is on its way; until then nothing may change.
    await host.clocks(20)
    await host.write(OFF, (DmaRegister.PAGES, 1), ON)
    assert await host.read(DmaRegister.RUN) == 0
    assert await host.read(DmaRegister.PAGES) == 3
    assert await host.stop() == 0
    host.words.clear()
    await host.clocks(100)
    assert not host.words, "goes on"
    # It is reset while it runs.
    await host.write(ON)
    await host.restart()
    await host.come(3)


async def fast(host: Host) -> None:
    """As fast as the answers come, once what had come before is dropped."""
    tape, addresses = drawn(host)
    writes = host.lend(tape, Memory(addresses), latency=LATENCY)
    host.inputs["length"] = len(tape)
    await host.write(*writes, ON)
    began = host.time
    await host.restart()
    await host.come(1)
    first = host.time - began
    assert first <= LATENCY + host.beats(REQUEST_BLOCKS) + 18, "the first word is late"
    await host.come(2 * len(tape))
    host.begins(tape)
    clocks, beats = host.time - began - first, 2 * host.beats(dict(writes)[DmaRegister.BLOCKS])
    assert clocks <= beats + 16, "answers come faster than words"


async def stops(host: Host) -> None:
    """Stopped on any clock, it says that it is busy until all has come."""
    tape, addresses = drawn(host)
    ring = Memory([(1 << 41) * PAGE_BYTES])
    host.inputs["length"] = len(tape)
    await host.write(*host.lend(tape, Memory(addresses), ring, latency=LATENCY))
    for clocks in range(0, 40, 1 + 2 * host.stalled):
        await host.write(ON)
        host.words.clear()
        await host.clocks(clocks)
        host.begins(tape)
        assert await host.stop() == 0
        assert not host.rules.waiting, "idle before an answer has come"
        await host.clocks(12)
        assert await host.read(DmaRegister.RUN) == 0
    # Only results come.
    host.inputs["length"] = 0
    for clocks in range(16):
        host.results.append((RESULT_ADDRESSES[clocks % 3], VALID | clocks))
        await host.write(ON)
        await host.clocks(clocks)
        host.holding = clocks % 2 == 1
        await host.write(OFF)
        await host.look()
        await host.clocks(clocks % 5)
        host.holding = False
        assert await host.stop() == 0
        await host.clocks(12)


async def errors(host: Host) -> None:
    """After an error no word is given; after that has been cleared all goes on."""
    tape, addresses = drawn(host)
    host.inputs["length"] = len(tape)
    for fault, error in (
        ("unsupported", DmaError.FAILED),
        ("poisoned", DmaError.DAMAGED),
        ("another count", DmaError.MALFORMED),
        ("late", DmaError.TIMEOUT),
    ):
        faults = {9: fault}
        writes = host.lend(tape, Memory(addresses[::-1]), latency=20, faults=faults, late=1500)
        await host.write(*writes, ON)
        await host.restart()
        await host.fails(error)
        words, reads = len(host.words), host.answers.reads
        host.begins(tape)
        await host.clocks(50)
        assert (len(host.words), host.answers.reads) == (words, reads), "goes on after an error"
        # Neither a read nor another register clears it.
        await host.write((DmaRegister.PAGES, 0), (CHIP, 0))
        assert await host.idle() == 1 << error
        await host.write(CLEAR)
        await host.clocks(3)
        assert await host.read(DmaRegister.STATUS) & ERRORS == 0
        await host.restart()
        await host.come(len(tape))
        host.begins(tape)
        assert await host.stop() == 0


async def results(host: Host) -> None:
    """Results go to the ring while the tape comes, and the host asks for other things."""
    tape, addresses = drawn(host)
    rng, ring = host.rng, Memory([(1 << 41) * PAGE_BYTES])
    host.inputs["length"] = len(tape)
    writes = host.lend(tape, Memory(addresses), ring, latency=20, shuffle=True, pauses=0.2)
    await host.write(*writes, ON)
    await host.restart()
    there = [
        (address, VALID | rng.getrandbits(24)) for address in RESULT_ADDRESSES for _ in range(9)
    ]
    for result in there:
        host.results.append(result)
        host.holding = True
        await host.clocks(rng.randrange(20, 60))
        host.holding = False
        await host.clocks(rng.randrange(10, 40))
    for _ in range(40):
        await host.write((CHIP, 5))
        assert await host.read(DmaRegister.RING) == 3 * PAGE_BLOCKS
        await host.clocks(20)
    entries = [(ring.addresses[0] + 8 * n, [word, a]) for n, (a, word) in enumerate(there)]
    assert host.rules.written == entries, "other entries"
    host.begins(tape)
    await host.come(len(tape))
    # With room for two more than there are, the third waits until it is told of others.
    most = 1 << ENTRIES.bit_length()
    await host.write((DmaRegister.TAKEN, (len(there) + 2 - ENTRIES) % most))
    for number in range(5):
        host.results.append((RESULT_ADDRESSES[0], VALID | number))
    for come in (2, 4, 5):
        await host.clocks(400)
        assert len(host.rules.written) == len(there) + come, "written without room, or too late"
        await host.write((DmaRegister.TAKEN, (len(there) + 4 + come // 4 - ENTRIES) % most))
    assert await host.stop() == 0
    # Without RUN the queues are left alone.
    host.results.append(there[0])
    await host.clocks(200)
    assert len(host.results) == 1, "a result is gone"
    # A chip is reset while its queues are looked at.
    for clocks in range(12):
        host.results.append(there[clocks])
        await host.write(ON)
        await host.clocks(clocks)
        await host.reset_chip()
        assert await host.read(CHIP) == host.answer(CHIP), "another answer"


async def outside(host: Host) -> None:
    """What was not lent is neither read nor written."""
    tape, addresses = drawn(host)
    ring = Memory([(1 << 41) * PAGE_BYTES])
    # Without a page for the ring there is no entry.
    writes = host.lend(tape, Memory(addresses), ring, latency=20)
    await host.write(*writes, (DmaRegister.RING, 4 * PAGE_BLOCKS), ON)
    host.results.append((RESULT_ADDRESSES[1], VALID))
    await host.fails(DmaError.OUTSIDE)
    assert await host.stop() == 0
    assert not host.rules.written, "a write outside"
    host.inputs["length"] = len(tape)
    # A tape that goes on into the ring's page is not read there.
    writes = host.lend(tape, Memory(addresses), latency=20)
    host.rules.pages = host.rules.pages[:1]
    await host.write(*writes, (DmaRegister.RING, PAGE_BLOCKS), ON)
    await host.restart()
    await host.fails(DmaError.OUTSIDE)
    host.begins(tape)
    await host.write(OFF, CLEAR)
    # A table that is too short for the tape.
    writes = host.lend(tape, Memory(addresses), latency=20)
    await host.write(*writes, (DmaRegister.PAGES, 1), ON)
    host.rules.pages = host.rules.pages[:1]
    await host.restart()
    await host.fails(DmaError.OUTSIDE)
    host.begins(tape)
    await host.write(OFF, CLEAR)
    assert await host.stop() == 0


async def large(host: Host) -> None:
    """Large pages, and reads as long as the host allows; a chip that is reset stops."""
    rng = host.rng
    addresses = [n * LARGE_PAGE_BYTES for n in rng.sample(range(1 << 30), 1)]
    short = [rng.getrandbits(CONFIG.word_bits) for _ in range(page_words(host))]
    await host.write(*host.lend(short, Memory(addresses, LARGE_PAGE_BYTES), latency=20), ON)
    assert await host.read(DmaRegister.PAGES) == 1 | LARGE
    host.inputs["length"] = len(short)
    await host.restart()
    await host.come(2 * len(short))
    host.begins(short)
    for longest in range(8):
        host.inputs["length"] = 0
        assert await host.idle() == 0
        await host.clocks(2 * REQUEST_BLOCKS * page_words(host) // PAGE_BLOCKS)
        host.inputs["longest"] = longest
        host.longest = 0
        host.rules.longest = BLOCK_BYTES * min(1 << longest, REQUEST_BLOCKS)
        await host.clocks(2)
        host.words.clear()
        host.inputs["length"] = len(short)
        await host.come(len(short) // 2)
        host.begins(short)
        assert host.longest == host.rules.longest, "shorter than is allowed"
    # Each bit of a length counts.
    for bit in range(0, 24, 1 + 7 * host.stalled):
        host.inputs["length"] = 1 << bit
        await host.restart()
        await host.come(min(1 << bit, 3))
        host.begins(short)
    await host.reset_chip()
    await host.clocks(50)


PARTS = lent, registers, stops, errors, results, outside, large
QUICK = (fast,)
"""Where nothing is stalled."""
