"""Tops for boards: every pin of a board's chip has its place and its level."""

import re

import pytest
from amaranth_boards.icebreaker import ICEBreakerPlatform

from sterna.model.layout import fit
from sterna.spec.boards import TARGETS
from sterna.spec.chip import COMPACT
from sterna.spec.trits import Packing
from sterna_rtl.boards.icebreaker import Icebreaker
from sterna_rtl.boards.ulx3s import Ulx3s
from sterna_sim.build import config_of
from sterna_sim.pnr import PARTS
from tests.tiny import tiny_model

UART = {"uart_0__rx__io", "uart_0__tx__io"}
LEDS = {f"led_{n}__io" for n in range(3)}


def small(memory):
    """As few lanes as there can be: pins do not depend on them."""
    model = tiny_model(vocab=29, hidden=24, layers=1, intermediate=40)
    beside = {"ring_words": 16, "memory": memory} if memory else {}
    return fit(model, rows=1, columns=8, elements=1, packing=Packing.TWO_BITS, **beside)


def pins(plan):
    """Bits of the ports of the top, by the names that constraints have for them."""
    text = plan.files["top.il"]
    text = text if isinstance(text, str) else text.decode()
    top = re.search(r"^module \\top\n(.*?)^end$", text, re.M | re.S)[1]
    found = set()
    for options, name in re.findall(r"^  wire (.*?)\\(\S+)$", top, re.M):
        if re.search(r"\b(input|output|inout) \d", options):
            width = re.search(r"width (\d+)", options)
            bits = int(width[1]) if width else 1
            found |= {f"{name}[{n}]" for n in range(bits)} if width and bits > 1 else {name}
    return found


@pytest.mark.parametrize("board", [name for name in TARGETS if name != "icebreaker"])
def test_every_pin_is_constrained(board):
    target, memory = TARGETS[board], config_of(board).memory
    plan = PARTS[target.fpga].platform().prepare(Ulx3s(small(memory), 25_000_000), "top")
    rules = plan.files["top.lpf"]
    rules = rules if isinstance(rules, str) else rules.decode()
    placed = dict(re.findall(r'^LOCATE COMP "(.*?)" SITE "(.*?)";', rules, re.M))
    levels = set(re.findall(r'^IOBUF PORT "(.*?)" .*IO_TYPE=', rules, re.M))
    found = pins(plan)
    assert found >= UART | LEDS
    assert ("sdram_0__dq__io[15]" in found) == bool(memory)
    assert found == placed.keys() == levels
    assert len(set(placed.values())) == len(placed)
    assert re.search(r'FREQUENCY PORT "clk25_0__io" 25000000', rules)


def test_boards_have_their_parts():
    assert {target.fpga for target in TARGETS.values()} == {*PARTS, "iCE40UP5K"}


def test_icebreaker():
    """Each of its pins has a place, and the PLL makes the clocks that it can make."""
    plan = ICEBreakerPlatform().prepare(Icebreaker(COMPACT, TARGETS["icebreaker"].clock_hz), "top")
    rules = plan.files["top.pcf"]
    rules = rules if isinstance(rules, str) else rules.decode()
    placed = dict(re.findall(r"^set_io (\S+) (\d+)", rules, re.M))
    assert placed == {
        "clk12_0__io": "35", "uart_0__rx__io": "6", "uart_0__tx__io": "9",
        "button_0__io": "10", "led_r_0__io": "11", "led_g_0__io": "37",
    }  # fmt: skip
    for clock_hz in (16_875_000, 21_000_000, 24_000_000, 48_000_000):
        board = Icebreaker(COMPACT, clock_hz)
        oscillator = 12_000_000 * board.multiple
        assert 533e6 <= oscillator <= 1066e6
        assert oscillator == clock_hz << board.halvings
    for clock_hz in (20_000_000, 5_000_000):
        with pytest.raises(ValueError, match=f"no clock of {clock_hz} Hz"):
            Icebreaker(COMPACT, clock_hz)


def test_clocks():
    """The PLL's oscillator keeps to its range, and it compares 12.5 MHz with half its input."""
    for clock_hz in range(12_500_000, 160_000_001, 2_500_000):
        parts = Ulx3s(small(""), clock_hz).parts
        assert 400e6 <= clock_hz * parts <= 800e6
        assert clock_hz * parts % 12_500_000 == 0
        assert parts <= 128
    for clock_hz in (33_000_000, 165_000_000, 3_000_000):
        with pytest.raises(ValueError, match=f"no clock of {clock_hz} Hz"):
            Ulx3s(small(""), clock_hz)
