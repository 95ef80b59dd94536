"""One wrong bit in the chip's copy of a model: lock-step must fail and name the place."""

from dataclasses import replace

import numpy as np
import pytest

from sterna.errors import DeviceError
from sterna.golden.step import Golden
from sterna.model.layout import lay_out
from sterna.spec.registers import Memory
from sterna_sim.device import DirectDevice
from sterna_sim.lockstep import Lockstep
from tests.chip.models import config_for, model_of

TOKEN = 3


@pytest.fixture(scope="module")
def device():
    """A small model in the demo's chip."""
    device = DirectDevice(model_of("odd"), config_for("reference"))
    yield device
    device.close()


def first(device, **changes):
    """Load with a change; return the first difference of the first token that has one."""
    model = replace(device.model, **changes)
    device.chip.load(lay_out(model, device.chip.config))
    golden = Golden(device.model)
    device.state = golden.state
    lockstep = Lockstep(device.chip, golden, device.model, device.image)
    for token in (TOKEN, TOKEN + 1, TOKEN):
        found = lockstep.step(token)
        if found:
            return found
    return None


def test_nothing_planted(device):
    """The check passes when nothing is wrong."""
    assert first(device) is None
    assert device.chip.fault() == ""


def test_trit(device):
    """A trit of the second layer's gate projection."""
    name, row, column = "layers.1.gate", 77, 13
    trits = {key: value.copy() for key, value in device.model.trits.items()}
    trits[name][row, column] = (trits[name][row, column] + 2) % 3 - 1
    found = first(device, trits=trits)
    assert (found.name, found.unit, found.probe, found.row) == (name, "engine", "sums", row)


def test_embedding_element(device):
    """One element of one token's row."""
    embedding = device.model.embedding.copy()
    embedding[TOKEN, 40] ^= 4
    found = first(device, embedding=embedding)
    assert (found.token, found.name, found.probe, found.row) == (0, "embedding", "residual", 40)


def test_state_bit(device):
    """One bit of the state after the first token."""
    device.chip.load(device.image)
    golden = Golden(device.model)
    device.state = golden.state
    lockstep = Lockstep(device.chip, golden, device.model, device.image)
    assert lockstep.step(TOKEN) is None
    state = device.state
    state[1, 9] ^= 1 << 12
    device.state = state
    found = lockstep.step(TOKEN + 1)
    assert (found.token, found.name, found.probe, found.row) == (
        1, "layers.1.f_proj", "state", 9,
    )  # fmt: skip


def test_rounding_constant(device):
    """The last bit of one projection's scale, in the tape's header."""
    number = next(i for i, s in enumerate(device.model.steps) if s.name == "layers.0.down_proj")
    steps = list(device.model.steps)
    mantissa, exponent = steps[number].scale
    steps[number] = replace(steps[number], scale=(mantissa ^ 16, exponent))
    found = first(device, steps=tuple(steps))
    assert (found.token, found.segment, found.unit, found.probe) == (
        0, number, "quantizer", "scale",
    )  # fmt: skip


def test_flip_in_the_tape_ram_is_seen_by_the_checksum(device):
    """A bit of a weight word that changes after loading: the chip itself names the segment."""
    device.chip.load(device.image)
    segment = device.image.segments[4]
    word = device.image.tape[segment.first_word : segment.first_word + 1].copy()
    word[0, 2] ^= 1 << 7
    device.chip.write_words(Memory.TAPE, word, first=segment.first_word)
    device.state = np.zeros_like(Golden(device.model).state)
    # The reader has run ahead of the write: the pass after it sees the flip.
    with pytest.raises(DeviceError, match=r"^segment 4 of the tape: its words do not match"):
        device.logits([TOKEN, TOKEN])
