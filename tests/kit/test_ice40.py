"""Ways through multipliers, which nextpnr does not join, on a report by hand."""

import pytest

from sterna_sim.ice40 import MULTIPLIER_NS, ways_through_multipliers

CELLS = {
    "product": {"type": "SB_MAC16", "parameters": {"A_REG": "1", "B_REG": "0"}},
    "between": {"type": "SB_MAC16", "parameters": {"A_REG": "0", "B_REG": "0"}},
}


def net(start, end, port, event, ns):
    at_end = {"cell": end, "port": port, "event": f"posedge {event}", "delay": [ns / 2, ns]}
    return {"event": f"posedge {start}", "endpoints": [at_end]}


def nets(to_product, to_between, behind):
    nothing = "$PACKER_GND_NET_$glb_clk"
    return [
        net("clk", "product_DSP", "A_3", "clk", 40.0),  # has a register
        net("clk", "product_DSP", "B_0", "clk", to_product),
        net("clk", "product_DSP", "OHOLDTOP", "clk", 39.0),  # no operand
        net("clk", "between_DSP", "A_0", nothing, to_between),
        net("clk", "a_register_LC", "D", "clk", 38.0),
        net(nothing, "sum_LC", "D", "clk", behind),
    ]


@pytest.mark.parametrize(
    ("ways", "longest"),
    [((20.0, 5.0, 10.0), 20.0), ((20.0, 15.0, 10.0), 25.0), ((0.0, 0.0, 0.0), 0.0)],
)
def test_longest(ways, longest):
    assert ways_through_multipliers(nets(*ways), CELLS) == MULTIPLIER_NS + longest
