"""cocotb test: the shipped model talks over PCIe, its tape in pages of the host's memory."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.simtime import get_sim_time

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.model.tokenizer import Tokenizer
from tests.chip.models import model_of
from tests.pcie.driver_module import behind, talk

MODEL = "tern-ecp5"
PROMPT, COUNT, SAMPLING = "Once upon", 3, Sampling(temperature=0.8, seed=1)


def use(window, slot) -> None:
    """Load it, and generate a few tokens."""
    model = model_of(MODEL)
    tokenizer = Tokenizer.of(model)
    golden, prompt = GoldenDevice(model), tokenizer.encode(PROMPT)
    device = behind(window, slot, model)
    assert not device.streams
    before = slot.come
    drawn = list(device.generate(prompt, COUNT, SAMPLING))
    assert drawn == list(golden.generate(prompt, COUNT, SAMPLING))
    assert np.array_equal(device.state, golden.state)
    # The tape came once for each token that was stepped.
    assert slot.come - before > (len(prompt) + COUNT - 1) * device.image.tape.nbytes
    device.close()
    print(f"{PROMPT!r} goes on with {tokenizer.decode(drawn)!r}: identical to golden")


@cocotb.test(timeout_time=1, timeout_unit="sec")
async def shipped(dut) -> None:
    """Tokens and state are golden's."""
    slot = await talk(dut, use)
    assert slot.reads
    print(f"{round(get_sim_time('ns') / 4)} clocks, {slot.come} bytes of the host's memory")
