"""TapeFetch over the controller and the model of the memory: the tape round and round."""

from dataclasses import replace
from functools import partial

from amaranth import Array, C, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.sdram import BURST, PARTS, WORD_BITS
from sterna.spec.trits import Packing
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import transfers
from sterna_rtl.memory.pins import Pins
from sterna_rtl.memory.sdram import Sdram
from sterna_rtl.tape.fetch import TapeFetch
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from sterna_sim.sdram_model import Inputs, SdramBeside
from tests.memory.restarts import restarts_after
from tests.memory.stalls import FEW_STALLS

CLOCK_HZ = 100_000_000
# Short rows, so that a tape of a few words has several, and few of them, so that one can fill it.
PART = replace(PARTS["ULX3S"], power_up_ns=1000, column_bits=5, row_bits=6)


def chip(rows, columns, packing=Packing.FIVE_THIRDS, ring_words=64):
    small = replace(REFERENCE, rows=rows, columns=columns, elements=1, packing=packing)
    return replace(small, tape_words=0, ring_words=ring_words)


GAPS = 0x5CA3E996
"""On which of 32 clocks a word of the memory may come."""
LATE = 8
"""Clocks from room for a request to it, at most."""
KNOWN = 4
"""The same, at least."""


class Fetched(wiring.Component):
    """Fetch, controller and a ring; a restart once `count` words have been given, if it is not 0.

    `waited` tells whether a word ever found no room in the ring; `late` whether a part of the tape
    that there was room for was not asked for within some clocks; `much` whether one was that there
    was no room for, or while too many were to come. With `slow` the memory's words come with gaps,
    and requests and the ring's words are taken seldom; with `rare` a word is given seldom, so that
    the ring is full.
    """

    def __init__(self, config, unit=TapeFetch):
        self.fetch = unit(config, PART)
        self.sdram = Sdram(PART, CLOCK_HZ)
        self.ring = Queue(Layouts(config).word, config.ring_words)
        super().__init__(
            {
                "o": Out(stream.Signature(Layouts(config).word)),
                "length": In(16),
                "blocks": In(16),
                "count": In(16),
                "slow": In(1),
                "rare": In(1),
                **{name: Out(1) for name in ("waited", "late", "much")},
                "pins": Out(Pins(PART)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch, m.submodules.sdram = fetch, sdram = self.fetch, self.sdram
        connect(m, sdram.pins, flipped(self.pins))
        restarts = restarts_after(m, self.o, self.count)
        turn, opened = Signal(5), Signal()
        gives = ~self.rare | opened
        m.d.sync += [turn.eq(turn + 1), opened.eq((opened & ~transfers(self.o)) | (turn == 0))]
        m.d.comb += [
            fetch.length.eq(self.length),
            fetch.blocks.eq(self.blocks),
            fetch.restart.eq(restarts),
            fetch.space.eq(self.ring.depth - self.ring.level),
            self.o.payload.eq(self.ring.o.payload),
            self.o.valid.eq(self.ring.o.valid & ~restarts & gives),
            self.ring.o.ready.eq(self.o.ready & gives),
        ]
        takes = ~self.slow | (turn == 0)
        comes = ~self.slow | Array(C(GAPS, 32))[turn]
        m.d.comb += [
            sdram.i.payload.eq(fetch.o_request.payload),
            sdram.i.valid.eq(fetch.o_request.valid & takes),
            fetch.o_request.ready.eq(sdram.i.ready & takes),
            fetch.i.payload.eq(sdram.o.payload),
            fetch.i.valid.eq(sdram.o.valid & comes),
            sdram.o.ready.eq(fetch.i.ready & comes),
            self.ring.i.payload.eq(fetch.o.payload),
            self.ring.i.valid.eq(fetch.o.valid & takes),
            fetch.o.ready.eq(self.ring.i.ready & takes),
        ]
        with m.If(fetch.o.valid & ~fetch.o.ready):
            m.d.sync += self.waited.eq(1)
        m.submodules.ring = ResetInserter(restarts)(self.ring)
        self._watch(m, restarts)
        return m

    def _watch(self, m, restarts):
        """Say whether requests come when there is room for them."""
        request, most = self.fetch.o_request, self.fetch.most
        asked, at, came = Signal(16), Signal(16), Signal(range(BURST))
        was, dropping, clocks = Signal(), Signal(), Signal(range(LATE + 1))
        asks = request.valid & ~was
        whole = transfers(self.fetch.i) & (came == BURST - 1)
        m.d.sync += [
            was.eq(request.valid),
            came.eq(came + transfers(self.fetch.i)),
            asked.eq(asked + Mux(asks, request.payload.blocks, 0) - whole),
        ]
        with m.If(asks):
            m.d.sync += at.eq(at + request.payload.blocks)
            with m.If(at + request.payload.blocks == self.blocks):
                m.d.sync += at.eq(0)
        space, left = self.fetch.space, self.blocks - at
        count = Mux(left < most, left, most)
        # A word and two in the way, and one that is not complete.
        room = Mux(space > 4, space - 4, 0) * self.fetch.pieces
        fits = (asked + count) * BURST <= room
        may = ~dropping & (asked <= most) & fits & (self.blocks != 0)
        m.d.sync += clocks.eq(Mux(may & ~request.valid & ~restarts, clocks + 1, 0))
        with m.If(clocks == LATE):
            m.d.sync += self.late.eq(1)
        # What there was room for when it was worked out.
        no_room = (asked + count) * BURST > delay_line(m, room, KNOWN, "room")[-1]
        with m.If(asks & (no_room | (asked > most) | (self.blocks == 0))):
            m.d.sync += self.much.eq(1)
        with m.If(restarts):
            m.d.sync += [dropping.eq(1), at.eq(0)]
        with m.Elif(asked == 0):
            m.d.sync += dropping.eq(0)


def broken(old, new):
    return lambda config: Fetched(config, edited(TapeFetch, old, new))


class FetchBench(UnitBench):
    """Tapes of all lengths, from one word to several rows; restarts here and there."""

    name = "fetch"
    configs = {
        "80 bits": chip(1, 48),
        "430 bits": chip(4, 64),
        "16 bits": chip(1, 8, Packing.TWO_BITS),
        "short ring": chip(1, 8, Packing.TWO_BITS, ring_words=24),
    }
    cocotb_configs = ("80 bits",)
    bug_configs = ("16 bits", "short ring", "80 bits")
    reset_between = True
    reset_test = False  # the controller's bench does it; here each case takes a power-up
    drain = 0
    stalls = FEW_STALLS
    bugs = {
        "the rest of the last block is read": broken(
            "skipping.eq((left == 1) & ~ends)", "skipping.eq(0)"),
        "a block too many is skipped": broken(
            "skipping.eq((left == 1) & ~ends)", "skipping.eq(left == 1)"),
        "one round only": broken("Mux(left == 1, self.length, left - 1)", "left - 1"),
        "begins with the second row": broken(
            "Mux(left <= most, 0, part + 1)", "Mux(left <= most, 1, part + 1)"),
        "the first row again": broken("Mux(left <= most, 0, part + 1)", "0"),
        "rows past the end": broken("Mux(left < most, left, most)", "most"),
        "what was asked for survives a restart": broken(
            "m.d.sync += dropping.eq(1)", "m.d.sync += dropping.eq(0)"),
        "a part of a word survives a restart": broken(
            "[self.o.valid.eq(0), piece.eq(0),", "[self.o.valid.eq(0),"),
        "goes on after a restart": broken("m.d.sync += part.eq(0)", "pass"),
        "counts on after a restart": broken(", left.eq(self.length)]", "]"),
        "highest piece first": broken(
            "Cat(data, words.payload)[self.part.word_bits :]",
            "Cat(words.payload, data)[: len(data)]"),
        "more than fits the ring": broken("(asked + count <= room) & ", ""),
        "counted without what was asked for": broken("asked + count <= room", "count <= room"),
        "a word more than there is room for": broken("away = 4", "away = 0"),
    }  # fmt: skip

    def dut(self, config):
        return Fetched(config)

    def cases(self, config, rng):
        row = (1 << PART.column_bits) // BURST
        for length, given, count in (
            (1, 30, 0),
            (13, 60, 0),
            # Whole rows, and a block more: the rest of the last block is empty or nearly whole.
            (8 * row, 20 * row, 0),
            (8 * row + 1, 20 * row, 0),
            (23, 70, 20),
            (23, 70, 24),
            (40, 90, 1),
        ):
            yield self.one(config, rng, length, given, count)

    def one(self, config, rng, length, given, count, **how):
        """A tape of so many words; so many of them are given, with a restart after `count`."""
        pieces = -(-config.word_bits // WORD_BITS)
        tape = [
            int.from_bytes(rng.bytes(pieces * 2), "little") & (1 << config.word_bits) - 1
            for _ in range(length)
        ]
        # What no word fills is anything.
        blocks = -(-length * pieces // BURST)
        words = {n: int(rng.integers(1 << WORD_BITS)) for n in range(blocks * BURST + 64)}
        for n, word in enumerate(tape):
            word |= int(rng.integers(1 << WORD_BITS)) << config.word_bits
            for piece in range(pieces):
                part = word >> WORD_BITS * piece & (1 << WORD_BITS) - 1
                words[n * pieces + piece] = part
        first = count or given
        outputs = [tape[n % length] for n in range(first)]
        outputs += [tape[n % length] for n in range(given - first)]
        return Case(
            {},
            {"o": outputs},
            {"length": length, "blocks": blocks, "count": count, **how},
            dict.fromkeys(("much", *([] if how.get("slow") else ["waited", "late"])), 0),
            beside=[partial(SdramBeside, PART, CLOCK_HZ, words, words)],
            name=f"{length} words, restart after {count}",
        )


class LongBench(FetchBench):
    """A tape that fills the memory; words that end anywhere in a block; all that is slow."""

    name = "fetch-long"
    configs = {"80 bits": FetchBench.configs["80 bits"]}
    cocotb_configs = ()
    bug_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        # Its last block but one ends it, so that all bits of the number of blocks are up.
        length = (PART.words - BURST) // -(-config.word_bits // WORD_BITS)
        yield self.one(config, rng, length, length + 1200, 0)
        # Words that end anywhere in a block.
        for length in range(2, 9):
            yield self.one(config, rng, length, 2 * length + 1, 0)
        yield self.one(config, rng, 7, 30, 0, slow=1)
        yield self.one(config, rng, 23, config.ring_words + 40, 0, rare=1)


class NoTapeBench(FetchBench):
    """No tape: nothing is asked for."""

    name = "fetch-none"
    configs = LongBench.configs
    cocotb_configs = ()
    bug_configs = tuple(configs)
    stalls = (Stalls(),)
    drain = 600

    def cases(self, config, rng):
        case = self.one(config, rng, 1, 0, 0)
        yield replace(case, constants={**case.constants, "blocks": 0})


test_pysim, test_cocotb, test_planted_bugs = bench_tests(FetchBench())
test_long, _, _ = bench_tests(LongBench())
test_no_tape, _, _ = bench_tests(NoTapeBench())


def test_a_piece_on_every_clock():
    """Round and round without a gap but refreshes, if the tape ends with a block and two banks."""
    config = chip(1, 48)
    unit = Fetched(config)
    length, blocks, rounds = 64, 40, 30
    pieces = unit.fetch.pieces
    model = SdramBeside(PART, CLOCK_HZ, {}, {}).model
    assert length * pieces == blocks * BURST
    counts = []

    async def bench(ctx):
        ctx.set(unit.length, length)
        ctx.set(unit.blocks, blocks)
        ctx.set(unit.o.ready, 1)
        given = 0
        while given < rounds * length:
            if ctx.get(unit.o.valid):
                given += 1
                counts.append((model.clock, model.refreshes))
            pins = unit.pins
            names = ("command", "bank", "address", "mask")
            data = ctx.get(pins.data.o) if ctx.get(pins.data.oe) else None
            inputs = {name: ctx.get(getattr(pins, name)) for name in names}
            word = model.rise(Inputs(data=data, **inputs))
            await ctx.tick()
            ctx.set(pins.data.i, 0 if word is None else word)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    (begin, before), (end, after) = counts[0], counts[-1]
    clocks, refreshes = end - begin, after - before
    cost = unit.sdram.refresh_cost
    needed = (len(counts) - 1) * pieces
    print(f"{needed} words of the memory in {clocks} clocks, {refreshes} refreshes of {cost}")
    # A refresh that comes while the reader waits for another may count at either end.
    assert abs(clocks - needed - refreshes * cost) <= cost


def test_contract():
    config, small = chip(1, 16, Packing.TWO_BITS), replace(PART, row_bits=1, bank_bits=1)
    small = replace(small, column_bits=4)
    held = "with m.If(transfers(self.o_request)):", "with m.If(1):"
    bug, other = (
        edited(TapeFetch, *held),
        edited(TapeFetch, "words.ready.eq(can_load(self.o))", "words.ready.eq(1)"),
    )
    check_contract(
        lambda: TapeFetch(config, small),
        StreamContract(depth=16),
        {
            "request not held": lambda: bug(config, small),
            "word not held": lambda: other(config, small),
        },
    )
