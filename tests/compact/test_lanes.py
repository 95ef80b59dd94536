"""Lanes: exact row sums of all shapes, activations shifted in before each block."""

import numpy as np
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.golden.engine import row_sums
from sterna.spec.compact import COLUMNS, LONGEST
from sterna_rtl.compact.lanes import Lanes
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, Memory, UnitBench, edited
from sterna_sim.kit.suite import bench_tests


class Fed(Component):
    """The lanes with who shifts in the activations of the next block while one passes."""

    def __init__(self, unit=Lanes):
        self.unit = unit()
        members = self.unit.signature.members
        block = members["i_block"].signature.members["payload"].shape
        self.item = StructLayout({"block": block, "activations": 8 * COLUMNS})
        super().__init__(
            {
                "i": In(stream.Signature(self.item)),
                "i_words": members["i_words"],
                "new_sums": members["new_sums"],
                "writes": Out(16),  # of this matrix
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i_words, unit.i_words)
        shifted, given = Signal(range(COLUMNS + 1)), unit.i_block
        full = shifted == COLUMNS
        m.d.comb += [
            unit.activation.eq(self.i.payload.activations.word_select(shifted, 8)),
            unit.shifts.eq(self.i.valid & ~full),
            self.i.ready.eq(full & ~given.valid),
        ]
        with m.If(transfers(given)):
            m.d.sync += given.valid.eq(0)
        for part in ("enable", "address", "data"):
            m.d.comb += getattr(self.new_sums, part).eq(getattr(unit.new_sums, part))
        with m.If(unit.shifts):
            m.d.sync += shifted.eq(shifted + 1)
        with m.If(self.new_sums.enable):
            m.d.sync += self.writes.eq(self.writes + 1)
        with m.If(transfers(self.i)):
            m.d.sync += [shifted.eq(0), given.valid.eq(1), given.payload.eq(self.i.payload.block)]
            with m.If(self.i.payload.block.begins):
                m.d.sync += self.writes.eq(0)
        return m


def matrix(rng, rows, columns):
    """Weights of all kinds: drawn, or all of one sign."""
    trits = rng.integers(-1, 2, (rows, columns))
    return np.where(rng.random((rows, 1)) < 0.2, rng.choice([-1, 1], (rows, 1)), trits)


class LanesBench(UnitBench):
    """Matrices of one block and of many, of one row and of the most."""

    name = "lanes"
    configs = {"small": (1, 30), "largest": (LONGEST, LONGEST)}
    cocotb_configs = ("largest",)
    slow_configs = ("largest",)
    bug_configs = ("small",)
    bugs = {
        name: lambda _, old=old, new=new: Fed(edited(Lanes, old, new))
        for name, old, new in (
            (
                "a negative weight one too low",
                "left[0]), third, left[1]), left[2]",
                "0), third, 0), 0",
            ),
            (
                "zero with a sign",
                "carries.append(lane.nonzero & lane.negative)",
                "carries.append(lane.negative)",
            ),
            (
                "sums of the matrix before",
                "Mux(block.begins, 0, partial.read.data)",
                "partial.read.data",
            ),
            (
                "sums of the row before",
                "partial.read.address.eq(rows[1])",
                "partial.read.address.eq(rows[2])",
            ),
            ("done before its last sum", "ended & ~line.any()", "ended"),
            ("a row too many", "ended.eq(row == block.last_row)", "ended.eq(row > block.last_row)"),
            ("activations of the next block", "self.i_block.valid & ~begun", "self.i_block.valid"),
            (
                "first activation in the last lane",
                "Cat(following[8:], self.activation)",
                "Cat(self.activation, following)",
            ),
            ("sums before the last block", "line[-1] & block.ends", "line[-1]"),
        )
    }
    not_stalled = {"i": "ready only when the activations that wait there have been taken"}

    def dut(self, config):
        return Fed()

    def cases(self, config, rng):
        least, most = config
        for number in range(8 if least == 1 else 1):
            rows, blocks = int(rng.integers(least, most + 1)), int(rng.integers(1, 13))
            columns = COLUMNS * blocks
            if number == 0:
                rows, columns = most, COLUMNS * 12
            trits = matrix(rng, rows, columns)
            activations = rng.integers(-127, 128, columns)
            activations = np.where(
                rng.random(columns) < 0.3, rng.choice([-127, 127], columns), activations
            )
            yield case(rng, trits, activations)


def case(rng, trits, activations):
    rows, columns = trits.shape
    blocks = columns // COLUMNS
    items, words = [], []
    for block in range(blocks):
        part = slice(block * COLUMNS, (block + 1) * COLUMNS)
        packed = activations[part].astype(np.int8).tobytes()
        flags = {"last_row": rows - 1, "begins": block == 0, "ends": block == blocks - 1}
        items.append({"block": flags, "activations": int.from_bytes(packed, "little")})
        for row in trits[:, part]:
            # A zero may carry any sign.
            signs = np.where(row == 0, rng.integers(2, size=COLUMNS), row < 0)
            pairs = zip(row != 0, signs, strict=True)
            words.append([{"nonzero": n, "negative": s} for n, s in pairs])
    before = rng.integers(-100, 100, 1 << 9)
    after = before.copy()
    after[:rows] = row_sums(activations[None].astype(np.int8), trits.astype(np.int8))[0]
    port = "new_sums__enable", "new_sums__address", "new_sums__data"
    return Case(
        {"i": items, "i_words": words},
        finals={"writes": rows},
        memories=[Memory(before, (), [port], expected=after, name="sums")],
        # From block to block: the way through the lanes, the harness' register, the activations'.
        clocks=COLUMNS + 1 + blocks * max(COLUMNS + 2, rows + Lanes.latency + 3),
        name=f"{rows}x{columns}",
    )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LanesBench())
