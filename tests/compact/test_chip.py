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
from sterna.spec.chip import COMPACT
from sterna_sim.compiled.compact import CompiledCompact, Pins
from sterna_sim.kit.bench import default_seed

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
CLOCK_HZ, BAUD = 21_000_000, 1_000_000
MOST_CLOCKS = 42_840
"""Of a token of the shipped model, 500 a second; and 840 of its word on the line."""


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
    clocks = []
    for count in (1, 21):
        before = chip.clocks
        own.port.execute([write("TOKEN", *[72] * count)])
        clocks.append(chip.clocks - before)
    token = (clocks[1] - clocks[0]) / 20
    print(f"tern-up5k: seed {default_seed()}, {token:.0f} clocks for a token and its word")
    assert token <= MOST_CLOCKS
    own.close()
