"""No line can bring either receiver to where it hears nothing: proven for all time."""

import pytest

from sterna_rtl.link.cobs import CobsDecoder
from sterna_rtl.link.uart import UartReceiver
from sterna_sim.kit import Answer, edited, prove_never

from .lockups import CobsForgets, UartForgets


@pytest.mark.parametrize(
    ("unit", "part"), [(UartForgets, UartReceiver), (CobsForgets, CobsDecoder)]
)
def test_receiver_forgets(unit, part):
    assert prove_never(unit(part)) is Answer.PROVEN


@pytest.mark.parametrize(
    ("unit", "part", "old", "new"),
    [
        (UartForgets, UartReceiver, 'm.State("HIGH"), m.If(rx)', 'm.State("HIGH"), m.If(~rx)'),
        (UartForgets, UartReceiver, "- 1), bits.eq(0)]", "- 1), bits.eq(bits)]"),
        (CobsForgets, CobsDecoder, "damaged.eq(0)", "damaged.eq(damaged)"),
        (CobsForgets, CobsDecoder, "left.eq(0),\n", "left.eq(left),\n"),
    ],
)
def test_planted_bugs(unit, part, old, new):
    assert prove_never(unit(edited(part, old, new))) is Answer.FALSE
