"""Noise of the compact chip: that of the golden sampler, draw after draw."""

import numpy as np
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In

from sterna.golden.sampler import gumbel, uniforms
from sterna.spec.xorshift import next_element
from sterna_rtl.compact.noise import Noise
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, StreamContract, UnitBench, check_contract, edited
from sterna_sim.kit.suite import bench_tests

MOST, AROUND = 34, 9


class Loaded(Component):
    """The unit with who loads a state before each draw."""

    def __init__(self, unit=Noise):
        self.unit = unit()
        members = self.unit.signature.members
        item = StructLayout({"state": 64, "last": members["i"].signature.members["payload"].shape})
        super().__init__({"i": In(stream.Signature(item)), "o": members["o"]})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, unit.o, self.o)
        piece = Signal(range(5))
        loaded = piece == 4
        m.d.comb += [
            unit.piece.eq(self.i.payload.state.word_select(piece[:2], 16)),
            unit.loads.eq(self.i.valid & ~loaded),
            unit.i.payload.eq(self.i.payload.last),
            unit.i.valid.eq(self.i.valid & loaded),
            self.i.ready.eq(unit.i.ready & loaded),
        ]
        with m.If(unit.loads):
            m.d.sync += piece.eq(piece + 1)
        with m.If(transfers(self.i)):
            m.d.sync += piece.eq(0)
        return m


def before(state):
    """The state from which one step leads to this one: the step has an inverse."""
    bits = 1 << np.arange(64, dtype=np.uint64)
    columns = [next_element(int(bit)) for bit in bits]
    pairs, result = [(column, 1 << n) for n, column in enumerate(columns)], 0
    for bit in reversed(range(64)):
        pivot = next(pair for pair in pairs if pair[0] >> bit & 1)
        pairs.remove(pivot)
        pairs = [(a ^ pivot[0], b ^ pivot[1]) if a >> bit & 1 else (a, b) for a, b in pairs]
        if state >> bit & 1:
            state, result = state ^ pivot[0], result ^ pivot[1]
    return result


class NoiseBench(UnitBench):
    """Draws from drawn states, and single ones of chosen uniforms: powers of two, both ends."""

    name = "compact-noise"
    cocotb_configs = ("default",)
    not_stalled = {"i": "ready only when the draw that waits there has been made"}
    bugs = {
        name: lambda _, old=old, new=new: Loaded(edited(Noise, old, new))
        for name, old, new in (
            ("rounds down", "C(1 << _REST_BITS - 1, _REST_BITS)", "C(0, _REST_BITS)"),
            ("correction twice", "Cat(w[start:], corrects)", "Cat(w[start:], 1)"),
            ("a shift less", "with m.If(w[-1]):", "with m.If(w[-2]):"),
            ("even numbers", "Cat(C(1, 1), uniform)", "Cat(C(0, 1), uniform)"),
            ("high pieces first", "Cat(state[_PIECE_BITS:], self.piece)", "Cat(self.piece, state)"),
            ("goes on after the last", "Mux(self.i.ready, 0, element + 1)", "element + 1"),
            ("uniform's lower bits", "[half - UNIFORM_BITS : half]", "[:UNIFORM_BITS]"),
        )
    }

    def dut(self, config):
        return Loaded()

    def cases(self, config, rng):
        for count in (1, 40, 7):
            yield draw(int(rng.integers(1, 1 << 63)), count)
        ends = [0, 1, (1 << 24) - 1, *(1 << np.arange(2, 24, 3)), *rng.integers(1 << 24, size=4)]
        for uniform in map(int, ends):
            low = int(rng.integers(1 << 32))
            high = ((uniform << 8 | int(rng.integers(256))) - low) % (1 << 32)
            yield draw(before(low | high << 32), 1, uniform)


def draw(state, count, uniform=None):
    drawn = uniforms(state, count)
    assert uniform in (None, drawn[0])
    items = [{"element": n, "noise": noise} for n, noise in enumerate(gumbel(drawn))]
    # Shifts, what is around them, and the state's pieces.
    shifts = [25 - int(2 * one + 1).bit_length() + 1 for one in drawn.tolist()]
    clocks = 4 + sum(AROUND + shift for shift in shifts)
    assert all(AROUND + shift <= MOST for shift in shifts)
    return Case({"i": [{"state": state, "last": count - 1}]}, {"o": items}, clocks=clocks)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(NoiseBench())


def test_contract():
    """An item holds."""
    held = "m.d.comb += self.o.valid.eq(1)"
    bug = held, f"{held}; m.d.sync += noise.eq(noise + 1)"
    bugs = {"item not held": lambda: edited(Noise, *bug)()}
    check_contract(Noise, StreamContract(depth=14, covers=1), bugs)
