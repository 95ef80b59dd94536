"""Chips with a memory beside them: the golden model's numbers, and a memory that never objects."""

import time

import numpy as np
import pytest

from sterna.device.golden import GoldenDevice
from sterna.model.layout import lay_out
from sterna.spec.registers import Memory
from sterna.spec.sdram import PARTS, WORD_BITS
from sterna_rtl.memory.sdram import Sdram
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import clock_hz
from sterna_sim.device import DirectDevice
from sterna_sim.sdram_model import SdramError
from tests.chip.models import memory_config, model_of
from tests.chip.passes import clear_states, every_vector, generations


@pytest.fixture(params=["fixture-a", pytest.param("odd", marks=pytest.mark.slow)], scope="module")
def device(request):
    device = DirectDevice(model_of(request.param), memory_config(request.param))
    yield device
    device.close()


def test_every_vector(device):
    every_vector(device)


def test_tokens_and_state(device):
    generations(device, 4)


def test_loading_again_after_a_reset(device):
    """A reset button: the controller begins anew, the memory holds what it held."""
    device.chip.reset()
    device.forget()
    golden = GoldenDevice(device.model)
    device.state = golden.state
    assert np.array_equal(device.logits([3]), golden.logits([3]))


def test_loading_through_the_port(device):
    """Word by word in the model of the memory, and read back."""
    external = device.image.external
    words = external.view("<u2").reshape(-1)
    device.chip.memory.fill(0, np.zeros_like(words))
    device.load()
    assert device.chip.memory.words[: len(words)].tolist() == words.tolist()
    block = int(np.flatnonzero(external.any(axis=1))[-1])
    chip = device.chip
    chip.write("TAPE_LENGTH", 0)
    chip.write("MEMORY", Memory.EXTERNAL)
    chip.write("ADDRESS", block)
    assert [chip.read("DATA") for _ in range(4)] == external[block].tolist()
    assert chip.read("ADDRESS") == block + 1
    device.forget()


def test_objections_are_raised(device):
    """What the memory objects to ends the run: here it has been on for too short a time."""
    memory = device.chip.memory
    memory.power_up()
    with pytest.raises(SdramError, match="power-up"):
        device.chip.run(1000)
    device.chip.reset()
    device.forget()


def test_share_of_the_bandwidth():
    """Bits of tape words per clock, of those that the pins carry; refreshes take their part."""
    model, config = model_of("fixture-a"), memory_config("fixture-a")
    image, passes = lay_out(model, config), 4
    with CompiledChip(config) as chip:
        chip.load(image)
        clear_states(chip, config.slots)
        chip.step(1)
        chip.idle()
        before, start = chip.clocks, time.perf_counter()
        chip.write_all("TOKEN", np.arange(passes))
        chip.idle()
        clocks, seconds = chip.clocks - before, time.perf_counter() - start
    share = len(image.tape) * config.word_bits * passes / (clocks * WORD_BITS)
    sdram = Sdram(PARTS[config.memory], clock_hz(config))
    most = 1 - sdram.refresh_cost / sdram.period
    print(
        f"{len(image.tape)} tape words of {config.word_bits} bits, {clocks / passes:.0f} clocks a "
        f"token: {share:.4f} of the bandwidth, without refreshes {most:.4f}; "
        f"{clocks / seconds:.0f} clocks/s"
    )
    assert 0.97 * most < share < most
