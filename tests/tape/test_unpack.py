"""Unpacker: every code that the packer writes, a word on every clock, and the stream contract."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth import Array, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing, pack
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.tape.unpack import Unpacker
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited


def chip(lanes, packing):
    return replace(REFERENCE, rows=1, columns=lanes, elements=1, packing=packing)


class Masked(wiring.Component):
    """The unit with the signs of zero trits cleared: they may be any, here they are one value."""

    def __init__(self, config, unit=Unpacker):
        self.unit = unit(config)
        layouts = Layouts(config)
        super().__init__(
            {"i": In(stream.Signature(layouts.word)), "o": Out(stream.Signature(layouts.weights))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = self.unit
        connect_stream(m, self.i, self.unit.i)
        connect_stream(m, self.unit.o, self.o)
        weights = self.unit.o.payload
        m.d.comb += self.o.payload.negative.eq(weights.negative & weights.nonzero)
        return m


def number(bits):
    return sum(int(bit) << n for n, bit in enumerate(bits))


def weights(trits):
    return {"nonzero": number(trits != 0), "negative": number(trits < 0)}


def broken(old, new):
    return lambda config: Masked(config, edited(Unpacker, old, new))


class UnpackerBench(UnitBench):
    """Every code in every group, then random words."""

    name = "unpacker"
    configs = {
        "6-lanes": chip(6, Packing.FIVE_THIRDS),
        "4-lanes-two-bits": chip(4, Packing.TWO_BITS),
        "64-lanes": chip(64, Packing.FIVE_THIRDS),
        "10-lanes": chip(10, Packing.EIGHT_FIFTHS),
        "64-lanes-eight-bits": chip(64, Packing.EIGHT_FIFTHS),
        "1-lane": chip(1, Packing.FIVE_THIRDS),
        "1-lane-two-bits": chip(1, Packing.TWO_BITS),
    }
    bugs = {
        "sign of trit 1 absolute": broken("sign ^ ~pattern[0]", "~pattern[0]"),
        "signs of trits 1 and 2 swapped": broken(
            "sign ^ ~pattern[0], sign ^ ~pattern[1]", "sign ^ ~pattern[1], sign ^ ~pattern[0]"
        ),
        "tables in reverse": broken("for n in range(3)", "for n in (2, 1, 0)"),
        "signs of eight bits absolute": broken("sign ^ other", "other"),
        "tables of eight bits swapped": broken("magnitude[6], _table", "~magnitude[6], _table"),
        "first of five twice": broken(
            "[n] < 0 for trits in patterns", "[n - 1] < 0 for trits in patterns"
        ),
        "takes all words": broken("self.i.ready.eq(self.o.ready)", "self.i.ready.eq(1)"),
    }
    bug_configs = ("6-lanes", "10-lanes")

    def dut(self, config):
        return Masked(config)

    def cases(self, config, rng):
        trits = config.packing.trits
        groups = np.array(list(product((-1, 0, 1), repeat=trits)), dtype=np.int8)
        every = np.tile(groups, (1, -(-config.lanes // trits)))[:, : config.lanes]
        for name, trits in (
            ("codes", every),
            ("random", rng.integers(-1, 2, (60, config.lanes), dtype=np.int8)),
        ):
            words = [number(bits) for bits in pack(trits, config.packing)]
            expected = [weights(word) for word in trits]
            yield Case({"i": words}, {"o": expected}, clocks=len(words), name=name)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(UnpackerBench())


@pytest.mark.parametrize("packing", list(Packing))
def test_contract(packing):
    config = chip(packing.trits, packing)
    layout = Layouts(config).weights
    trits = np.array(list(product((-1, 0, 1), repeat=packing.trits)), dtype=np.int8)
    table = [layout.const({"nonzero": 0, "negative": 0}).as_bits()] * (1 << packing.bits)
    for bits, word in zip(pack(trits, packing), trits, strict=True):
        table[number(bits)] = layout.const(weights(word)).as_bits()

    contract = StreamContract(
        combinational=True, items_in=0, golden=lambda word: Array(table)[word]
    )
    takes = broken("self.i.ready.eq(self.o.ready)", "self.i.ready.eq(1)")
    bugs = {"takes all words": lambda: takes(config)}
    check_contract(lambda: Masked(config), contract, bugs)
