"""cocotb test: the host's driver, as it is, on the chip behind the root complex."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cocotb
import numpy as np
from cocotb.simtime import get_sim_time
from cocotb.task import bridge, resume
from cocotb.triggers import Timer

from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.pcie_link import PcieLink
from sterna.device.state import load_state, save_state
from sterna.spec.dma import RESULTS
from sterna.spec.registers import REGISTERS
from tests.chip.models import model_of
from tests.pcie.root_complex import Slot
from tests.tiny import tiny_model

MODEL = model_of("fixture-a")
SMALL = tiny_model(vocab=11, hidden=10, layers=2, intermediate=13, coarse=True)
"""For tests that are not of the model: it is loaded in a tenth of the time."""

PROMPT, SAMPLING = [1, 2, 3], Sampling(temperature=1.0, seed=3)

ROUND_TRIP = 0.8
"""Microseconds that a read takes beside what the model of the link takes, as on a computer."""


class SimulatedBar:
    """The mapped BAR as the driver sees it: accesses of 32 bits become packets on the link."""

    name = "card in the simulated slot"

    def __init__(self, window, slot) -> None:
        self._window = window
        # Without streams for it there is no DMA.
        self.lend = slot.lend if slot.reads else lambda size, written=False: None
        # What the chip writes by itself is not to be asked for.
        self._results = {4 * REGISTERS[name].address for name in RESULTS} if slot.reads else set()
        self.write = resume(window.write_dword)

    @resume
    async def read(self, offset: int) -> int:
        """Read the word at a byte offset."""
        assert offset not in self._results
        await Timer(ROUND_TRIP, unit="us")
        return await self._window.read_dword(offset)

    def close(self) -> None:
        """There is nothing to free."""


def behind(window, slot, model, *more) -> ChipDevice:
    """The device that the driver makes of the chip in the slot."""
    link = PcieLink(SimulatedBar(window, slot))
    return ChipDevice(link, model, "chip behind PCIe (rtl)", *more)


async def talk(dut, use, *given) -> Slot:
    """Plug the chip in and let a user of its slot talk with it; no rule may have been broken."""
    slot = Slot(dut)
    window = await slot.plug_in()
    await bridge(use)(window, slot, *given)
    slot.rules.end()
    if slot.reads:
        slot.reads.end()
    return slot


def use(window, slot, told: list[str]) -> None:
    """What a user does: load, generate, save the state, restore it, generate on."""
    model = MODEL if slot.reads else SMALL
    golden = GoldenDevice(model)
    progress = lambda what, done, total: told.append(what)
    device = behind(window, slot, model, progress)
    assert not device.streams
    on_chip = ["tape"] * (device.config.ring_words == 0)
    for memory in (*on_chip, "vector_a", "vector_b", "embedding"):
        assert f"loading {memory}" in told
    drawn = list(device.generate(PROMPT, 6, SAMPLING))
    assert drawn == list(golden.generate(PROMPT, 6, SAMPLING))
    assert np.array_equal(device.state, golden.state)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        save_state(path, device.state, drawn[-1], model)
        device.state = np.zeros_like(golden.state)
        assert not device.state.any()
        state, last = load_state(path, model)
    device.state = state
    more = list(device.generate([last], 4, SAMPLING))
    assert more == list(golden.generate([last], 4, SAMPLING))
    assert np.array_equal(device.state, golden.state)
    assert np.array_equal(device.logits([5]), golden.logits([5]))
    counters = device.counters()
    for name, value in golden.counters().items():
        assert counters[name] == value, name
    device.close()
    print(f"{drawn} {more}: identical to golden")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def driver(dut) -> None:
    """Loads, generates, saves and restores state; tokens, state and counters are golden's."""
    slot = await talk(dut, use, [])
    if slot.reads:
        print(f"{len(slot.reads.written)} results written to the host's memory")
        assert len(slot.reads.written) > MODEL.shape.vocab
    clocks = round(get_sim_time("ns") / 4)
    print(f"{clocks} clocks, {slot.rules.packets} completions, no rule broken")
