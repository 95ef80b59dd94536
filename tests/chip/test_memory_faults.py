"""What goes wrong with a memory beside a chip: it is found, told with the segment, and mended."""

import numpy as np
import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.errors import DeviceError
from sterna.model.sizes import tape_blocks
from sterna.spec.registers import Control, Memory
from sterna.spec.sdram import BURST, WORD_BITS
from sterna.spec.tape import HEADER_BITS, header_words
from sterna_sim.device import DirectDevice
from tests.chip.models import memory_config, model_of


@pytest.fixture(scope="module")
def shared():
    device = DirectDevice(model_of("fixture-a"), memory_config("fixture-a"))
    yield device
    device.close()


@pytest.fixture
def device(shared):
    """Afterwards it must work again, by nothing but the next use."""
    yield shared
    golden = GoldenDevice(shared.model)
    shared.state = golden.state
    assert np.array_equal(shared.logits([3, 5]), golden.logits([3, 5]))


def flip(device, tape_word, bit):
    """Change a bit of the tape where it lies."""
    pieces = -(-device.config.word_bits // WORD_BITS)
    held = device.chip.memory.words
    held[tape_word * pieces + bit // WORD_BITS] ^= 1 << bit % WORD_BITS


@pytest.mark.parametrize("number", [1, 6, -1])
def test_a_bit_of_the_words(device, number):
    """In the first word of a segment or its last; what is drawn until then is not handed out."""
    number %= len(device.image.segments)
    segment = device.image.segments[number]
    for word, bit in ((0, 0), (segment.words - 1, device.config.word_bits - 1)):
        device.become_current()
        flip(device, segment.first_word + word, bit)
        with pytest.raises(DeviceError, match=f"segment {number} of the tape: its words do not"):
            list(device.generate([5], 20, Sampling()))
        assert device.chip.fault().startswith(f"segment {number}:")


@pytest.mark.parametrize("place", [0, 50, 150, HEADER_BITS - 1])
def test_a_bit_of_a_header(device, place):
    """The one of segment 7 lies before the words of the one before it; all of it is checked."""
    bits = device.config.word_bits
    first = device.image.segments[6].first_word - header_words(bits)
    device.become_current()
    flip(device, first + place // bits, place % bits)
    with pytest.raises(DeviceError, match="segment 7 of the tape: not a segment header"):
        list(device.generate([5], 20, Sampling()))


@pytest.mark.parametrize("number", [2, 9])
def test_a_short_tape(device, number):
    """It begins anew before its end: the segment in which it does so is told."""
    segment = device.image.segments[number]
    for length in (segment.first_word, segment.first_word + segment.words // 2):
        device.become_current()
        device.chip.write("TAPE_LENGTH", length)
        device.chip.write("TAPE_BLOCKS", tape_blocks(length, device.config))
        device.chip.command(Control.RESET)
        with pytest.raises(DeviceError, match=f"segment {number} of the tape"):
            list(device.generate([5], 20, Sampling()))


def test_fewer_blocks_than_the_tape(device):
    """The memory's end of it comes before the tape's."""
    device.become_current()
    device.chip.write("TAPE_BLOCKS", device.image.tape_blocks // 2)
    device.chip.command(Control.RESET)
    pieces = -(-device.config.word_bits // WORD_BITS)
    end = device.image.tape_blocks // 2 * BURST // pieces
    ends = [s.first_word + s.words for s in device.image.segments]
    number = next(n for n, last in enumerate(ends) if last > end)
    with pytest.raises(DeviceError, match=f"segment {number} of the tape"):
        list(device.generate([5], 20, Sampling()))


def test_a_reset_in_the_tape(device):
    """By command and by the button, wherever the memory stands; the next token is right."""
    golden, rng = GoldenDevice(device.model), np.random.default_rng(8)
    for clocks in rng.integers(1, 20_000, 3).tolist():
        for reset in (lambda: device.chip.command(Control.RESET), device.chip.reset):
            device.become_current()
            device.chip.step(3)
            device.chip.run(clocks)
            reset()
            device.forget()
            device.state = golden.state = np.zeros_like(golden.state)
            assert np.array_equal(device.logits([7]), golden.logits([7]))


def test_a_reset_while_loading(device):
    """In the middle of a block that is written or read nothing is left hanging."""
    chip, external = device.chip, device.image.external
    for clocks in (0, 3, 7, 13, 30):
        for reset in (lambda: chip.command(Control.RESET), chip.reset):
            chip.write("TAPE_LENGTH", 0)
            for read in (False, True):
                chip.write("MEMORY", Memory.EXTERNAL)
                chip.write("ADDRESS", 0)
                if read:
                    chip.read("DATA")
                else:
                    chip.write_all("DATA", ~external[:4].reshape(-1))
                chip.run(clocks)
                reset()
            device.forget()
            device.become_current()


def test_a_line_that_is_stuck(device, monkeypatch):
    """A memory that holds something else is told before a token is drawn."""
    model, place = device.chip.memory.model, 5 * BURST + 3
    store, word = model._store, int(device.image.external.view("<u2").reshape(-1)[place])

    def stuck(pins):
        store(pins)
        device.chip.memory.words[place] = word ^ 1 << 9

    device.become_current()
    monkeypatch.setattr(model, "_store", stuck)
    flip(device, 0, 0)
    device.forget()
    with pytest.raises(DeviceError, match="memory external does not hold what was written"):
        device.become_current()
    monkeypatch.undo()
