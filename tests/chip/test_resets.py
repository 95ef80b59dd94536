"""A reset at any clock of a token leaves nothing behind that the next token could see."""

import numpy as np
import pytest

from sterna.device import chip
from sterna.device.golden import GoldenDevice
from sterna.errors import DeviceError
from sterna.spec.registers import Control
from sterna_sim.device import DirectDevice
from sterna_sim.kit.bench import default_seed
from tests.chip.models import config_for, model_of

DRAWN = 12


@pytest.fixture(scope="module")
def device():
    device = DirectDevice(model_of("fixture-a"), config_for("odd-columns"))
    yield device
    device.close()


def begin(device, clocks):
    """Begin a token and let the clock run; return whether it is still in flight."""
    device.chip.step(3)
    device.chip.run(clocks)
    return device.chip.busy


def by_command(device):
    device.chip.command(Control.RESET)


def by_pin(device):
    """Registers are cleared, too; the driver sees to that."""
    device.chip.reset()
    device.forget()


def cut(device, reset, clocks):
    """Reset after so many clocks of a token, give the old state again, and compare what follows."""
    golden, rng = GoldenDevice(device.model), np.random.default_rng(clocks)
    state = rng.integers(-32767, 32768, golden.state.shape)
    device.state = state
    was_busy = begin(device, clocks)
    reset(device)
    device.state, golden.state = state, state.copy()
    assert np.array_equal(device.logits([7, 9]), golden.logits([7, 9])), clocks
    assert np.array_equal(device.state, golden.state), clocks
    assert device.chip.fault() == "", clocks
    return was_busy


def length(device):
    """Clocks of a token that `begin` can cut."""
    before = device.chip.clocks
    device.chip.step(3)
    device.chip.idle()
    return device.chip.clocks - before


@pytest.mark.parametrize("reset", [by_command, by_pin])
def test_drawn_clocks(device, reset):
    rng = np.random.default_rng(default_seed())
    clocks = rng.integers(0, length(device), DRAWN)
    print(f"seed {default_seed()}, after {clocks.tolist()} clocks")
    assert sum([cut(device, reset, int(each)) for each in clocks]) > DRAWN // 2


@pytest.mark.slow
@pytest.mark.parametrize(("reset", "step"), [(by_command, 1), (by_pin, 16)])
def test_every_clock(device, reset, step):
    """From before the token until it has ended; by the button, which takes longer, at some."""
    last = length(device) + 16
    busy = [cut(device, reset, clocks) for clocks in range(0, last, step)]
    assert sum(busy) > 0.9 * len(busy)
    assert not busy[-1]


def test_without_a_reset(device, monkeypatch):
    """What is cut here is a token: if nothing ends it, the next one goes wrong."""
    monkeypatch.setattr(chip, "_SILENT_CLOCKS", 1 << 16)
    with pytest.raises((AssertionError, DeviceError)):
        cut(device, lambda _: None, length(device) // 2)
    by_command(device)
