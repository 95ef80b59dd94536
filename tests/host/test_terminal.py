"""The command in a terminal: live figures, progress, lines that are typed, Ctrl-C."""

import contextlib
import os
import subprocess

import pytest

from sterna.device.device import Sampling
from sterna.device.golden import GoldenDevice
from sterna.device.state import load_state
from sterna.model import container
from sterna.model.tokenizer import Tokenizer
from tests.host.terminal import END, INTERRUPT, Terminal
from tests.synthetic import write_checkpoint

PLACES = 8
"""Tokens that are drawn after each line."""


def answers(files, lines, seed=4):
    """What the golden model says after each line, and its state at the end."""
    model = container.load(files.model)
    tokenizer, golden = Tokenizer.of(model), GoldenDevice(model)
    sampling = Sampling(0.7, seed, tuple(model.meta["eos"]))
    texts, drawn = [], []
    for line in lines:
        ids = [*drawn[-1:], *tokenizer.encode(line, begins=not drawn)]
        drawn = list(golden.generate(ids, PLACES, sampling))
        stream = tokenizer.stream(ids)
        texts.append("".join(map(stream.push, drawn)) + stream.finish())
    return texts, golden.state, drawn[-1]


def shown(text):
    """Text as a terminal gets it, without what moves the cursor."""
    return [part for part in text.replace("\r", "\n").split("\n") if part.isprintable()]


def test_interactive(text, tmp_path):
    """Lines that are typed are gone on from; the second and an empty one have no BOS."""
    lines = ["A tern", " is a bird", ""]
    expected, state, last = answers(text, lines)
    options = ("--interactive", "-n", PLACES, "--seed", 4, "--save-state", tmp_path / "state")
    with Terminal("generate", "--model", text.model, *options) as terminal:
        for line, answer in zip(lines, expected, strict=True):
            terminal.wait_for("> ")
            terminal.type(f"{line}\n")
            for part in shown(answer):
                terminal.wait_for(part)
            terminal.wait_for("tokens/s")
        terminal.wait_for("> ")
        terminal.type(END)
        assert terminal.wait() == 0
    saved, token = load_state(tmp_path / "state", container.load(text.model))
    assert (saved == state).all()
    assert token == last


def test_lines_from_a_pipe(sterna, text, monkeypatch, tmp_path):
    """Without a terminal there is no sign before each line; what is no text is refused."""
    expected, _, _ = answers(text, ["A tern", "is"])
    (tmp_path / "lines").write_text("A tern\nis\n")
    options = ("--model", text.model, "--interactive", "-n", PLACES, "--seed", 4)
    with open(tmp_path / "lines") as lines:
        monkeypatch.setattr("sys.stdin", lines)
        result = sterna("generate", *options)
    assert (result.status, result.err) == (0, "")
    assert result.out == "".join(f"{answer}\n" for answer in expected)
    (tmp_path / "lines").write_bytes(b"\xff\n")
    with open(tmp_path / "lines") as lines:
        monkeypatch.setattr("sys.stdin", lines)
        sterna("generate", *options).refused("the prompt is not UTF-8 text")


def test_nothing_typed(sterna, text, monkeypatch, tmp_path):
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        options = ("--interactive", "--save-state", tmp_path / "state")
        sterna("generate", "--model", text.model, *options).refused("nothing was generated")
    assert os.listdir(tmp_path) == []


def test_interrupted_while_waiting(text):
    with Terminal("generate", "--model", text.model, "--interactive") as terminal:
        terminal.wait_for("> ")
        # Python's input() overlooks a Ctrl-C between its prompt and its wait: press again.
        for _ in range(5):
            terminal.type(INTERRUPT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert terminal.wait(5) == 130
                break
        else:
            pytest.fail("Ctrl-C ends nothing")
        assert "Traceback" not in terminal.screen


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A checkpoint and a text with which everything takes many seconds."""
    folder = tmp_path_factory.mktemp("slow")
    checkpoint = write_checkpoint(
        folder / "checkpoint", vocab=260, hidden=384, intermediate=768, layers=4, tokenizer=True
    )
    (folder / "prose.txt").write_text("Terns are seabirds of the family Laridae. " * 500)
    return folder, checkpoint


@pytest.fixture(scope="module")
def slow_model(slow):
    folder, checkpoint = slow
    with Terminal("convert", checkpoint, "-o", folder / "m.sterna") as terminal:
        assert terminal.wait() == 0
    return folder / "m.sterna"


@pytest.mark.parametrize("command", ["convert", "generate", "logits", "eval", "record"])
def test_interrupted(command, slow, slow_model, sterna, tmp_path):
    """Ctrl-C in the middle: progress was shown, status 130, no traceback, and nothing is left."""
    folder, checkpoint = slow
    prose, model = folder / "prose.txt", ("--model", slow_model)
    many = ",".join("5" for _ in range(20_000))
    arguments, sign, good = {
        "convert": (
            ("convert", checkpoint, "--calibrate", prose, "-o", tmp_path / "m"),
            "calibrating",
            ("convert", checkpoint, "-o", tmp_path / "m"),
        ),
        "generate": (
            ("generate", "A", *model, "-n", 10**6, "--save-state", tmp_path / "s"),
            "tokens/s",
            ("generate", "A", *model, "-n", 2),
        ),
        "logits": (
            ("logits", "--tokens", many, "-o", tmp_path / "l", *model),
            "tokens",
            ("logits", "--tokens", "5", "-o", tmp_path / "l", *model),
        ),
        "eval": (
            ("eval", "--text", prose, "--limit", 0, *model, "--picture", tmp_path / "p"),
            "tokens",
            ("eval", "--text", prose, "--limit", 2, *model),
        ),
        "record": (
            ("generate", "A", *model, "-n", 10**6, "--record", tmp_path / "r"),
            "tokens/s",
            ("generate", "A", *model, "-n", 2, "--record", tmp_path / "r"),
        ),
    }[command]
    with Terminal(*arguments) as terminal:
        terminal.wait_for(sign)
        terminal.type(INTERRUPT)
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.screen
    assert os.listdir(tmp_path) == []
    assert sterna(*good).status == 0
