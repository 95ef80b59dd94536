"""The SDRAM's pads on the board: a flip-flop in each, and levels that arrive as they are."""

import re

from amaranth import *
from amaranth.lib import io
from amaranth.sim import Simulator
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from sterna.spec.sdram import PARTS
from sterna_rtl.boards.sdram_pads import connect_sdram
from sterna_rtl.memory.pins import Pins

PADS = {"clk": 1, "clk_en": 1, "cs": 1, "ras": 1, "cas": 1, "we": 1, "ba": 2, "a": 13, "dqm": 2}


class Top(Elaboratable):
    """A chip's pins, each a register of its own."""

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.clk25 = clk25 = io.Buffer("i", platform.request("clk25", dir="-"))
        m.d.comb += ClockSignal().eq(clk25.i)
        pins = Pins(PARTS["ULX3S"]).create()
        for name in ("cke", "cs_n", "command", "bank", "address", "mask"):
            m.d.sync += getattr(pins, name).eq(~getattr(pins, name))
        m.d.sync += [pins.data.oe.eq(~pins.data.oe), pins.data.o.eq(pins.data.i)]
        connect_sdram(m, platform, pins)
        return m


def test_pads():
    plan = ULX3S_85F_Platform().prepare(Top(), "top")
    rtlil, constraints = plan.files["top.il"], plan.files["top.lpf"]
    sites = re.findall(r'LOCATE COMP "sdram_0__(\w+?)__io(?:\[\d+\])?" SITE "(\w+)"', constraints)
    assert len({site for _, site in sites}) == len(sites) == sum(PADS.values()) + 16
    found = [name for name, _ in sites]
    assert {name: found.count(name) for name in {*found}} == {**PADS, "dq": 16}

    def cells(kind):
        return re.findall(rf"cell \\{kind} (\S+)", rtlil)

    assert (len(cells("IFS1P3DX")), len(cells("ODDRX1F"))) == (16, 1)
    # Each level and each word has one, and each pad's enable.
    assert len(cells("OFS1P3DX")) == 2 * (len(sites) - 1) + 1


class Clock(Elaboratable):
    """In place of the clock's pad, which Amaranth does not simulate."""

    def __init__(self, direction, port):
        self.o = Signal(), Signal()

    def elaborate(self, platform):
        return Module()


class Ports:
    """The resource in a simulation; what is low when it is on is inverted, as on the board."""

    def __init__(self):
        for pad, bits in PADS.items():
            invert = pad in ("cs", "ras", "cas", "we")
            setattr(self, pad, io.SimulationPort("o", bits, name=pad, invert=invert))
        self.dq = io.SimulationPort("io", 16, name="dq")

    def request(self, name, dir):
        assert (name, set(dir), set(dir.values())) == ("sdram", {*PADS, "dq"}, {"-"})
        return self


def test_levels(monkeypatch):
    """They arrive a clock later as the controller has them, and so do words."""
    monkeypatch.setattr(io, "DDRBuffer", Clock)
    m, ports, pins = Module(), Ports(), Pins(PARTS["ULX3S"]).create()
    connect_sdram(m, ports, pins)
    levels = {
        "cs": pins.cs_n, "ras": pins.command[2], "cas": pins.command[1], "we": pins.command[0],
        "clk_en": pins.cke, "ba": pins.bank, "a": pins.address, "dqm": pins.mask,
    }  # fmt: skip

    async def bench(ctx):
        for number in range(8):
            value = number * 0x1357
            for pin in (pins.cke, pins.cs_n, pins.command, pins.bank, pins.address, pins.mask):
                ctx.set(pin, value >> number & (1 << len(pin)) - 1)
            ctx.set(pins.data.o, value)
            ctx.set(pins.data.oe, number > 4)
            ctx.set(ports.dq.i, value ^ 0xFFFF)
            await ctx.tick()
            for pad, level in levels.items():
                assert ctx.get(getattr(ports, pad).o) == ctx.get(level), pad
            assert ctx.get(ports.dq.o) == value & 0xFFFF
            assert ctx.get(ports.dq.oe) == (0xFFFF if number > 4 else 0)
            if number <= 4:
                assert ctx.get(pins.data.i) == value & 0xFFFF ^ 0xFFFF

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
