"""Regroup: every sum once and in order, zeros where lanes are missing, full rate, the contract."""

from dataclasses import replace

import pytest

from sterna.spec.chip import REFERENCE
from sterna_rtl.lib.regroup import Regroup
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited


def chip(rows, elements, columns=64, max_columns=3):
    return replace(
        REFERENCE, rows=rows, elements=elements, columns=columns, max_columns=max_columns
    )


def beats(sums, width):
    """Sums of a segment, `width` a beat, zeros after the last."""
    padded = sums + [0] * (-len(sums) % width)
    starts = range(0, len(padded), width)
    return [
        {"sums": padded[start : start + width], "last": start + width == len(padded)}
        for start in starts
    ]


def broken(old, new):
    return lambda config: edited(Regroup, old, new)(config)


class RegroupBench(UnitBench):
    """Segments of every length up to two beats of the wider side, and longer ones."""

    name = "regroup"
    configs = {
        f"{rows}to{elements}": chip(rows, elements)
        for rows, elements in ((2, 8), (8, 2), (1, 2), (2, 1), (4, 8), (1, 8), (8, 1), (4, 4))
    }
    bugs = {
        "missing lanes keep old sums": broken("part > index, kept, 0", "part > index, kept, kept"),
        "no flush at the end": broken("(part == parts - 1) | last", "part == parts - 1"),
        "part not reset by a flush": broken("part.eq(Mux(full, 0, part + 1))", "part.eq(part + 1)"),
        "part of an input that waits": broken("m.If(transfers(self.i))", "m.If(self.i.valid)"),
        "last on every part": broken("self.i.payload.last & final", "self.i.payload.last"),
        "input taken too early": broken("eq(can_load(self.o) & final)", "eq(can_load(self.o))"),
        "no beat waits": broken("ready.eq(queue.i.ready)", "ready.eq(queue.o.ready)"),
    }
    bug_configs = ("2to8", "8to2")
    not_stalled = {"i": "if R > E the unit is ready only when a beat has shown all its parts"}

    def dut(self, config):
        return Regroup(config)

    def cases(self, config, rng):
        rows, elements = config.rows, config.elements
        limit = 1 << config.row_sum_bits - 1
        wide = max(rows, elements)
        groups = [*range(1, 2 * wide // rows + 1), 37, 40]
        for name, lengths in (("short", 2 * groups), ("long", [60])):
            given, expected = [], []
            for length in lengths:
                sums = rng.integers(-limit, limit, length * rows).tolist()
                given += beats(sums, rows)
                expected += beats(sums, elements)
            clocks = max(len(given), len(expected)) + (rows != elements)
            yield Case({"i": given}, {"o": expected}, clocks=clocks, name=name)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(RegroupBench())


@pytest.mark.parametrize(("rows", "elements"), [(1, 2), (2, 1), (2, 2)])
def test_contract(rows, elements):
    config = chip(rows, elements, columns=2, max_columns=1)
    # The first part of a split beat goes out before the beat is taken.
    parts = max(1, rows // elements)
    contract = StreamContract(items_in=1, items_out=parts, combinational=rows >= elements)
    bug = {
        (1, 2): ("queue.i.valid.eq(self.i.valid & full)", "queue.i.valid.eq(full)"),
        (2, 1): ("with m.If(can_load(self.o)):", "with m.If(1):"),
        (2, 2): ("connect_stream(m, self.i, self.o)", "m.d.comb += self.o.valid.eq(self.o.ready)"),
    }[rows, elements]
    check_contract(lambda: Regroup(config), contract, {"bug": lambda: broken(*bug)(config)})
