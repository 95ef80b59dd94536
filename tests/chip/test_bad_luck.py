"""What goes wrong with a device: one sentence, status 2 or 3, nothing left, the next one works."""

import json
import os
import sys
import threading
import time
import tty
from dataclasses import replace

import numpy as np
import pytest

from sterna.cli import main
from sterna.device import chip as chip_module
from sterna.device import serial_link
from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.operations import write
from sterna.device.serial_link import SerialLink
from sterna.device.serial_port import SerialPort
from sterna.errors import DeviceError, InputError
from sterna.model import container
from sterna.model.layout import lay_out
from sterna.spec.link import Frame, Kind, decode, encode
from sterna.spec.registers import INTERFACE_VERSION, MAGIC, Memory
from sterna_sim.board import Board
from tests.chip.boards import FASTEST, running
from tests.chip.models import config_for, model_of

MODEL, CONFIG = "fixture-a", "odd-columns"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.sterna"
    container.save(model_of(MODEL), path)
    return path


@pytest.fixture
def sterna(capsys, monkeypatch):
    """Call the command; return status, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sterna", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def board():
    with running(config_for(CONFIG), lay_out(model_of(MODEL), config_for(CONFIG))) as board:
        yield board


def refused(result, status, *words):
    """One sentence, the status, and nothing on stdout."""
    assert (result[0], result[1], result[2].count("\n")) == (status, "", 1), result
    assert result[2].startswith("sterna: ")
    for word in words:
        assert word in result[2]


def logits(sterna, board, model_file, tmp_path):
    """A good request: the device is well."""
    out = tmp_path / "good.npy"
    device = f"uart:{board.port}@{FASTEST}"
    result = sterna("logits", "--model", model_file, "--tokens", "5", "-o", out, "--device", device)
    assert result[0] == 0, result
    golden = GoldenDevice(model_of(MODEL)).logits([5])
    fraction = model_of(MODEL).steps[-1].fraction
    assert np.array_equal(np.load(out), (golden * 2.0**-fraction).astype(np.float32))
    out.unlink()


def ask(model_file, device, *more):
    return ("generate", "--model", model_file, "--tokens", "5", "--device", device, *more)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("uart:", ("a serial port is missing", "uart:/dev/ttyUSB0")),
        ("uart:/dev/ttyNONE", ("there is no port /dev/ttyNONE", "ports found")),
        ("uart:/dev/null", ("/dev/null is not a serial port",)),
        ("uart:/dev/ttyUSB0@fast", ("the speed behind @", "'fast'")),
        ("sim:fast", ("sim or sim:direct",)),
        ("replay:", ("replay:FILE",)),
        ("replay:/nowhere", ("cannot read /nowhere",)),
        ("golden:x", ("golden takes nothing",)),
    ],
)
def test_devices_that_are_not_there(sterna, model_file, device, words):
    refused(sterna(*ask(model_file, device)), 2, *words)


def test_port_in_use(sterna, board, model_file, tmp_path):
    other = SerialPort(board.port)
    refused(sterna(*ask(model_file, f"uart:{board.port}")), 2, "in use", "end that first")
    other.close()
    logits(sterna, board, model_file, tmp_path)


def test_speed_the_device_cannot(sterna, board, model_file, tmp_path):
    refused(sterna(*ask(model_file, f"uart:{board.port}@2345678")), 2, "cannot run at 2345678")
    logits(sterna, board, model_file, tmp_path)


def test_bad_requests(sterna, board, model_file, tmp_path):
    """Tokens, prompts, values: refused before the device hears of them."""
    device = f"uart:{board.port}@{FASTEST}"
    options = ("--model", model_file, "--device", device)
    refused(sterna("generate", "--tokens", "5,999", *options), 2, "tokens must be 0 to")
    refused(sterna("generate", "--tokens", "", *options), 2, "no token to step")
    refused(sterna("generate", "--tokens", "5", "--temperature", "-1", *options), 2, "0 or more")
    refused(sterna("generate", *options), 2, "give a prompt")
    refused(sterna("generate", "--load-state", tmp_path / "none", *options), 2, "there is no file")
    (tmp_path / "state").write_bytes(b"no state")
    refused(sterna("generate", "--load-state", tmp_path / "state", *options), 2, "not a state")
    refused(
        sterna("generate", "--tokens", "5", "--record", tmp_path / "no" / "r", *options),
        2,
        "there is no directory",
    )
    logits(sterna, board, model_file, tmp_path)


def test_model_too_large(sterna, board, model_file, tmp_path):
    """A model that the chip cannot hold: the memory is named."""
    big = replace(model_of(MODEL), embedding=np.zeros((99999, 64), np.int8))
    link = SerialLink(SerialPort(board.port), FASTEST)
    with pytest.raises(InputError, match="the model needs"):
        ChipDevice(link, big, "")
    logits(sterna, board, model_file, tmp_path)


def test_silent_port(sterna, model_file, monkeypatch):
    """Somebody else's device: it takes bytes and says nothing."""
    own, other = os.openpty()
    tty.setraw(other)
    monkeypatch.setattr(serial_link, "_OPENINGS", 2)
    result = sterna(*ask(model_file, f"uart:{os.ttyname(other)}"))
    refused(result, 3, "nothing answers on", "bitstream")
    os.close(own)
    os.close(other)


class Impostor:
    """Speaks the protocol, but answers reads with words of its own."""

    def __init__(self, words):
        self.words = words
        self.own, self.other = os.openpty()
        tty.setraw(self.other)
        self.port = os.ttyname(self.other)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        heard = b""
        while True:
            try:
                heard += os.read(self.own, 4096)
            except OSError:
                return
            *blocks, heard = heard.split(b"\0")
            for block in blocks:
                frame = decode(block) if block else None
                if frame is None:
                    continue
                kind, payload = Kind.SYNCED, b""
                if frame.kind != Kind.SYNC:
                    kind = Kind.DONE
                    payload = b"".join(word.to_bytes(4, "little") for word in self.words)
                answer = Frame(kind, frame.session, frame.sequence, payload + bytes([0, 0, 8]))
                os.write(self.own, encode(answer))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([1, INTERFACE_VERSION, 1], "is no Sterna"),
        ([MAGIC, 99, 1], "speaks version 99"),
        ([MAGIC], "did not understand"),
    ],
)
def test_other_devices(sterna, model_file, words, sentence):
    refused(sterna(*ask(model_file, f"uart:{Impostor(words).port}")), 3, sentence)


def test_wrong_configuration(board, monkeypatch):
    """A chip whose fields do not make its digest."""
    link = SerialLink(SerialPort(board.port), FASTEST)

    class Lying:
        def execute(self, operations):
            words = link.execute(operations).copy()
            words[-1] += len(words) > 5
            return words

    with pytest.raises(DeviceError, match="rebuild its bitstream"):
        chip_module.read_config(Lying())
    link.close()


def test_memory_that_forgets(board, sterna, model_file, tmp_path, monkeypatch):
    """A checksum on the device that is not that of what was written."""
    monkeypatch.setattr(chip_module, "checksum_memory", lambda *_: 0)
    device = f"uart:{board.port}@{FASTEST}"
    refused(sterna(*ask(model_file, device)), 3, "memory tape does not hold what was written")
    monkeypatch.undo()
    logits(sterna, board, model_file, tmp_path)


def test_fault_in_the_tape(board, sterna, model_file, tmp_path):
    """A word that changes after it was checked: the segment is named, the next start mends it."""
    image = lay_out(model_of(MODEL), config_for(CONFIG))
    device = ChipDevice(SerialLink(SerialPort(board.port), FASTEST), model_of(MODEL), "")
    segment = image.segments[4]
    words = image.tape[segment.first_word + 2].copy()
    words[0] ^= 1 << 7
    device.port.execute(
        [
            write("MEMORY", Memory.TAPE),
            write("ADDRESS", segment.first_word + 2),
            write("DATA", words),
        ]
    )
    with pytest.raises(DeviceError, match="segment 4 of the tape: its words do not match"):
        list(device.generate([5], 20, Sampling()))
    device.close()
    logits(sterna, board, model_file, tmp_path)


def test_unplugged(model_file, sterna, monkeypatch):
    """The port goes away while tokens come."""
    image = lay_out(model_of(MODEL), config_for(CONFIG))
    board = Board(config_for(CONFIG), image)
    going = True

    def run():
        while going:
            board.step()

    thread = threading.Thread(target=run)
    thread.start()
    device = ChipDevice(SerialLink(SerialPort(board.port), FASTEST), model_of(MODEL), "")
    tokens = device.generate([5], 20000, Sampling(1.0))
    next(tokens)
    going = False
    thread.join()
    board.close()
    with pytest.raises(DeviceError, match="plug the board in again"):
        list(tokens)
    device.close()


def test_interrupted(board, sterna, model_file, tmp_path):
    """Ctrl-C in the middle: status 130, and the device takes the next request."""
    device = ChipDevice(SerialLink(SerialPort(board.port), FASTEST), model_of(MODEL), "")
    tokens = device.generate([5], 5000, Sampling(1.0))
    next(tokens)
    with pytest.raises(KeyboardInterrupt):
        tokens.throw(KeyboardInterrupt)
    assert len(list(device.generate([7], 3, Sampling()))) == 3
    device.close()
    logits(sterna, board, model_file, tmp_path)


def test_garbage_before_a_request(board, sterna, model_file, tmp_path):
    """Noise at any speed, unfinished frames: the next request is answered."""
    port = SerialPort(board.port)
    for baud in (9600, 115_200, FASTEST):
        port.set_baud(baud)
        port.write(bytes(np.random.default_rng(baud).integers(0, 256, 300, dtype=np.uint8)))
        time.sleep(0.05)
    port.write(encode(Frame(Kind.EXECUTE, 1, 1, b"x" * 256))[:100])
    port.close()
    logits(sterna, board, model_file, tmp_path)


def test_bench_and_json(board, sterna, model_file):
    """Figures by their plain names, also of loading."""
    device = f"uart:{board.port}@{FASTEST}"
    status, out, _ = sterna(
        "bench", "--model", model_file, "--device", device, "-n", 5, "--load", "--json"
    )
    facts = json.loads(out)
    assert status == 0
    assert facts["tokens"] == 5
    assert 0 < facts["lane_use"] < 1
    assert 0 < facts["roofline_fraction"] < 1
    assert facts["loaded_bytes"] > 30_000
    refused(sterna("bench", "--model", model_file, "--load"), 2, "--load needs a chip")
    status, out, _ = sterna(*ask(model_file, device, "-n", 5, "--json"))
    facts = json.loads(out)
    assert len(facts["tokens_drawn"]) == 5
    assert facts["clocks_per_token"] > 100


def test_doctor(board, sterna, model_file, tmp_path):
    """A board that is well; after it, the model is loaded again."""
    status, out, err = sterna("doctor", "--device", f"uart:{board.port}@{FASTEST}")
    assert (status, err) == (0, "")
    assert out.endswith("all well\n")
    for line in ("link", "identification", "memories", "known answer"):
        assert f"\n{line}" in out
    logits(sterna, board, model_file, tmp_path)


def test_verilog(sterna, tmp_path):
    """A file for other tools, of the configuration that was asked for."""
    config = tmp_path / "c.json"
    config.write_text(json.dumps(config_for(CONFIG).to_dict()))
    status, out, _ = sterna("verilog", "-o", tmp_path / "chip.v", "--config", config)
    assert status == 0
    assert config_for(CONFIG).digest in out
    text = (tmp_path / "chip.v").read_text()
    assert "module sterna(" in text
    assert "input rx" in text
    config.write_text("{}")
    refused(sterna("verilog", "-o", tmp_path / "x.v", "--config", config), 2, "missing or unknown")
    config.write_text("no")
    refused(sterna("verilog", "-o", tmp_path / "x.v", "--config", config), 2, "is not JSON")
    assert not (tmp_path / "x.v").exists()
