"""Sdram against a plain array: random requests, stalls on all sides, several speed grades."""

from dataclasses import replace
from functools import partial

import pytest
from amaranth import Module
from amaranth.hdl import Fragment
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator

from sterna.spec.sdram import BURST, INIT_REFRESHES, PARTS, Command, Least, Part
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.memory.power_up import PowerUp
from sterna_rtl.memory.refresh import Refresh
from sterna_rtl.memory.sdram import Sdram
from sterna_rtl.memory.visits import Visits
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from sterna_sim.sdram_model import Cells, Inputs, SdramBeside, SdramModel

CONFIGS = {
    # Each speed grade at the highest frequency of each CAS latency, and the board's at others.
    "AS4C16M16SA-6 166 MHz": ("AS4C16M16SA-6", 166_666_666, 3),
    "AS4C16M16SA-6 100 MHz CL2": ("AS4C16M16SA-6", 100_000_000, 2),
    "AS4C16M16SA-7 142 MHz": ("AS4C16M16SA-7", 142_857_142, 3),
    "W9825G6JH-6 166 MHz": ("W9825G6JH-6", 166_666_666, 3),
    "W9825G6JH-6 133 MHz CL2": ("W9825G6JH-6", 133_333_333, 2),
    "W9825G6JH-75 133 MHz": ("W9825G6JH-75", 133_333_333, 3),
    "ULX3S 133 MHz": ("ULX3S", 133_333_333, 3),
    "ULX3S 100 MHz": ("ULX3S", 100_000_000, 3),
    "ULX3S 12.5 MHz": ("ULX3S", 12_500_000, 2),
}

SLOW = (
    "AS4C16M16SA-6 100 MHz CL2", "AS4C16M16SA-7 142 MHz", "W9825G6JH-6 166 MHz",
    "W9825G6JH-75 133 MHz", "ULX3S 133 MHz", "ULX3S 100 MHz", "ULX3S 12.5 MHz",
)  # fmt: skip
"""For `make test-all`; the others are the fastest, another CAS latency and the board as built."""

PADS = {"ULX3S 100 MHz, registers in the pads": ("ULX3S", 100_000_000, 3, 2)}


def part(name):
    """A part that is up within 2 us and has short rows, so that many follow each other.

    `test_sequence` has the real one.
    """
    return replace(PARTS[name], power_up_ns=2000, column_bits=6)


def unit(config, sdram=Sdram, **parts):
    """The controller, or an edited one, or one with edited parts."""
    name, *arguments = config
    made = sdram(part(name), *arguments)
    arguments = {
        "visits": (made.part,),
        "power_up": (made.timing,),
        "refresh": (made.timing, made.timing.refresh - made.period),
    }
    for attribute, cls in parts.items():
        Fragment.get(getattr(made, attribute), None)  # Amaranth warns of units that never are
        setattr(made, attribute, cls(*arguments[attribute]))
    return made


def broken(old, new):
    return lambda config: unit(config, edited(Sdram, old, new))


def broken_part(name, cls, old, new):
    return lambda config: unit(config, **{name: edited(cls, old, new)})


class Padded(Component):
    """The controller on a board: a register in each pad, on its way out and in."""

    def __init__(self, sdram):
        self.sdram = sdram
        super().__init__(dict(sdram.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.sdram = sdram = self.sdram
        connect_stream(m, self.i, sdram.i)
        connect_stream(m, self.i_word, sdram.i_word)
        connect_stream(m, sdram.o, self.o)
        for name in ("cke", "cs_n", "command", "bank", "address", "mask"):
            m.d.sync += getattr(self.pins, name).eq(getattr(sdram.pins, name))
        m.d.sync += [
            self.pins.data.o.eq(sdram.pins.data.o),
            self.pins.data.oe.eq(sdram.pins.data.oe),
            sdram.pins.data.i.eq(self.pins.data.i),
        ]
        return m


class Traffic:
    """Requests, and what a plain array makes of them."""

    def __init__(self, config, rng, name, filled=()):
        self.part, self.rng, self.name = part(config[0]), rng, name
        self.clock_hz = config[1]
        self.requests, self.written, self.read = [], [], []
        self.words = {}
        for block, blocks in filled:
            for n in range(blocks * BURST):
                address = (block * BURST + n) % self.part.words
                self.words[address] = int(rng.integers(1 << 16))
        self.before = dict(self.words)

    def request(self, write, block, blocks):
        self.requests.append({"write": write, "block": block, "blocks": blocks})
        for n in range(blocks * BURST):
            address = (block * BURST + n) % self.part.words
            if write:
                self.words[address] = int(self.rng.integers(1 << 16))
                self.written.append(self.words[address])
            else:
                self.read.append(self.words.get(address, 0))

    def case(self, **more):
        return Case(
            {"i": self.requests, "i_word": self.written},
            {"o": self.read},
            beside=[partial(SdramBeside, self.part, self.clock_hz, self.before, self.words)],
            name=self.name,
            **more,
        )


class SdramBench(UnitBench):
    """Every case begins with power-up, so that it needs no other to be repeated."""

    name = "sdram"
    configs = {**CONFIGS, **PADS}
    cocotb_configs = ("AS4C16M16SA-6 166 MHz", *PADS)
    slow_configs = (*SLOW, *cocotb_configs)
    bug_configs = ("AS4C16M16SA-6 166 MHz", "W9825G6JH-6 133 MHz CL2")
    reset_between = True
    drain = 100
    bugs = {
        "tRCD": broken("access[bank].start(timing.rcd)", "access[bank].start(timing.rcd - 1)"),
        "tRP after a burst": broken("= max(BURST + timing.rp,", "= max(BURST + timing.rp - 1, 0 *"),
        "tRP before a refresh": broken_part(
            "refresh", Refresh, "guard.start(self.timing.rp)", "guard.start(self.timing.rp - 1)"
        ),
        "tRAS": broken("may_close.start(self.active)", "may_close.start(1)"),
        "tRRD": broken("may_open.start(timing.rrd)", "may_open.start(1)"),
        "tWR": broken("may_close.start(BURST - 1 + timing.wr)", "may_close.start(BURST)"),
        "tRFC": broken("activate[bank].start(timing.rfc)", "activate[bank].start(timing.rfc - 1)"),
        "tRFC at power-up": broken_part(
            "power_up", PowerUp, "at += timing.rfc", "at += timing.rfc - 1"
        ),
        "tRP at power-up": broken_part(
            "power_up", PowerUp, "at = timing.power_up + timing.rp", "at = timing.power_up + 1"
        ),
        "tMRD": broken_part("power_up", PowerUp, "end = at + timing.mrd", "end = at + 1"),
        "no time to power up": broken_part(
            "power_up", PowerUp, "steps = {timing.power_up:", "steps = {timing.power_up - 3:"
        ),
        "a refresh too few": broken_part(
            "power_up", PowerUp, "in range(INIT_REFRESHES)", "in range(INIT_REFRESHES - 1)"
        ),
        "the other CAS latency": broken_part(
            "power_up", PowerUp, "mode(timing.cas)", "mode(timing.cas ^ 1)"
        ),
        "bursts of four": broken_part(
            "power_up", PowerUp, "mode(timing.cas)", "mode(timing.cas) - 1"
        ),
        "mode of a request's bank": broken(
            "Mux(self.power_up.done, current.bank, 0)", "current.bank"
        ),
        "banks stay open at power-up": broken_part(
            "power_up", PowerUp, "(Command.PRECHARGE, ALL_BANKS)", "(Command.PRECHARGE, 0)"
        ),
        "commands before power-up is done": broken(
            "free.eq(self.power_up.done & ~", "free.eq(~"
        ),
        "refresh without a margin": broken_part(
            "refresh", Refresh, "timing.refresh - delay", "timing.refresh"
        ),
        "never a refresh": broken_part("refresh", Refresh, "self.due.eq(1)", "self.due.eq(0)"),
        "refresh beside bursts": broken(
            "self.refresh.may_close.eq(self.power_up.done & may_close.open)",
            "self.refresh.may_close.eq(self.power_up.done)",
        ),
        "commands during a refresh": broken(
            "self.power_up.done & ~self.refresh.due)", "self.power_up.done)"
        ),
        "this row survives a refresh": broken("[opened.eq(0), following", "[following"),
        "the next row survives a refresh": broken(
            "opened.eq(0), following_opened.eq(0)]\n\n", "opened.eq(0)]\n\n"
        ),
        "the next row opened in the same bank": broken("& (following.bank != current.bank)", ""),
        "rows stay open": broken("Mux(last, AUTO_PRECHARGE, 0)", "0"),
        "rows close at once": broken("Mux(last, AUTO_PRECHARGE, 0)", "AUTO_PRECHARGE"),
        "bursts cut": broken("may_read.start(BURST)\n            may_write.start(turn)",
            "may_read.start(BURST - 1)\n            may_write.start(turn)"),
        "writes cut by reads": broken("may_read.start(BURST)\n            may_write.start(BURST)",
            "may_read.start(BURST - 1)\n            may_write.start(BURST)"),
        "writes cut": broken("may_read.start(BURST)\n            may_write.start(BURST)",
            "may_read.start(BURST)\n            may_write.start(BURST - 1)"),
        "no turnaround": broken("turn = timing.cas + BURST + 1", "turn = timing.cas + BURST"),
        "both drive the bus": broken("timing.cas + BURST + 1", "timing.cas + BURST - 1"),
        "reads without room": broken("may_read.open & room", "may_read.open"),
        "room for seven": broken("free >= BURST", "free >= BURST - 1"),
        "room is never free again": broken(" + transfers(self.o))", ")"),
        "writes without words": broken("may_write.open & words_there", "may_write.open"),
        "writes with seven words": broken("there >= BURST", "there >= BURST - 1"),
        "taken a clock early": broken("- 1 << trip", "- 1 << trip - 1"),
        "the first word lost": broken("(1 << BURST) - 1 <<", "(1 << BURST) - 2 <<"),
        "nothing driven": broken("data.oe.eq(queue.o.ready)", "data.oe.eq(0)"),
        "always driven": broken("data.oe.eq(queue.o.ready)", "data.oe.eq(1)"),
        "masked": broken("Mux(self.power_up.done, 0, -1)", "-1"),
        "row of this visit": broken("Mux(opened, following.row, current.row)", "current.row"),
        "the same block again": broken("current.block + 1", "current.block"),
        "row before bank": broken_part(
            "visits", Visits, "payload.row.eq(row[self.part.bank_bits :])", "payload.row.eq(row)"
        ),
    }  # fmt: skip

    def dut(self, config):
        return Padded(unit(config)) if config in PADS.values() else unit(config)

    def cases(self, config, rng):
        blocks = (1 << part(config[0]).column_bits) // BURST  # of a row
        total = part(config[0]).blocks
        some = Traffic(config, rng, "here and there")
        # Few places, so that what was written is read; ends of rows, banks and the whole part.
        places = [
            0, blocks - 3, blocks, 4 * blocks - 2, 7 * blocks + 5, total - 2, total // 2 - 1,
        ]  # fmt: skip
        for _ in range(60):
            place = (places[rng.integers(len(places))] + int(rng.integers(3))) % total
            some.request(int(rng.integers(2)), place, int(rng.integers(1, 7)))
        yield some.case()

        rows = Traffic(config, rng, "one bank", [(blocks * 4 * n, 1) for n in range(8)])
        for n in rng.integers(8, size=40).tolist():
            rows.request(int(rng.integers(2)), blocks * 4 * n, 1)
        yield rows.case()

        begin, length = 2 * blocks - 3, 12 * blocks + 3
        stream = Traffic(config, rng, "in sequence", [(begin, length)])
        stream.request(0, begin, length)
        yield stream.case()
        load = Traffic(config, rng, "load and read")
        load.request(1, total - 20, 60)
        load.request(0, total - 20, 60)
        yield load.case()


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SdramBench())


class Bus:
    """The controller and the real part, clock by clock in Amaranth's simulator."""

    def __init__(self, config, words):
        name, clock_hz, cas = config
        self.unit = Sdram(PARTS[name], clock_hz, cas)
        self.model = SdramModel(PARTS[name], clock_hz, Cells(words))

    def run(self, bench):
        simulator = Simulator(self.unit)
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()

    async def clock(self, ctx):
        pins = self.unit.pins
        data = ctx.get(pins.data.o) if ctx.get(pins.data.oe) else None
        names = ("command", "bank", "address", "mask", "cke", "cs_n")
        inputs = Inputs(data=data, **{name: ctx.get(getattr(pins, name)) for name in names})
        word = self.model.rise(inputs)
        await ctx.tick()
        ctx.set(pins.data.i, 0xDEAD if word is None else word)

    async def power_up(self, ctx):
        """Until a first refresh after power-up is over."""
        while self.model.refreshes <= INIT_REFRESHES:
            await self.clock(ctx)
        for _ in range(20):
            await self.clock(ctx)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CONFIGS]
)
def test_sequence(name):
    """After the real power-up; N words take latency + N + refreshes x cost clocks, no more."""
    blocks = 500
    words = {n: (40503 * n + 7) % (1 << 16) for n in range(blocks * BURST)}
    bus = Bus(CONFIGS[name], words)
    unit = bus.unit
    found = []

    async def bench(ctx):
        await bus.power_up(ctx)
        assert bus.model.clock >= unit.timing.power_up
        before, refreshes, clocks, first = bus.model.refreshes, 0, 0, None
        ctx.set(unit.i.payload, {"write": 0, "block": 0, "blocks": blocks})
        ctx.set(unit.i.valid, 1)
        ctx.set(unit.o.ready, 1)
        while len(found) < len(words):
            if ctx.get(unit.o.valid):
                first = clocks if first is None else first
                found.append(ctx.get(unit.o.payload))
            # A refresh behind the last READ delays nothing.
            if ctx.get(unit.pins.command) == Command.READ:
                refreshes = bus.model.refreshes - before
            await bus.clock(ctx)
            ctx.set(unit.i.valid, 0)
            clocks += 1
        assert first == unit.latency
        assert clocks == unit.latency + len(words) + refreshes * unit.refresh_cost
        assert abs(refreshes - clocks / unit.period) < 1
        fraction = 1 - unit.refresh_cost / unit.period
        print(f"{name}: {len(words)} words, {clocks} clocks, {refreshes} refreshes, {fraction:.4f}")
        assert fraction >= 0.95

    bus.run(bench)
    assert found == list(words.values())


def test_refreshes_while_nobody_reads():
    """A stream that stands for many refresh periods loses nothing, and refreshes go on."""
    words = {n: n + 1 for n in range(20 * BURST)}
    bus = Bus(CONFIGS["ULX3S 12.5 MHz"], words)
    unit = bus.unit

    async def bench(ctx):
        await bus.power_up(ctx)
        before = bus.model.refreshes
        ctx.set(unit.i.payload, {"write": 0, "block": 0, "blocks": 20})
        ctx.set(unit.i.valid, 1)
        for _ in range(30 * unit.period):
            await bus.clock(ctx)
            ctx.set(unit.i.valid, 0)
        assert abs(bus.model.refreshes - before - 30) <= 1
        ctx.set(unit.o.ready, 1)
        found = []
        while len(found) < len(words):
            if ctx.get(unit.o.valid):
                found.append(ctx.get(unit.o.payload))
            await bus.clock(ctx)
        assert found == list(words.values())

    bus.run(bench)


def test_contract():
    """With times of a clock, so that power-up and a read fit a bounded check."""
    once = dict.fromkeys(("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "mrd"), Least())
    quick = Part(
        bank_bits=1, row_bits=1, column_bits=4, cycle=((2, 10),), ras_max_ns=1e6,
        refresh_ns=1000, power_up_ns=0, **once,
    )  # fmt: skip
    never = edited(Sdram, "connect_stream(m, queue.o, self.o)",
        "connect_stream(m, queue.o, self.o); m.d.comb += queue.o.ready.eq(1)")  # fmt: skip
    check_contract(
        lambda: Sdram(quick, 100_000_000, 2),
        StreamContract(free=("pins__data__i",), depth=34, induction=4),
        {"never stalls": lambda: never(quick, 100_000_000, 2)},
    )
