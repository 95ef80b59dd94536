"""What DMA makes of a modelled link of generation 3, 8 lanes, beats of 256 bits, 1 us latency."""

import re

import pytest
from amaranth import *
from amaranth.lib.wiring import Component, In

from tests.pcie.test_root_complex import run
from tests.pcie.tops import tape_top

WIDTH = 256


class Nobody(Component):
    """The ports of a chip with DMA, for somebody who drives them by hand."""

    def __init__(self):
        members = tape_top(WIDTH).signature.members
        super().__init__(
            {name: In(member.shape) for name, member in members.items()} | {"by_hand": In(1)}
        )

    def elaborate(self, platform):
        m = Module()
        m.d.sync += Signal(name="nothing").eq(1)
        return m


def rate(top):
    tests, failed, said = run(top, "tests.pcie.bandwidth_module")
    assert (tests, failed) == (1, 0), said
    return int(re.search(r"rate (\d+)", said)[1])


@pytest.mark.slow
def test_tape_from_the_hosts_memory():
    """At least 95 % of what reads by hand get, of which more are under way than the DMA has."""
    most, got = rate(Nobody()), rate(tape_top(WIDTH))
    print(f"{got / 1e9:.2f} of {most / 1e9:.2f} GB/s: {got / most:.1%} (rtl)")
    assert got >= 0.95 * most
