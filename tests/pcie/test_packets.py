"""PacketMerge: packets of both streams come whole, in order and in turns."""

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna.spec.pcie import BEAT_BITS
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.pcie.block import rq_beat
from sterna_rtl.pcie.packets import PacketMerge
from sterna_sim.kit import Case, UnitBench, bench_tests, edited

WRITES = 1
"""Lowest bit of a write's beats; a read's have 0 there."""


def parted_layout(width):
    return StructLayout({"beat": rq_beat(width), "torn": 1})


class Parted(Component):
    """The merge, and its beats by where they came from.

    `torn`: the packet began with a beat of the other stream.
    """

    def __init__(self, width, unit=PacketMerge):
        self.unit = unit(width)
        beats, parted = stream.Signature(rq_beat(width)), stream.Signature(parted_layout(width))
        super().__init__(
            {
                "i_reads": In(beats),
                "i_writes": In(beats),
                "o_reads": Out(parted),
                "o_writes": Out(parted),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        for name in ("i_reads", "i_writes"):
            connect_stream(m, getattr(self, name), getattr(unit, name))
        beat = unit.o.payload
        source, within, began = beat.data[0], Signal(), Signal()
        with m.If(transfers(unit.o)):
            m.d.sync += within.eq(~beat.last)
            with m.If(~within):
                m.d.sync += began.eq(source)
        m.d.comb += unit.o.ready.eq(Mux(source, self.o_writes.ready, self.o_reads.ready))
        for port, of in ((self.o_writes, source), (self.o_reads, ~source)):
            m.d.comb += [
                port.valid.eq(unit.o.valid & of),
                port.payload.beat.eq(beat),
                port.payload.torn.eq(within & (began != source)),
            ]
        return m


def broken(old, new):
    return lambda width: Parted(width, edited(PacketMerge, old, new))


def packets(width, rng, lengths, source):
    """Beats of packets of so many beats each."""

    def bits(count):
        return int.from_bytes(rng.bytes(-(-count // 8))) >> -count % 8

    user = rq_beat(width).members["user"].members
    for length in lengths:
        for number in range(length):
            yield {
                "data": bits(width) & ~1 | source,
                "keep": bits(width // 32),
                "last": number == length - 1,
                "user": {name: bits(count) for name, count in user.items()},
            }


class PacketsBench(UnitBench):
    """Packets of one beat to three, many and few of each kind."""

    name = "packets"
    configs = {f"{width}": width for width in BEAT_BITS}
    cocotb_configs = ("64", "512")
    bugs = {
        "packets are torn": broken("Mux(held, wrote, fresh)", "fresh"),
        "torn where a beat is late": broken(
            "with m.If(o.valid):", "m.d.sync += held.eq(0)\n        with m.If(o.valid):"
        ),
        "the first beat may change": broken("~(transfers(o) & o.payload.last)", "~o.payload.last"),
        "a beat is lost": broken("reads.ready.eq(o.ready & ~writing)", "reads.ready.eq(o.ready)"),
        "beats of the other": broken("Mux(writing, writes.payload,", "Mux(wrote, writes.payload,"),
    }
    bug_configs = ("64",)

    def dut(self, config):
        return Parted(config)

    def cases(self, config, rng):
        for name, kinds in (
            ("both", ([3, 1, 2, 1, 1, 3, 2] * 4, [1, 3, 1, 2, 2, 1, 3] * 4)),
            ("reads", ([2] * 20, [3])),
            ("writes", ([1], [3, 1] * 10)),
        ):
            given, out = {}, {}
            for port, lengths, source in zip(("reads", "writes"), kinds, (0, WRITES), strict=True):
                beats = list(packets(config, rng, lengths, source))
                given[f"i_{port}"] = beats
                out[f"o_{port}"] = [{"beat": beat, "torn": 0} for beat in beats]
            clocks = sum(map(len, given.values()))
            yield Case(given, out, clocks=clocks, name=name)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(PacketsBench())


def sent(unit, clocks=24):
    """Whose packets pass, W or R, while both always offer one of a beat."""
    dut, seen = unit(64), []

    async def bench(ctx):
        for port, source in ((dut.i_reads, 0), (dut.i_writes, WRITES)):
            ctx.set(port.valid, 1)
            ctx.set(port.payload.data, source)
            ctx.set(port.payload.last, 1)
        for clock in range(clocks):
            ctx.set(dut.o.ready, clock % 3 != 0)
            if ctx.get(transfers(dut.o)):
                seen.append("RW"[ctx.get(dut.o.payload.data[0])])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return "".join(seen)


def test_they_take_turns():
    assert sent(PacketMerge) == "WR" * 8


@pytest.mark.parametrize("first", ["writes.valid", "~reads.valid"])
def test_planted_starvation(first):
    assert sent(edited(PacketMerge, "Mux(wrote, ~reads.valid, writes.valid)", first)) != "WR" * 8
