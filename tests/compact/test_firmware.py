"""Firmware of the compact chip on its emulator: tokens, drawing and the link, bit for bit."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.known_answer import known_model
from sterna.device.operations import Operation, read, read_next, write
from sterna.device.serial_link import SerialLink
from sterna.errors import DeviceError, InputError
from sterna.firmware.assembler import assemble
from sterna.firmware.program import NAMES, divisor_of, firmware, source
from sterna.golden.compact_chip import Chip
from sterna.model import container
from sterna.model.layout import lay_out
from sterna.spec.chip import COMPACT, ICEBREAKER
from sterna.spec.link import Code, Frame, Kind, Outcome, decode, encode
from sterna.spec.registers import MAGIC, REGISTERS, Control, Memory
from sterna_sim.kit.bench import default_seed
from tests.compact.firmware import EmulatedPort
from tests.tiny import tiny_model

MODEL = Path(__file__).parents[2] / "models" / "tern-up5k" / "tern-up5k.sterna"
CLOCK_HZ = 20_000_000


def chip(text=None):
    names = NAMES | {"DIVISOR": divisor_of(CLOCK_HZ)}
    assembled = assemble(text, names) if text else firmware(COMPACT, CLOCK_HZ)
    return Chip(assembled.program, assembled.data)


def device(model, text=None, loaded=True):
    """The model on the emulator; by default its memories hold it, as after an earlier start."""
    port = EmulatedPort(chip(text))
    if loaded:
        image = lay_out(model, COMPACT)
        port.chip.tape[: len(image.tape)] = [low | high << 32 for low, high in image.tape.tolist()]
        port.chip.memories.vectors[: len(image.vector_a)] = image.vector_a[:, 0]
    return ChipDevice(SerialLink(port, 1_000_000), model, "emulated")


def models():
    """Models of several sizes: one block and many, sums of squares small and large beside eps."""
    yield "one layer", known_model()
    yield "odd", tiny_model(coarse=True, hidden=31, layers=3, intermediate=50, seed=3)
    yield "large eps", tiny_model(coarse=True, hidden=24, eps=1.0, use_lower_bound=False, seed=4)
    yield (
        "small eps",
        tiny_model(
            coarse=True, hidden=50, eps=1e-12, expand_ratio=2.0, use_lower_bound=False, seed=5
        ),
    )
    yield "tern-up5k", container.load(MODEL)


MODELS = dict(models())


@pytest.mark.parametrize("name", MODELS)
def test_tokens(name):
    """Logits, states, drawing and counters are the golden model's."""
    model = MODELS[name]
    rng = np.random.default_rng(default_seed())
    golden, own = GoldenDevice(model), device(model)
    tokens = rng.integers(model.shape.vocab, size=5).tolist()
    np.testing.assert_array_equal(own.logits(tokens), golden.logits(tokens))
    for temperature in (0.0, 0.9, 5.0):
        sampling = Sampling(temperature=temperature, seed=int(rng.integers(1 << 40)))
        found = list(own.generate(tokens[:2], 24, sampling))
        assert found == list(golden.generate(tokens[:2], 24, sampling))
    np.testing.assert_array_equal(own.state, golden.state)
    state = rng.integers(-(1 << 15) + 1, 1 << 15, own.state.shape)
    own.state = golden.state = state
    stops = Sampling(seed=7, temperature=2.0, stop=(found[3], found[5]))
    assert list(own.generate(tokens, 60, stops)) == list(golden.generate(tokens, 60, stops))
    best, expected = own.best(tokens, 3), golden.best(tokens, 3)
    np.testing.assert_array_equal(best, expected)
    counters = own.counters()
    assert set(counters) == {"tokens", "segments", "saturations"}
    print(f"{name}: seed {default_seed()}, {counters}, {own.port._port.chip.steps} instructions")


def test_extremes():
    """A state and an embedding as large as can be: results are clamped, and counted."""
    model = tiny_model(coarse=True, hidden=31, layers=3, intermediate=50, seed=3)
    golden, own = GoldenDevice(model), device(model)
    own.state = golden.state = np.full(own.state.shape, 32767)
    before = own.counters()["saturations"], golden.counters()["saturations"]
    np.testing.assert_array_equal(own.logits([3, 4, 5]), golden.logits([3, 4, 5]))
    after = own.counters()["saturations"], golden.counters()["saturations"]
    assert after[0] - before[0] == after[1] - before[1]


BUGS = {
    "normalises one too far": (
        "            load  exponent\n            sub   t\n",
        "            load  exponent\n            sub   #1\n",
    ),
    "curve without its fall": (
        "            load  value\n            sub   t\n",
        "            load  value\n            sub   #0\n",
    ),
    "curve without borrow": (
        "            subc  #0\n            store above\n",
        "            store above\n",
    ),
    "root of an odd exponent": (
        "            and   #1\n            ifz   is_even\n",
        "            goto  is_even\n",
    ),
    "eps left out": ("mul   record + Record.EPS_MANTISSA", "mul   #0"),
    "first sum left out": (
        "in    Read.TOTAL\n            add   record + Record.EPS_LOW\n",
        "load  record + Record.EPS_LOW\n",
    ),
    "largest without its one": ("in    Read.MORE\n", "load  #0\n"),
    "constant of the scale left out": (
        "            load  record + Record.SCALE_MANTISSA\n            call  times\n",
        "",
    ),
    "no new largest product": ("            ifz   find_peak\n", "            ifnz  scale\n"),
    "nibbles in another order": (
        "            in    Read.PEEKED\n            out   Write.NIBBLE\n",
        "            in    Read.PEEKED\n",
    ),
    "the generator stands": ("            load  #512\n            call  mix\n", ""),
    "first block never begins": (
        "            load  #1\n            store kind\n",
        "            load  #0\n            store kind\n",
    ),
    "the scale of the segment before": (
        "            call  scale\n            goto  next_block\n",
        "            goto  next_block\n",
    ),
    "states of the first layer": ("load  record + Record.STATE\n", "load  =Area.STATE\n"),
    "clamped results are not counted": (
        "count:      load  #2 * COUNTER_SATURATIONS\n",
        "count:      load  #2 * COUNTER_TOKENS\n",
    ),
    "stop tokens are not seen": ("            sub   token\n            ifz   is_last\n", ""),
    "no token is the last": ("load  =(VALID | LAST) >> 16", "load  =VALID >> 16"),
    "the same token again": ("            load  #1\n            store stale\n", ""),
    "old temperature": ("            call  set\n; heat", "            goto  set\n; heat"),
    "one address for all": (
        "onwards:    load  registers + 2 * ADDRESS\n            add   #1\n",
        "onwards:    load  registers + 2 * ADDRESS\n",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs(bug):
    """What goes wrong in a routine is seen in what a host gets."""
    text, (old, new) = source(COMPACT, CLOCK_HZ), BUGS[bug]
    assert text.count(old) == 1, text.count(old)
    with pytest.raises((AssertionError, DeviceError)) as found:
        _short(text.replace(old, new))
    print(str(found.value).strip().splitlines()[0])


def _short(text):
    model = tiny_model(coarse=True, hidden=31, layers=3, intermediate=50, seed=3)
    golden, own = GoldenDevice(model), device(model, text)
    own.state = golden.state = np.full(own.state.shape, 32767)
    before = golden.counters()["saturations"]
    np.testing.assert_array_equal(own.logits([3, 4, 5, 6]), golden.logits([3, 4, 5, 6]))
    found = own.counters()
    assert found["saturations"] == golden.counters()["saturations"] - before
    assert (found["tokens"], found["segments"]) == (4, 4 * len(own.image.segments))
    sampling = Sampling(temperature=3.0, seed=1)
    drawn = list(golden.generate([1], 30, sampling))
    assert list(own.generate([1], 30, sampling)) == drawn
    stops = replace(sampling, stop=(drawn[-1],))
    own.state = golden.state
    assert list(own.generate([1], 200, stops)) == list(golden.generate([1], 200, stops))


def test_firmware_without_a_bug():
    _short(source(COMPACT, CLOCK_HZ))


# The link.


class Session:
    """Frames to a chip and its answers, one by one."""

    def __init__(self):
        self.port, self.number = EmulatedPort(chip()), 7
        assert self.ask(Frame(Kind.SYNC, 3, self.number)) == [Frame(Kind.SYNCED, 3, self.number)]

    def ask(self, frame):
        return self.bytes(encode(frame))

    def bytes(self, data):
        self.port.write(data)
        blocks = self.port.read(1.0).split(b"\0")
        return [decode(block) for block in blocks if block]

    def request(self, payload, kind=Kind.RESUME):
        frame = Frame(kind, 3, self.number, payload)
        (reply,) = self.ask(frame)
        assert (reply.kind, reply.session, reply.sequence) == (Kind.DONE, 3, self.number)
        self.number = (self.number + 1) % 256
        return reply.payload

    def do(self, *operations: Operation):
        payload = b"".join(
            bytes([one.code, REGISTERS[one.register].address, one.count, 0]) + one.words.tobytes()
            for one in operations
        )
        return np.frombuffer(self.request(payload)[:-3], "<u4").tolist()


def test_sessions():
    """Requests are done once; another session, and another number, are told."""
    session = Session()
    word = write("COUNT", 5)
    payload = bytes([Code.WRITE, REGISTERS["COUNT"].address, 1, 0]) + word.words.tobytes()
    first = Frame(Kind.EXECUTE, 3, session.number, payload)
    (reply,) = session.ask(first)
    assert reply == Frame(Kind.DONE, 3, 7, bytes([Outcome.DONE, 2, 1]))
    assert session.ask(first) == [reply]  # again, and not done again
    assert session.ask(Frame(Kind.EXECUTE, 4, 8, payload)) == [Frame(Kind.LOST, 3, 8)]
    assert session.ask(Frame(9, 3, 8, payload)) == []
    session.port.line_break(0.02)
    assert session.ask(Frame(Kind.EXECUTE, 3, 8, payload)) == [Frame(Kind.LOST, 0, 8)]


def test_damaged_frames_are_not_acted_on():
    rng = np.random.default_rng(default_seed())
    session = Session()
    whole = encode(Frame(Kind.EXECUTE, 3, 7, bytes([Code.READ, 0, 1, 0])))
    for _ in range(200):
        bad = bytearray(whole)
        place = int(rng.integers(1, len(bad) - 1))
        bad[place] ^= 1 << int(rng.integers(8))
        assert session.bytes(bytes(bad)) == []
    assert session.bytes(bytes(rng.integers(1, 256, 3000, dtype=np.uint8)) + b"\0") == []
    assert session.do(read("MAGIC")) == [MAGIC]


@pytest.mark.parametrize(
    "payload",
    [
        bytes([Code.WRITE, 12, 2, 0, 1, 0, 0, 0]),  # words are missing
        bytes([Code.WRITE, 12, 1, 0, 1, 0, 0, 0, 0]),  # a byte too many
        bytes([Code.READ, 0, 57, 0]),  # more words than a reply has
    ],
)
def test_malformed_requests(payload):
    session = Session()
    assert session.request(payload)[-3] == Outcome.MALFORMED
    assert session.do(read("MAGIC")) == [MAGIC]


def test_longest_request_and_reply():
    session = Session()
    words = np.random.default_rng(2).integers(1 << 16, size=63)
    session.do(write("MEMORY", Memory.VECTOR_A), write("ADDRESS", 3000))
    session.do(write("DATA", *words))
    session.do(write("ADDRESS", 3000))
    assert session.do(read("DATA", 56)) == words[:56].tolist()
    assert session.do(read("ADDRESS")) == [3056]


def test_registers():
    """What can be written is read again; what can't, stays."""
    session = Session()
    before = session.do(read_next("MAGIC", 56))
    assert session.do(read_next("COUNTER_CLOCKS", 12)) == [0] * 12
    assert session.do(read("CONFIG_COMPACT"), read_next("CONFIG_COMPACT", 3)) == [1, 1, 0, 0]
    plain = "TAPE_LENGTH", "SLOT", "TOP_K", "COUNT", *(f"STOP_{n}" for n in range(4)), "LOG_SCALE"
    for name, register in REGISTERS.items():
        # Of parts that the chip does not have they are words like all others.
        if register.access == "r" and name not in ("BEST_TOKEN", "BEST_LOGIT", "LOG_PROBABILITY"):
            session.do(write(name, 0x12345678))
    assert session.do(read_next("MAGIC", 56)) == before
    for n, name in enumerate(plain):
        session.do(write(name, 0x10001 * n + 5))
    for n, name in enumerate(plain):
        assert session.do(read(name)) == [0x10001 * n + 5]
    session.do(write("UART_DIVISOR", 20), write("CONTROL", 1 << Control.RESET))
    assert session.do(read("UART_DIVISOR")) == [20]
    session.port.line_break(0.02)
    assert session.ask(Frame(Kind.SYNC, 3, session.number))
    assert session.do(read("UART_DIVISOR"), read("COUNT")) == [divisor_of(CLOCK_HZ), 0]


# What the compact chip leaves out.


def test_a_tape_that_is_damaged_is_told():
    own = device(known_model())
    own.port._port.chip.tape[own.image.segments[2].first_word - 8] ^= 1
    with pytest.raises(DeviceError, match="segment 2 of the tape: not a segment header"):
        own.logits([1])
    # Then the tape is checked, and loaded anew.
    np.testing.assert_array_equal(own.logits([1]), GoldenDevice(known_model()).logits([1]))


def test_loading():
    """What is written is checked, and read again."""
    model = known_model()
    own, golden = device(model, loaded=False), GoldenDevice(model)
    assert own.load() == sum(words.nbytes for words in own.image.memories().values())
    np.testing.assert_array_equal(own.logits([1, 2]), golden.logits([1, 2]))
    assert own.port._port.bauds[-1] == 1_000_000
    own.port.execute([write("TAPE_LENGTH", 0), write("MEMORY", Memory.TAPE), write("ADDRESS", 5)])
    words = own.port.execute([read("DATA", 6)])
    np.testing.assert_array_equal(words.reshape(3, 2), own.image.tape[5:8])


def test_a_model_that_is_too_large_is_refused():
    model = tiny_model(coarse=True, hidden=97)
    with pytest.raises(InputError, match="residual_words = 97, the chip has 96"):
        device(model)
    with pytest.raises(InputError, match="tape_words"):
        device(tiny_model(coarse=True, hidden=96, layers=9, intermediate=96))


def test_waiting_for_nothing_is_told(monkeypatch):
    own = device(known_model())
    monkeypatch.setattr("sterna.device.chip._SILENT_CLOCKS", 1 << 16)
    own.expect_results()
    assert own.poll("LOG_PROBABILITY", 1) == []
    time.sleep(0.01)
    with pytest.raises(DeviceError, match="the chip hangs: nothing in LOG_PROBABILITY"):
        own.poll("LOG_PROBABILITY", 1)


def test_compact_chips_have_one_size():
    with pytest.raises(InputError, match="max_vocab of a compact chip must be 256, not 512"):
        replace(COMPACT, max_vocab=512)
    assert replace(COMPACT, compact=False) == ICEBREAKER
