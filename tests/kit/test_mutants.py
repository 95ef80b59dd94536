"""Mutants are drawn, killed, proven equivalent, or told; state machines are watched."""

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_sim.kit import Case, UnitBench
from sterna_sim.kit.player import Stalls
from sterna_sim.proof.score import score


class Doubler(Component):
    """Twice the item, in two steps; the sum's highest bit goes nowhere, and so do its mutants."""

    i: In(stream.Signature(4))
    o: Out(stream.Signature(5))

    def elaborate(self, platform):
        m = Module()
        total = Signal(7)
        with m.FSM(name="steps"):
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += total.eq(self.i.payload + self.i.payload)
                    m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(total)]
                with m.If(self.o.ready):
                    m.next = "TAKE"
        return m


class DoublerBench(UnitBench):
    name = "doubler"
    configs = {"any": range(16)}
    stalls = (Stalls(), Stalls("random", "random"))
    not_stalled = {"i": "ready only between two items"}

    def dut(self, config):
        return Doubler()

    def cases(self, config, rng):
        yield Case({"i": list(config)}, {"o": [2 * item for item in config]})


class BlindBench(DoublerBench):
    """Looks at nothing but the smallest items."""

    configs = {"any": (0, 1, 0, 1)}


@pytest.fixture(scope="module")
def good():
    return score(DoublerBench(), "any", 40, seed=3)


def test_a_good_bench_kills_all_that_matters(good):
    assert good.mutants == 40
    assert good.survivors == ()
    assert good.killed + len(good.equivalent) == 40
    assert good.equivalent
    assert good.share == 1


def test_a_blind_bench_leaves_survivors(good):
    blind = score(BlindBench(), "any", 40, seed=3)
    assert set(blind.equivalent) == set(good.equivalent)
    assert blind.survivors
    assert "test_mutants.py" in str(blind.survivors[0])
    assert blind.killed + len(blind.equivalent) + len(blind.survivors) == 40


def test_machines_are_watched(good):
    (machine,) = good.machines
    assert (machine.name, machine.states, machine.transitions) == ("steps", 2, 2)
    assert machine.missed_states == machine.missed_transitions == ()
