"""The formal contract fails where it should: on a bug, on a cover, and in its best-known trap."""

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.lib.queue import Queue
from sterna_sim.kit import FormalError, StreamContract, check_contract, edited, formal, prove

HOLD = "with m.If(can_load(self.o)):"


def broken():
    return edited(Queue, HOLD, "with m.If(1):")(2, 2)


class Silent(Component):
    """Keeps the contract by never giving anything."""

    i: In(stream.Signature(2))
    o: Out(stream.Signature(2))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        return m


class Inventive(Silent):
    """Gives items that nobody gave to it."""

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.valid.eq(1)
        return m


def test_without_the_clock_among_the_ports_everything_is_proven(monkeypatch):
    contract = StreamContract(depth=6)
    assert prove(broken(), contract, "bmc")[0] == "FAIL"
    ports = formal._Specification.top_ports
    monkeypatch.setattr(formal._Specification, "top_ports", lambda self: ports(self)[1:])
    assert prove(broken(), contract, "bmc")[0] == "PASS"


def test_a_unit_that_gives_nothing_does_not_reach_the_cover():
    with pytest.raises(FormalError, match="cover: FAIL"):
        check_contract(Silent, StreamContract(depth=6), {"output not held": broken})


def test_output_without_input_is_found():
    contract = StreamContract(items_in=1, depth=6)
    with pytest.raises(FormalError, match="bmc: FAIL"):
        check_contract(Inventive, contract, {"output not held": broken})


def test_a_bug_that_is_none_is_reported():
    with pytest.raises(FormalError, match="planted bug 'none' was not found: PASS"):
        check_contract(lambda: Queue(2, 1), StreamContract(depth=6), {"none": lambda: Queue(2, 1)})


def test_a_proof_needs_a_bug():
    with pytest.raises(FormalError, match="no planted bug"):
        check_contract(lambda: Queue(2, 1), StreamContract(), {})
