"""The whole compact chip through the pins of its UART: the host's own link and device, and RTL."""

from pathlib import Path

import numpy as np
import pytest

from sterna.cli.doctor import _answer, _memories
from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.known_answer import known_model
from sterna.device.operations import write
from sterna.device.serial_link import SerialLink
from sterna.model import container
from sterna.spec.boards import TARGETS
from sterna.spec.chip import COMPACT
from sterna_sim.compiled.compact import CompiledCompact, Pins
from sterna_sim.kit.bench import default_seed

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
CLOCK_HZ, BAUD = TARGETS["icebreaker"].clock_hz, 1_000_000
MOST_CLOCKS = CLOCK_HZ // 500
"""Of a token that is drawn, told to the host and given back, with the shipped model."""


def opened(model):
    chip = CompiledCompact(CLOCK_HZ)
    return chip, ChipDevice(SerialLink(Pins(chip), BAUD), model, "compiled chip")


def compare(own, golden, rng):
    """Tokens, draws and states."""
    tokens = rng.integers(own.model.shape.vocab, size=3).tolist()
    np.testing.assert_array_equal(own.logits(tokens), golden.logits(tokens))
    sampling = Sampling(temperature=0.9, seed=int(rng.integers(1 << 40)))
    found = list(own.generate(tokens[:2], 20, sampling))
    assert found == list(golden.generate(tokens[:2], 20, sampling))
    np.testing.assert_array_equal(own.state, golden.state)
    assert own.counters()["segments"] == golden.counters()["segments"]


def test_small_model():
    """Loaded, stepped, drawn from; then the line breaks in the middle of something."""
    rng = np.random.default_rng(default_seed())
    golden = GoldenDevice(known_model())
    chip, own = opened(known_model())
    compare(own, golden, rng)
    drawn = own.generate([1], 30, Sampling(temperature=1.0, seed=3))
    expected = golden.generate([1], 30, Sampling(temperature=1.0, seed=3))
    assert [next(drawn) for _ in range(5)] == [next(expected) for _ in range(5)]
    chip.send(b"\0", 8 * CLOCK_HZ / 115_200)
    chip.run(100_000)
    assert list(drawn) == list(expected)
    np.testing.assert_array_equal(own.state, golden.state)
    print(f"small model: seed {default_seed()}, {chip.clocks} clocks")
    own.close()


def clocks_per_token(chip, run):
    """What each of forty tokens more takes."""
    clocks = []
    for count in (20, 60):
        before = chip.clocks
        run(count)
        clocks.append(chip.clocks - before)
    return (clocks[1] - clocks[0]) / 40


@pytest.mark.slow
def test_shipped_model():
    """All of `sterna doctor`; then bit for bit, and the clocks that a token takes."""
    model = container.load(MODEL)
    chip = CompiledCompact(CLOCK_HZ)
    link = SerialLink(Pins(chip), BAUD)
    _memories(link, COMPACT, lambda *_: None)
    _answer(link, "compiled chip", lambda *_: None)
    own = ChipDevice(link, model, "compiled chip")
    compare(own, GoldenDevice(model), np.random.default_rng(default_seed()))
    given = clocks_per_token(chip, lambda count: own.port.execute([write("TOKEN", *[72] * count)]))
    print(f"tern-up5k: seed {default_seed()}, {given:.0f} clocks for a token and its word")
    drawn = clocks_per_token(
        chip, lambda count: list(own.generate([72], count, Sampling(temperature=1.0, seed=1)))
    )
    print(f"and {drawn:.0f} for one that is drawn, told to the host and given back")
    assert drawn <= MOST_CLOCKS
    own.close()
