"""Checksum of the compact chip: that of zlib, byte after byte, begun anew here and there."""

import zlib

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.compact.checksum import Checksum
from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, UnitBench, edited
from sterna_sim.kit.suite import bench_tests


class Shown(Component):
    """The unit with who begins anew where an item says so, and looks after each byte."""

    def __init__(self, unit=Checksum):
        self.unit = unit()
        item = StructLayout({"byte": 8, "starts": 1})
        super().__init__({"i": In(stream.Signature(item)), "o": Out(stream.Signature(32))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        given, begun, adding = self.i.payload, Signal(), Signal()
        m.d.comb += [
            unit.starts.eq(self.i.valid & given.starts & ~begun & ~adding),
            unit.i.valid.eq(self.i.valid & (begun | ~given.starts) & ~adding),
            unit.i.payload.eq(given.byte),
            self.i.ready.eq(unit.i.ready & unit.i.valid),
            self.o.valid.eq(adding & unit.i.ready),
            self.o.payload.eq(unit.crc),
        ]
        m.d.sync += begun.eq(unit.starts)
        with m.If(transfers(unit.i)):
            m.d.sync += adding.eq(1)
        with m.Elif(transfers(self.o)):
            m.d.sync += adding.eq(0)
        return m


class ChecksumBench(UnitBench):
    """Messages of several lengths; the first one without being begun."""

    name = "compact-checksum"
    cocotb_configs = ("default",)
    reset_between = True
    bugs = {
        name: lambda _, old=old, new=new: Shown(edited(Checksum, old, new))
        for name, old, new in (
            ("not complemented", "self.crc.eq(~state)", "self.crc.eq(state)"),
            ("seven bits", "left.eq(_BYTE)", "left.eq(_BYTE - 1)"),
            ("not begun anew", "m.d.sync += state.eq(CRC_INIT)", "m.d.sync += state.eq(state)"),
            (
                "begins with 0",
                "state, left = Signal(32, init=CRC_INIT)",
                "state, left = Signal(32)",
            ),
            ("another polynomial", "0xEDB88320", "0x82F63B78"),
            ("upper bits first", "rest[0])", "rest[-1])"),
        )
    }
    not_stalled = {"i": "ready only when the byte before has been looked at"}

    def dut(self, config):
        return Shown()

    def cases(self, config, rng):
        items, results, message = [], [], b""
        for length in (5, 1, 12, 2):
            for n, byte in enumerate(rng.integers(256, size=length).tolist()):
                starts = n == 0 and bool(items)
                message = bytes([byte]) if starts else message + bytes([byte])
                items.append({"byte": byte, "starts": starts})
                results.append(zlib.crc32(message))
        yield Case({"i": items}, {"o": results}, clocks=11 * len(items) + 8)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ChecksumBench())
