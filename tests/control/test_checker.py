"""Checker: CRC-32 of pieces it reads itself, the host's traffic before and after."""

import zlib

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna_rtl.control.checker import Checker
from sterna_rtl.control.loader import PIECE
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

REQUEST = StructLayout({"read": 1, "data": PIECE})


class Commanded(Component):
    """The checker with its start in the stream of requests: with `check` it reads `data` pieces.

    After a check comes an item of its own, the checksum.
    """

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        members = checker.signature.members
        command = StructLayout({"check": 1, "read": 1, "data": PIECE})
        super().__init__(
            {
                "command": In(stream.Signature(command)),
                "o": members["o"],
                "o_loader": members["o_loader"],
                "i_loader": members["i_loader"],
                "o_checksum": Out(stream.Signature(32)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.checker = checker = self.checker
        command = self.command.payload
        connect_stream(m, checker.o, self.o)
        connect_stream(m, checker.o_loader, self.o_loader)
        owed = Signal()  # the loader has been asked for a piece
        m.d.comb += [
            checker.i_loader.payload.eq(self.i_loader.payload),
            checker.i_loader.valid.eq(self.i_loader.valid & owed),
            self.i_loader.ready.eq(checker.i_loader.ready & owed),
        ]
        with m.If(transfers(checker.i_loader)):
            m.d.sync += owed.eq(0)
        with m.If(transfers(checker.o_loader) & checker.o_loader.payload.read):
            m.d.sync += owed.eq(1)
        checked = Signal()
        asked = Signal()  # a read of the host has not been answered
        free = ~checker.busy & ~checked & ~asked & ~owed
        m.d.comb += [
            checker.i.payload.read.eq(command.read),
            checker.i.payload.data.eq(command.data),
            checker.i.valid.eq(self.command.valid & ~command.check & ~checked & ~asked),
            checker.start.eq(self.command.valid & command.check & free),
            checker.pieces.eq(command.data),
            self.command.ready.eq(Mux(command.check, free, checker.i.ready & ~checked & ~asked)),
            self.o_checksum.valid.eq(checked & ~checker.busy),
            self.o_checksum.payload.eq(checker.checksum),
        ]
        with m.If(checker.start):
            m.d.sync += checked.eq(1)
        with m.If(transfers(self.o_checksum)):
            m.d.sync += checked.eq(0)
        with m.If(transfers(checker.i) & command.read):
            m.d.sync += asked.eq(1)
        with m.If(transfers(self.o)):
            m.d.sync += asked.eq(0)
        return m


def broken(old, new):
    return lambda config: Commanded(edited(Checker, old, new)())


class CheckerBench(UnitBench):
    """Checks of several lengths among writes and reads of the host."""

    name = "checker"
    configs = {"only": None}
    bugs = {
        "highest byte first": broken("data[:8]", "data[24:]"),
        "one piece too many": broken("left.eq(self.pieces)", "left.eq(self.pieces + 1)"),
        "checksum goes on": broken(", crc.eq(CRC_INIT)]", "]"),
        "not complemented": broken("checksum.eq(~crc)", "checksum.eq(crc)"),
        "a byte lost": broken("bytes_left.eq(_BYTES)", "bytes_left.eq(_BYTES - 1)"),
        "asks for two": broken("more & ~waiting", "more"),
        "takes a piece too early": broken(
            "empty = more & ~waiting, bytes_left == 0", "empty = more & ~waiting, Const(1)"
        ),
        "not busy to the end": broken("waiting | (bytes_left != 0)", "waiting"),
    }
    not_stalled = {
        "command": "it waits for checks and answers",
        "i_loader": "it waits to be asked",
    }

    def dut(self, config):
        return Commanded(Checker())

    def cases(self, config, rng):
        commands, given = [], []
        outputs = {"o": [], "o_loader": [], "o_checksum": []}
        for count in (1, 0, 7, 2, 30):
            for _ in range(3):
                read, data = int(rng.integers(2)), int(rng.integers(1 << 32))
                commands.append({"check": 0, "read": read, "data": data})
                outputs["o_loader"].append({"read": read, "data": data})
                if read:
                    given.append(int(rng.integers(1 << 32)))
                    outputs["o"].append(given[-1])
            pieces = rng.integers(0, 1 << 32, count, dtype=np.uint64).astype("<u4")
            commands.append({"check": 1, "read": 0, "data": count})
            given += pieces.tolist()
            outputs["o_loader"] += [{"read": 1, "data": 0}] * count
            outputs["o_checksum"].append(zlib.crc32(pieces.tobytes()))
        yield Case({"command": commands, "i_loader": given}, outputs)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(CheckerBench())


def test_contract():
    """Requests and answers are held, whatever is checked meanwhile."""
    contract = StreamContract(combinational=True)
    bug = broken("more & ~waiting", "more & ~self.o_loader.ready")
    check_contract(
        lambda: Commanded(Checker()), contract, {"asks only the busy": lambda: bug(None)}
    )


def aborted(unit, clocks):
    """Abort a check after some clocks; return the pieces that it reads after that."""
    dut, read = unit(), 0

    async def bench(ctx):
        nonlocal read
        ctx.set(dut.pieces, 1000)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        owed, offered = 0, 0
        for clock in range(clocks + 30):
            ctx.set(dut.abort, clock == clocks)
            ctx.set(dut.o_loader.ready, not owed and clock % 4 == 0)
            ctx.set(dut.i_loader.valid, owed > 4)
            taken = ctx.get(dut.o_loader.valid & dut.o_loader.ready)
            assert ctx.get(dut.o_loader.valid) >= offered, "an offer is taken back"
            offered = ctx.get(dut.o_loader.valid & ~dut.o_loader.ready)
            read += taken and clock > clocks
            given = ctx.get(dut.i_loader.valid & dut.i_loader.ready)
            await ctx.tick()
            owed = 1 if taken else 0 if given or not owed else owed + 1
        assert not ctx.get(dut.busy), "it is busy still"

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return read


def reads_after(unit):
    """Pieces that are read after an abort, wherever it comes."""
    return {aborted(unit, clocks) for clocks in range(4, 20)}


def test_abort():
    """Nothing is asked for but what is being asked for."""
    assert reads_after(Checker) == {0, 1}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("with m.If(self.abort):", "with m.If(0):"),
        ("with m.If(waiting | asks):", "with m.If(1):"),
    ],
)
def test_planted_abort(old, new):
    with pytest.raises(AssertionError):
        reads_after(edited(Checker, old, new))
