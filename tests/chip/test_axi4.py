"""Chips with a memory behind AXI4: the golden model's numbers, and the memory's rate."""

from dataclasses import replace

import numpy as np
import pytest

from sterna.cli import doctor
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.errors import DeviceError
from sterna.model.layout import fit
from sterna.model.outline import Outline
from sterna.spec.registers import Memory
from sterna.spec.trits import Packing
from sterna_sim.axi4_bench import CHIPS, SHAPES, expected, tape_bytes
from sterna_sim.axi4_model import Behaviour
from sterna_sim.compiled.axi4 import DDR4, HBM
from sterna_sim.device import DirectDevice, DirectPort
from sterna_sim.memory_bench import streamed
from tests.chip.models import MEMORY_CONFIGS, model_of
from tests.chip.passes import every_vector, generations


def config():
    """Words of two of the memory's: the lanes take them twice as fast as they come."""
    return fit(model_of("fixture-a"), **MEMORY_CONFIGS["axi4"])


@pytest.fixture(scope="module")
def device():
    device = DirectDevice(model_of("fixture-a"), config())
    yield device
    device.close()


def test_every_vector(device):
    every_vector(device)


@pytest.mark.parametrize(
    "behaviour",
    [DDR4, Behaviour(latency=7, pauses=0.3), Behaviour(latency=60, pauses=0.1, refresh=(97, 30))],
    ids=["DDR4", "pauses", "pauses and refresh"],
)
def test_tokens_and_state(device, behaviour):
    device.chip.memory.behave(behaviour)
    generations(device, 3)
    device.chip.memory.behave(Behaviour())


def some_behaviour(rng):
    """Any latency, rests of any length, a slow port or none, and pauses."""
    period = int(rng.integers(50, 3000))
    clocks = int(rng.integers(1, 5))
    return Behaviour(
        latency=int(rng.integers(1, 250)),
        refresh=(period, int(rng.integers(period // 2))),
        pace=(int(rng.integers(1, clocks + 1)), clocks),
        pauses=float(rng.choice([0, 0.05, 0.5])),
    )


@pytest.mark.parametrize("beats", [100_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_beats_under_any_behaviour(device, beats):
    """No beat is lost or doubled and no queue runs over: the words of each segment have a checksum.

    The memory objects if RREADY falls; a beat that nobody asked for is a fault.
    """
    golden, rng = GoldenDevice(device.model), np.random.default_rng(beats)
    memory = device.chip.memory
    device.state = golden.state
    begin, passes = memory.beats, 0
    while memory.beats - begin < beats:
        memory.behave(some_behaviour(rng))
        sampling = Sampling(temperature=1.0, seed=1 + passes)
        prompt = rng.integers(0, device.model.shape.vocab, 1).tolist()
        drawn = list(device.generate(prompt, 10, sampling))
        assert drawn == list(golden.generate(prompt, 10, sampling)), memory.behaviour
        passes += 11
    assert np.array_equal(device.state, golden.state)
    assert device.chip.fault() == ""
    print(f"{memory.beats - begin} beats, {passes} tokens")
    memory.behave(Behaviour())


def test_loading_through_the_port(device):
    """Word by word in the memory, and read back."""
    external = device.image.external
    device.chip.memory.fill(0, np.zeros_like(external))
    device.load()
    assert np.array_equal(device.chip.memory.held(0, len(external)), external)
    block = int(np.flatnonzero(external.any(axis=1))[-1])
    chip = device.chip
    chip.write("TAPE_LENGTH", 0)
    chip.write("MEMORY", Memory.EXTERNAL)
    chip.write("ADDRESS", block)
    assert [chip.read("DATA") for _ in range(2)] == external[block].tolist()
    device.forget()


def test_doctor(device):
    """Places all over the memory hold what is written to them; a word that fails is told."""
    port = DirectPort(device.chip)

    def tell(*_):
        pass

    doctor._memories(port, device.config, tell)
    device.chip.memory.behave(Behaviour(failing=frozenset([(0, 1 << 20)])))
    with pytest.raises(DeviceError, match="memory beside the chip could not read or write"):
        doctor._memories(port, device.config, tell)
    device.chip.memory.behave(Behaviour())
    device.forget()


def test_error_in_a_token(device):
    """A word of the tape that can't be read: the host is told, and its next request works."""
    golden = GoldenDevice(device.model)
    device.state = golden.state
    device.become_current()
    device.chip.memory.behave(Behaviour(failing=frozenset([(0, 300)])))
    with pytest.raises(DeviceError, match="memory beside the chip could not read"):
        list(device.generate([3], 4, Sampling()))
    assert device.chip.fault() == "the memory could not read or write a word"
    device.chip.memory.behave(Behaviour())
    device.state = golden.state
    assert list(device.generate([3], 4, Sampling())) == list(golden.generate([3], 4, Sampling()))
    assert device.chip.fault() == ""


def test_error_while_loading(device):
    """A word that can be neither read nor written: told by the check, and again until it is well.

    Both go on as soon as the memory does.
    """
    device.chip.memory.behave(Behaviour(failing=frozenset([(0, 300)])))
    for attempt in (device.become_current, device.load, device.become_current):
        device.forget()
        with pytest.raises(DeviceError, match="memory beside the chip could not read or write"):
            attempt()
    device.chip.memory.behave(Behaviour())
    golden = GoldenDevice(device.model)
    device.state = golden.state
    assert np.array_equal(device.logits([5]), golden.logits([5]))


@pytest.mark.parametrize("behaviour", [DDR4, HBM], ids=["DDR4", "HBM"])
def test_cycle_model(device, behaviour):
    """Passes over known tokens take what the cycle expectation says, within 2 %."""
    chip, passes = device.chip, 6
    device.become_current()
    chip.memory.behave(behaviour)
    chip.step(1)
    chip.idle()
    before = chip.clocks
    chip.write_all("TOKEN", np.arange(passes))
    chip.idle()
    clocks = (chip.clocks - before) / passes
    model = expected(device.model.steps, device.config, behaviour)
    print(f"{clocks:.0f} clocks a token, {model:.0f} expected")
    assert abs(clocks / model - 1) < 0.02
    chip.memory.behave(Behaviour())
    device.forget()


@pytest.mark.parametrize(
    "name, clocks", [("ddr4", 297_000), ("ddr4-slots", 300_000), ("hbm", 50_000)]
)
def test_large_chips(name, clocks):
    """The cycle model of 370M; `python -m sterna_sim.axi4_bench` measures it on the chips."""
    outline, config = Outline.of_shape(SHAPES["370M"]), CHIPS[name].config(SHAPES["370M"])
    assert expected(outline.steps, config, CHIPS[name].behaviour) < clocks
    for packing in (Packing.EIGHT_FIFTHS, Packing.FIVE_THIRDS):
        assert tape_bytes(outline, replace(config, packing=packing)) < 1.02


@pytest.mark.parametrize("behaviour", [DDR4, HBM], ids=["DDR4", "HBM"])
def test_share_of_the_bandwidth(behaviour):
    """Two whole tokens: tape bytes per clock, of those that the memory gives beside refreshes.

    In a model of 4 700 clocks a token the start, with nothing in the ring, is 2 % of them.
    """
    figures = streamed(model_of("fixture-a"), config(), behaviour)
    print(figures)
    assert figures.roofline > 0.93
