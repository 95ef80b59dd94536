"""What goes wrong with a device: one sentence, status 2 or 3, nothing left, the next one works."""

import hashlib
import json
import os
import sys
import threading
import time
import tty
from collections import Counter
from pathlib import Path

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
from sterna.errors import DeviceError
from sterna.model import container
from sterna.model.layout import lay_out
from sterna.spec.chip import REFERENCE
from sterna.spec.link import Frame, Kind, decode, encode
from sterna.spec.registers import CONFIG_REGISTERS, INTERFACE_VERSION, MAGIC, Memory
from sterna_sim.faults import BadLine, Rates
from tests.chip.boards import FASTEST, plugged, running
from tests.chip.models import config_for, model_of
from tests.host.terminal import INTERRUPT, Terminal
from tests.tiny import tiny_model

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
    """Arguments of a request; at temperature 0 this model's text has no end."""
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


def test_doctor_is_for_chips(sterna):
    for device in ("golden", "replay:run.jsonl"):
        refused(sterna("doctor", "--device", device), 2, "is no chip", "uart:PORT")


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
    """A model that the chip cannot hold: what is too small is named."""
    big = tmp_path / "big.sterna"
    container.save(tiny_model(vocab=3000), big)
    device = f"uart:{board.port}@{FASTEST}"
    result = sterna("generate", "--model", big, "--tokens", "5", "--device", device)
    refused(result, 2, "the model needs", "choose a larger chip")
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


def test_wrong_configuration(sterna, board, model_file, tmp_path, monkeypatch):
    """A chip whose fields do not make its digest, and one whose fields cannot be."""
    execute = SerialLink.execute
    for wrong, words in ((1, "rebuild its bitstream"), (1 << 31, "that cannot be")):

        def lie(link, operations, wrong=wrong):
            words = execute(link, operations).copy()
            if operations[0].register == "DIGEST_LOW":
                words[2 + list(CONFIG_REGISTERS).index("CONFIG_MAX_VOCAB")] += wrong
            return words

        monkeypatch.setattr(SerialLink, "execute", lie)
        refused(sterna(*ask(model_file, f"uart:{board.port}@{FASTEST}")), 3, words)
    monkeypatch.undo()
    logits(sterna, board, model_file, tmp_path)


def test_another_bitstream_than_the_manifest_says(sterna, board, tmp_path, monkeypatch):
    """`doctor --board` looks for the chip of the bitstream; the right one goes on to its tests."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bitstreams" / "ulx3s-85f"
    folder.mkdir(parents=True)
    options = "--board", "ulx3s-85f", "--device", f"uart:{board.port}@{FASTEST}", "--quick"
    for config, status in ((REFERENCE, 3), (config_for(CONFIG), 0)):
        manifest = {
            "board": "ulx3s-85f",
            "configuration": config.to_dict(),
            "digest": config.digest,
            "interface_version": INTERFACE_VERSION,
            "sha256": "0" * 64,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found, out, err = sterna("doctor", *options)
        assert found == status, err
        if status:
            assert f"has {REFERENCE.digest}; load it with `sterna flash --board ulx3s-85f`" in err
            assert "known answer" not in out


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


def test_unplugged(sterna, model_file, tmp_path):
    """The port goes away while tokens come; the board that is plugged in again works."""
    config = config_for(CONFIG)
    with plugged(config, model_file, tmp_path) as (port, process):
        device = f"uart:{port}@{FASTEST}"
        with Terminal(*ask(model_file, device, "-n", 100_000, "--temperature", 0)) as terminal:
            terminal.wait_for("clocks per token")
            process.kill()
            assert terminal.wait() == 3
            assert f"sterna: {port} is gone" in terminal.screen
            assert "plug the board in again" in " ".join(terminal.screen.split())
            assert "Traceback" not in terminal.screen
    with plugged(config, model_file, tmp_path) as (port, _):
        assert sterna(*ask(model_file, f"uart:{port}@{FASTEST}", "-n", 3))[0] == 0
    assert os.listdir(tmp_path) == []


class Cut:
    """A line that is cut after so many bytes, until it is mended."""

    def __init__(self):
        self.left = None

    def __call__(self, data):
        if self.left is None:
            return data
        kept = data[: self.left]
        self.left -= len(kept)
        return kept


def test_silent_in_the_middle(sterna, model_file, tmp_path, monkeypatch):
    """The device is heard no more while tokens come; once it is, it works."""
    monkeypatch.setattr(serial_link, "_OPENINGS", 3)
    line, image = Cut(), lay_out(model_of(MODEL), config_for(CONFIG))
    with running(config_for(CONFIG), image, to_host=line) as board:
        logits(sterna, board, model_file, tmp_path)
        line.left = 6000
        saved = ("--save-state", tmp_path / "state")
        device = f"uart:{board.port}@{FASTEST}"
        status, out, err = sterna(*ask(model_file, device, "-n", 5000, "--temperature", 0, *saved))
        assert (status, err.count("\n")) == (3, 1)
        assert len(out.split()) > 5
        assert "nothing answers on" in err
        assert os.listdir(tmp_path) == []
        line.left = None
        logits(sterna, board, model_file, tmp_path)


def test_speed_that_the_line_cannot(sterna, model_file, tmp_path, monkeypatch):
    """The device and the port can run at a speed, but nothing comes over the line at it."""
    monkeypatch.setattr(serial_link, "_BEGINNINGS", 2)
    boards = []

    def slow_line(data):
        fast = boards and boards[0]._baud() > 1_000_000
        return b"" if fast else data

    image = lay_out(model_of(MODEL), config_for(CONFIG))
    with running(config_for(CONFIG), image, to_chip=slow_line) as board:
        boards.append(board)
        result = sterna(*ask(model_file, f"uart:{board.port}@{FASTEST}"))
        refused(result, 3, f"no answer at {FASTEST} baud", "try a lower speed")
        boards.clear()
        logits(sterna, board, model_file, tmp_path)


@pytest.mark.parametrize(
    "rates",
    [
        Rates(**{**dict.fromkeys(Rates.__slots__, 0.0), fault: rate})
        for fault, rate in {
            "flip": 2e-4, "drop": 1e-3, "double": 1e-3, "insert": 1e-3, "reorder": 1e-3,
            "flood": 5e-4,
        }.items()
    ],
    ids=Rates.__slots__,
)  # fmt: skip
def test_each_fault_of_the_line(sterna, model_file, tmp_path, rates):
    """One kind of fault, ten times as often as in the long run: no answer is wrong or missing."""
    image = lay_out(model_of(MODEL), config_for(CONFIG))
    lines = BadLine(1, rates), BadLine(2, rates)
    sampling = Sampling(0.7, 0, tuple(model_of(MODEL).meta["eos"]))
    golden = list(GoldenDevice(model_of(MODEL)).generate([5], 40, sampling))
    with running(config_for(CONFIG), image, *lines) as board:
        # How many bytes a request takes depends on how often the host asks; so until a fault came.
        happened = Counter()
        while not happened.total():
            logits(sterna, board, model_file, tmp_path)
            asked = ask(model_file, f"uart:{board.port}@{FASTEST}", "-n", 40)
            status, out, err = sterna(*asked)
            assert (status, err) == (0, "")
            assert [int(token) for token in out.split()] == golden
            happened = sum((line.faults for line in lines), Counter())


@pytest.mark.parametrize("command", ["generate", "bench"])
def test_interrupted(command, sterna, model_file, tmp_path):
    """Ctrl-C in the middle: status 130, and the device takes the next request."""
    with plugged(config_for(CONFIG), model_file, tmp_path) as (port, _):
        device = f"uart:{port}@{FASTEST}"
        endless = ask(model_file, device, "-n", 10**6, "--temperature", 0)
        arguments, sign = {
            "generate": (endless, "clocks per token"),
            "bench": (("bench", "--model", model_file, "--device", device, "--load"), "loading"),
        }[command]
        with Terminal(*arguments) as terminal:
            terminal.wait_for(sign)
            terminal.type(INTERRUPT)
            assert terminal.wait() == 130
            assert "Traceback" not in terminal.screen
        assert sterna(*ask(model_file, device, "-n", 3))[0] == 0


def test_garbage_before_a_request(board, sterna, model_file, tmp_path):
    """Noise at any speed, unfinished frames: the next request is answered."""
    port = SerialPort(board.port)
    # A byte takes the simulated board as many clocks as a real one: few at a low speed.
    for baud, count in ((9600, 10), (115_200, 100), (FASTEST, 300)):
        port.set_baud(baud)
        port.write(np.random.default_rng(baud).bytes(count))
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
    device = f"uart:{board.port}@{FASTEST}"
    facts = json.loads(sterna("doctor", "--quick", "--device", device, "--json")[1])
    assert facts["configuration"] == config_for(CONFIG).digest
    assert facts["milliseconds_per_request"] > 0
    assert facts["known_answer"]
    assert "memories_hold" not in facts
    logits(sterna, board, model_file, tmp_path)


@pytest.mark.parametrize("milliseconds", [16, 1])
def test_doctor_on_a_latency_timer(milliseconds, board, sterna, tmp_path, monkeypatch):
    """A driver that keeps answers back is told how to be quick; one that does not is not."""
    timer = tmp_path / Path(board.port).resolve().name / "device" / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text(f"{milliseconds}\n")
    monkeypatch.setattr("sterna.device.latency._PORTS", tmp_path)
    device = f"uart:{board.port}@{FASTEST}"
    _, out, _ = sterna("doctor", "--quick", "--device", device)
    told = f"latency timer   16 ms for short answers: echo 1 | sudo tee {timer}"
    assert (told in out) == (milliseconds == 16)
    facts = json.loads(sterna("doctor", "--quick", "--device", device, "--json")[1])
    assert facts.get("latency_timer_milliseconds") == (16 if milliseconds == 16 else None)


def test_verilog(sterna, tmp_path):
    """A file for other tools, of the configuration that was asked for."""
    config = tmp_path / "c.json"
    config.write_text(json.dumps(config_for(CONFIG).to_dict()))
    output = tmp_path / "chip.v"
    status, out, _ = sterna("verilog", "-o", output, "--config", config, "--json")
    assert status == 0
    text = output.read_text()
    assert json.loads(out) == {
        "output": str(output),
        "configuration": config_for(CONFIG).digest,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert "module sterna(" in text
    assert "input rx" in text
    config.write_text("{}")
    refused(sterna("verilog", "-o", tmp_path / "x.v", "--config", config), 2, "missing or unknown")
    config.write_text("no")
    refused(sterna("verilog", "-o", tmp_path / "x.v", "--config", config), 2, "is not JSON")
    assert not (tmp_path / "x.v").exists()
