"""The whole way: host package, port, pins, chip; and what a bad line does to it."""

import random
import zlib
from collections import Counter
from dataclasses import fields, replace
from itertools import permutations

import numpy as np
import pytest

from sterna.device import chip as chip_module
from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.operations import read, write
from sterna.device.recording import Recorder, Replay
from sterna.device.serial_link import SerialLink
from sterna.device.serial_port import SerialPort
from sterna.device.state import load_state, save_state
from sterna.errors import DeviceError, InputError
from sterna.evaluate import evaluate
from sterna.model.layout import lay_out
from sterna.plan.clocks import expected_clocks
from sterna.session import Session, run
from sterna.spec.link import DEFAULT_BAUD, REPLY_WORDS
from sterna.spec.registers import Memory
from sterna_sim.compiled.probes import CLOCK_HZ
from sterna_sim.device import DirectDevice
from sterna_sim.faults import BadLine, Rates
from tests.chip.boards import FASTEST, running
from tests.chip.models import config_for, model_of

MODEL, CONFIG = "fixture-a", "odd-columns"
SAMPLING = Sampling(temperature=1.0, seed=3)


def image():
    return lay_out(model_of(MODEL), config_for(CONFIG))


def full_config():
    """A chip with all that can be left out."""
    return replace(config_for(CONFIG), top_k=5, log_probability=True)


def device_on(board, baud=FASTEST, progress=None):
    link = SerialLink(SerialPort(board.port), baud)
    return ChipDevice(link, model_of(MODEL), "simulated chip (rtl), through its pins", progress)


@pytest.fixture(scope="module")
def flashed():
    """A board with the model in its memories."""
    with running(config_for(CONFIG), image()) as board:
        yield board


def test_load_through_the_pins():
    """An empty board at 4 clocks per bit: memories, tokens and counters are those of the port."""
    told = []
    direct = DirectDevice(model_of(MODEL), config_for(CONFIG))
    golden = GoldenDevice(model_of(MODEL))
    with running(config_for(CONFIG)) as board:
        device = device_on(board, progress=lambda what, done, total: told.append(what))
        prompt = [1, 2, 3] * 7  # more than the chip's queue holds
        drawn = list(device.generate(prompt, 30, SAMPLING))
        assert drawn == list(direct.generate(prompt, 30, SAMPLING))
        assert drawn == list(golden.generate(prompt, 30, SAMPLING))
        assert np.array_equal(device.state, direct.state)
        assert np.array_equal(device.state, golden.state)
        ours, theirs = device.counters(), direct.counters()
        for name, value in golden.counters().items():
            assert ours[name] == theirs[name] == value
        assert ours["clocks"] / ours["tokens"] == pytest.approx(
            theirs["clocks"] / theirs["tokens"], rel=0.01
        )
        assert np.array_equal(device.logits([5, 9]), golden.logits([5, 9]))
        for memory in image().memories():
            assert f"loading {memory.name.lower()}" in told
        # Word by word, not only by checksum.
        for memory, words in image().memories().items():
            for port in (device.port, direct.port):
                port.execute([write("TAPE_LENGTH", 0), write("CONTROL", 1)])
                some = words.reshape(-1)[:600]
                found = port.execute([write("MEMORY", memory), read("DATA", len(some))])
                assert np.array_equal(found, some)
        device.close()
    direct.close()


def test_flashed_board_is_only_checked(flashed):
    """No memory is loaded; the words of the tape are those that the chip says it has."""
    told = []
    device = device_on(flashed, progress=lambda what, done, total: told.append(what))
    assert told
    assert not any(what.startswith("loading") for what in told)
    golden = GoldenDevice(model_of(MODEL))
    assert list(device.generate([4], 12, Sampling())) == list(golden.generate([4], 12, Sampling()))
    device.close()


def test_damaged_word_is_loaded_again(flashed):
    """One wrong bit in the tape: its memory is written anew, the others are not."""
    device = device_on(flashed)
    device.port.execute([write("TAPE_LENGTH", 0), write("CONTROL", 1)])
    wrong = int(image().tape[100, 0]) ^ 1
    device.port.execute([write("MEMORY", Memory.TAPE), write("ADDRESS", 100), write("DATA", wrong)])
    rest = image().tape[100, 1:]
    device.port.execute([write("DATA", rest)])
    device.close()
    told = []
    device = device_on(flashed, progress=lambda what, done, total: told.append(what))
    assert {what for what in told if what.startswith("loading")} == {"loading tape"}
    device.close()


@pytest.mark.parametrize("baud", [None, FASTEST // 3])
def test_other_speeds(flashed, baud):
    """The first speed, and one between."""
    link = SerialLink(SerialPort(flashed.port), baud)
    words = link.execute([read("MAGIC"), read("CLOCK_HZ"), read("UART_DIVISOR", 2 * REPLY_WORDS)])
    assert len(words) == 2 + 2 * REPLY_WORDS
    assert words[-1] == round(int(words[1]) / (baud or 115_200))
    link.close()


def test_speed_that_cannot_be(flashed):
    with pytest.raises(InputError, match="cannot run at 7000000 baud"):
        SerialLink(SerialPort(flashed.port), 7_000_000)


def test_port_in_use(flashed):
    link = SerialLink(SerialPort(flashed.port))
    with pytest.raises(InputError, match="in use by another program"):
        SerialPort(flashed.port)
    link.close()


def test_given_up_in_the_middle(flashed):
    """A generation that is left alone leaves a device that goes on where the caller stopped."""
    device, golden = device_on(flashed), GoldenDevice(model_of(MODEL))
    for chip in (device, golden):
        tokens = chip.generate([5], 200, SAMPLING)
        chip.left = [next(tokens) for _ in range(7)]
        tokens.close()
    assert device.left == golden.left
    assert np.array_equal(device.state, golden.state)
    device.close()


def test_patience_is_for_one_wait(flashed, monkeypatch):
    """Waits that are short each are no hang, however many there are."""
    device = device_on(flashed)
    list(device.generate([1, 2, 3], 0, SAMPLING))
    counters = device.counters()
    per_token = counters["clocks"] // counters["tokens"]
    monkeypatch.setattr(chip_module, "_SILENT_CLOCKS", 20 * per_token)
    for _ in range(10):
        assert list(device.generate([1, 2, 3] * 4, 0, SAMPLING)) == []
    device.close()


def test_state_moves_between_devices(flashed, tmp_path):
    """Saved on one device, gone on with on another: as if nothing had been between."""
    model, path = model_of(MODEL), tmp_path / "state"
    golden, pins = GoldenDevice(model), device_on(flashed)
    direct = DirectDevice(model, config_for(CONFIG))
    whole = list(GoldenDevice(model).generate([3], 20, Sampling()))
    empty = np.zeros_like(golden.state)

    def begin(device):
        """Half of the text, and the state after it in a file."""
        device.state = empty
        drawn = list(device.generate([3], 10, Sampling()))
        save_state(path, device.state, drawn[-1], model)
        return drawn

    def go_on(device):
        device.state, last = load_state(path, model)
        return list(device.generate([last], 10, Sampling()))

    devices = (golden, pins, direct)
    for first, second in permutations(devices, 2):
        assert begin(first) + go_on(second) == whole
    with (tmp_path / "begin").open("wb") as file:
        begun = begin(Recorder(pins, model, file))
    with (tmp_path / "end").open("wb") as file:
        ended = go_on(Recorder(pins, model, file))
    assert begin(Replay(tmp_path / "begin", model)) == begun
    assert begun + go_on(golden) == whole
    begin(direct)
    assert go_on(Replay(tmp_path / "end", model)) == ended
    pins.close()
    direct.close()


def test_top_k():
    """Drawn by the chip among its largest logits: the golden tokens; the logits too."""
    model = model_of(MODEL)
    device, golden = DirectDevice(model, full_config()), GoldenDevice(model)
    for k in (1, 3, 5, 6, 0):  # 6 are more than the chip keeps
        sampling = replace(SAMPLING, top_k=k)
        for chip in (device, golden):
            chip.drawn = list(chip.generate([2], 25, sampling))
        assert device.drawn == golden.drawn
        assert np.array_equal(device.state, golden.state)
    for k in (5, 6):
        for ours, theirs in zip(device.best([4, 5], k), golden.best([4, 5], k), strict=True):
            assert np.array_equal(ours, theirs)
    device.close()


def test_top_k_of_a_session():
    """The chip draws, or the host for it."""
    model = model_of(MODEL)
    device, golden = DirectDevice(model, full_config()), GoldenDevice(model)
    for k in (5, 6):
        drawn = []
        for chip in (device, golden):
            sessions = [Session([n], 7, replace(SAMPLING, top_k=k)) for n in (1, 2)]
            for _ in run(chip, sessions, quantum=3):
                pass
            drawn.append([session.drawn for session in sessions])
        assert drawn[0] == drawn[1]
    device.close()


def test_top_k_costs_what_the_units_say():
    model, config = model_of(MODEL), full_config()
    device = DirectDevice(model, config)
    clocks = []
    for k in (0, 1, 5):
        before = device.counters()
        list(device.generate([2], 25, replace(SAMPLING, top_k=k)))
        after = device.counters()
        clocks.append((after["clocks"] - before["clocks"]) / 25)
    device.close()
    expected = [expected_clocks(device.model.steps, config, top_k=k) for k in (0, 1, 5)]
    assert np.diff(clocks).tolist() == pytest.approx(np.diff(expected).tolist(), abs=0.5)


def test_chip_without_top_k(flashed):
    """The host draws, from all logits: the same tokens."""
    device, golden = device_on(flashed), GoldenDevice(model_of(MODEL))
    sampling = replace(SAMPLING, top_k=3)
    assert list(device.generate([2], 5, sampling)) == list(golden.generate([2], 5, sampling))
    device.close()


def test_log_probabilities():
    """Many tokens ahead of the results, through the pins and past them: the golden bits."""
    model = model_of(MODEL)
    rng = np.random.default_rng(3)
    tokens, targets = rng.integers(model.shape.vocab, size=(2, 40)).tolist()
    golden = GoldenDevice(model)
    expected = golden.log_probabilities(tokens, targets)
    direct = DirectDevice(model, full_config())
    assert np.array_equal(direct.log_probabilities(tokens, targets), expected)
    assert np.array_equal(direct.state, golden.state)
    drawn = [list(chip.generate([2], 5, SAMPLING)) for chip in (direct, golden)]
    assert drawn[0] == drawn[1]
    quality = [evaluate(chip, [tokens, targets], 99, model) for chip in (direct, golden)]
    assert quality[0] == quality[1]
    direct.close()
    with running(full_config(), image()) as board:
        device = device_on(board)
        assert np.array_equal(device.log_probabilities(tokens, targets), expected)
        device.close()


def test_chip_without_log_probabilities(flashed):
    """The host computes them from all logits: the same bits."""
    model = model_of(MODEL)
    device, golden = device_on(flashed), GoldenDevice(model)
    quality = [evaluate(chip, [[1, 5, 9]], 9, model) for chip in (device, golden)]
    assert quality[0] == quality[1]
    device.close()


def test_recording_of_the_chip(flashed, tmp_path):
    """What was recorded is replayed, under its own label; other questions are refused."""
    model = model_of(MODEL)
    device = device_on(flashed)
    with (tmp_path / "run.jsonl").open("wb") as file:
        recorder = Recorder(device, model, file)
        answers = [
            list(recorder.generate([1, 2], 15, SAMPLING)), recorder.logits([7]), recorder.state,
            recorder.counters(), recorder.log_probabilities([8, 9], [3, 4]),
        ]  # fmt: skip
        recorder.state = np.zeros_like(answers[2])
    device.close()
    replay = Replay(tmp_path / "run.jsonl", model)
    assert replay.label == "recording of simulated chip (rtl), through its pins"
    assert replay.config == config_for(CONFIG)
    assert list(replay.generate([1, 2], 15, SAMPLING)) == answers[0]
    assert np.array_equal(replay.logits([7]), answers[1])
    with pytest.raises(DeviceError, match="ask for the same"):
        replay.logits([8])
    assert np.array_equal(replay.state, answers[2])
    assert replay.counters() == answers[3]
    assert np.array_equal(replay.log_probabilities([8, 9], [3, 4]), answers[4])
    replay.state = np.zeros_like(answers[2])
    with pytest.raises(DeviceError, match="ends before"):
        replay.counters()


@pytest.mark.slow
def test_tape_from_the_host():
    """A chip whose RAM holds a part of the tape: the host streams it, token by token."""
    small = replace(full_config(), tape_words=16)
    golden = GoldenDevice(model_of(MODEL))
    with running(small) as board:
        device = device_on(board)
        assert list(device.generate([1, 2], 5, SAMPLING)) == list(
            golden.generate([1, 2], 5, SAMPLING)
        )
        assert np.array_equal(device.state, golden.state)
        assert np.array_equal(device.logits([3]), golden.logits([3]))
        octaves = [chip.log_probabilities([4, 5, 6], [7, 8, 9]) for chip in (device, golden)]
        assert np.array_equal(*octaves)
        device.close()


def requests(count, device, seed):
    """Play requests of all kinds; return what came of them, with states now and then."""
    rng = random.Random(seed)
    vocab = device.model.shape.vocab
    results = []
    while count > 0:
        kind = rng.randrange(8)
        if kind < 5:
            prompt = [rng.randrange(vocab) for _ in range(rng.randint(1, 3))]
            sampling = Sampling(1.0, rng.randrange(1000))
            results.append(list(device.generate(prompt, rng.randint(1, 5), sampling)))
        elif kind < 6:
            logits = device.logits([rng.randrange(vocab)])
            results.append(zlib.crc32(logits.astype("<i8").tobytes()))
        else:
            state = device.state
            results.append(zlib.crc32(state.astype("<i8").tobytes()))
            if kind == 7:
                device.state = state // 2
        count -= 1
    return results


class Resets:
    """Resets a board at random clocks, by its button or by a line break, and counts."""

    def __init__(self, seed, every):
        self.random, self.every = random.Random(seed), every
        self.count = Counter(button=0, line_break=0)

    def __call__(self, board):
        if self.random.random() >= 1 / self.every:
            return
        board.chip.run(self.random.randrange(1000))
        how = self.random.choice(list(self.count))
        self.count[how] += 1
        if how == "button":
            board.chip.reset()
        else:
            board.chip.send(b"\0", 8 * CLOCK_HZ / DEFAULT_BAUD)


def bad_line(count, seed, every=20_000):
    """Requests through a bad line with resets; compared with the golden model.

    Returns how often each fault happened in either direction, and each kind of reset.
    """
    to_chip, to_host, resets = BadLine(seed), BadLine(seed + 1), Resets(seed, every)
    print(f"seed {seed}")
    with running(config_for(CONFIG), image(), to_chip, to_host, resets) as board:
        device = device_on(board)
        found = requests(count, device, seed)
        again = device.port.retransmissions
        device.close()
    assert found == requests(count, GoldenDevice(model_of(MODEL)), seed)
    print(f"to the chip: {dict(to_chip.faults)}")
    print(f"to the host: {dict(to_host.faults)}")
    print(f"resets: {dict(resets.count)}; {again} requests sent again")
    return to_chip.faults, to_host.faults, resets.count


@pytest.mark.parametrize("fault", [field.name for field in fields(Rates)])
def test_each_fault_does_something(fault):
    """One fault alone changes what goes over the line, and is counted."""
    rates = Rates(**{**dict.fromkeys(Rates.__slots__, 0.0), fault: 0.01})
    line, data = BadLine(5, rates), random.Random(5).randbytes(5000)
    out = line(data)
    assert out != data
    assert [name for name, count in line.faults.items() if count] == [fault]
    longer = {"drop": -1, "double": 1, "insert": 1, "flood": 500}.get(fault, 0)
    assert len(out) - len(data) == longer * line.faults[fault]


def test_bad_line():
    """Some requests of the long run below."""
    *faults, _ = bad_line(60, seed=11)
    assert sum(faults, Counter()).total() > 0


@pytest.mark.slow
def test_bad_line_2000_requests():
    """Nothing lost, nothing twice, no wrong answer, no hang, with every kind of fault."""
    to_chip, to_host, resets = bad_line(2000, seed=1, every=5000)
    assert min(to_chip.values()) > 0
    assert min(to_host.values()) > 0
    assert min(resets.values()) > 2
    assert (to_chip + to_host).total() > 1000
