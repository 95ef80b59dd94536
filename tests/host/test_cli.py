"""The command on the golden model: what it prints and writes."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from sterna.device.golden import GoldenDevice
from sterna.evaluate import evaluate
from sterna.golden.step import Golden
from sterna.model import container
from sterna.model.checkpoint import Checkpoint
from sterna.model.convert import convert
from sterna.model.float64 import Float64Model
from sterna.model.tokenizer import Tokenizer
from tests.host.terminal import LISTEN

LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"


def start(*arguments, first="", **options):
    """Start the command as a process, after some other Python."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{first}\nfrom sterna.cli import main; main()"]
        + [str(argument) for argument in arguments],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_convert(sterna, text, tmp_path):
    """The command writes what the function makes; the same bytes each time."""
    result = sterna("convert", text.checkpoint, "-o", tmp_path / "again.sterna")
    assert (result.status, result.out) == (0, "")
    assert "ternary weights" in result.err
    assert "in all" in result.err
    assert "within a hundredth of the ternary threshold" in result.err
    assert (tmp_path / "again.sterna").read_bytes() == text.model.read_bytes()
    container.save(convert(text.checkpoint), tmp_path / "function.sterna")
    assert (tmp_path / "function.sterna").read_bytes() == text.model.read_bytes()


def test_convert_calibrated(sterna, text, tmp_path):
    prose = tmp_path / "prose.txt"
    prose.write_text("Terns are seabirds of the family Laridae. " * 5)
    output = tmp_path / "m.sterna"
    assert sterna("convert", text.checkpoint, "-o", output, "--calibrate", prose).status == 0
    meta = container.load(output).meta
    assert (meta["calibration"], meta["calibration_tokens"]) == ("prose.txt", 211)
    limited = ("-o", output, "--calibrate", prose, "--limit", 9)
    assert sterna("convert", text.checkpoint, *limited).status == 0
    assert container.load(output).meta["calibration_tokens"] == 9


def test_json(sterna, text, tmp_path):
    """Of the commands whose result is a file; `info`, `eval` and `generate` have tests below."""
    output = tmp_path / "output"
    facts = json.loads(sterna("convert", text.checkpoint, "-o", output, "--json").out)
    assert facts["output"] == str(output)
    assert facts["bytes"] == output.stat().st_size
    assert facts["ternary_weights"] == container.load(output).shape.ternary_weights
    assert facts["seconds"].keys() >= {"calibrating", "folding", "writing"}
    model = ("--model", text.model)
    result = sterna("logits", *model, "--tokens", "5,9", "-o", output, "--json")
    assert json.loads(result.out) == {
        "output": str(output), "dtype": "float32", "shape": [2, 260],
    }  # fmt: skip
    facts = json.loads(sterna("generate", "A", *model, "-n", 4, "--json").out)
    assert (facts["tokens"], len(facts["tokens_drawn"])) == (5, 4)
    assert facts["device"] == "golden model"
    assert facts["saturations"] == 0
    assert facts["lane_use"] is None


@pytest.mark.parametrize("fixture", ["text", "numbers"])
def test_info(sterna, fixture, request):
    files = request.getfixturevalue(fixture)
    model = container.load(files.model)
    facts = json.loads(sterna("info", "--model", files.model, "--json").out)
    assert facts["tokenizer"] == (fixture == "text")
    assert facts["ternary_weights"] == model.shape.ternary_weights
    assert facts["zero_fraction"].keys() == model.trits.keys()
    assert facts["near_threshold"] == model.meta["near_threshold"]
    words = sterna("info", "--model", files.model).out
    assert "near the threshold in lm_head" in words
    assert f"hidden                 {model.shape.hidden}\n" in words


def test_logits(sterna, numbers, tmp_path):
    """The file holds the golden model's logits, bit for bit."""
    output = tmp_path / "logits.npy"
    result = sterna("logits", "--model", numbers.model, "--tokens", "5, 9,12", "-o", output)
    assert (result.status, result.out) == (0, f"{output}: float32 [3, 61]\n")
    model = container.load(numbers.model)
    expected = Golden(model).run(np.array([5, 9, 12])) * 2.0 ** -model.steps[-1].fraction
    found = np.load(output)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert os.listdir(tmp_path) == ["logits.npy"]


def drawn(sterna, files, *options):
    result = sterna("generate", "--model", files.model, "--tokens", "5,9", "-n", 20, *options)
    assert (result.status, result.err) == (0, "")
    return [int(token) for token in result.out.split()]


def test_generate_tokens(sterna, numbers):
    """The same seed gives the same tokens, another one others."""
    tokens = drawn(sterna, numbers, "--temperature", 2, "--seed", 1)
    assert 1 <= len(tokens) <= 20
    assert all(0 <= token < 61 for token in tokens)
    assert tokens == drawn(sterna, numbers, "--temperature", 2, "--seed", 1)
    for seed in (0, 2, -1, 1 << 64 | 5):
        assert tokens != drawn(sterna, numbers, "--temperature", 2, "--seed", seed)


def test_generate_argmax(sterna, numbers):
    """At temperature 0 each token is the golden model's largest logit, whatever the seed."""
    golden = Golden(container.load(numbers.model))
    logits, expected = golden.run(np.array([5, 9]))[-1], []
    while len(expected) < 20 and expected[-1:] != [2]:
        expected.append(int(logits.argmax()))
        logits = golden.run(np.array(expected[-1:]))[-1]
    for seed in (0, 1):
        assert drawn(sterna, numbers, "--temperature", 0, "--seed", seed) == expected


def test_generate_text(sterna, text):
    result = sterna("generate", "The tern", "--model", text.model, "-n", 10)
    assert result.status == 0
    assert result.out.startswith("The tern")
    tokens = sterna("generate", "--tokens", "5,9", "--model", text.model, "-n", 10)
    assert tokens.status == 0


def test_eval(sterna, text, tmp_path):
    prose = tmp_path / "prose.txt"
    prose.write_text("Terns are seabirds.")
    svg = tmp_path / "ranges.svg"
    options = ("--model", text.model, "--text", prose, "--reference", text.checkpoint)
    options = (*options, "--half", "--picture", svg)
    found = json.loads(sterna("eval", *options, "--json").out)
    model = container.load(text.model)
    tokens = Tokenizer.of(model).encode(prose.read_text())
    reference = Float64Model.from_checkpoint(Checkpoint(text.checkpoint))
    quality = evaluate(GoldenDevice(model), [tokens], 19, model, reference)
    assert found["tokens"] == quality.tokens == 20
    assert found["characters"] == 19
    bits = 19 * math.log2(quality.perplexity) / 19
    assert found["bits_per_character"] == pytest.approx(bits)
    assert found["perplexity"] == pytest.approx(quality.perplexity)
    assert found["kl"] == pytest.approx(quality.kl)
    assert 0 <= found["top1"] <= 1
    assert 0 < found["half_kl"] < 0.1
    assert found["saturations"] == 0
    assert len(found["ranges"]) == 11
    assert all(0 < row["share_of_format"] < 1 for row in found["ranges"].values())
    assert svg.read_text().count("<polyline") == 10
    words = sterna("eval", *options, "--limit", 5).out
    assert "tokens                       5\ncharacters                   4\n" in words


def test_eval_of_documents(sterna, text, tmp_path):
    """Each begins with an empty state: figures do not depend on what stands before."""
    prose, twice = tmp_path / "prose.txt", tmp_path / "twice.txt"
    prose.write_text("A tern.")
    twice.write_text("Bees.<|endoftext|>A tern.<|endoftext|>\n<|endoftext|>A tern.")
    model = ("--model", text.model, "--json")
    once = json.loads(sterna("eval", *model, "--text", prose).out)
    both = json.loads(sterna("eval", *model, "--text", twice, "--characters", "18:59").out)
    assert both["tokens"] == 2 * once["tokens"] == 16
    assert both["characters"] == 2 * once["characters"] == 14
    for name in ("perplexity", "bits_per_character", "kl", "top1"):
        assert both[name] == pytest.approx(once[name])
    alone = json.loads(sterna("eval", *model, "--text", prose, "--no-reference").out)
    # Without a reference the log-probabilities are the chip's, of a few bits less.
    assert alone["perplexity"] == pytest.approx(once["perplexity"], rel=1e-3)
    assert alone["kl"] is None
    assert alone["ranges"] == {}


def test_interrupt(numbers):
    """Ctrl-C while tokens are drawn: status 130 and no traceback."""
    options = ("--tokens", "5", "-n", 1_000_000, "--temperature", 5)
    process = start("generate", "--model", numbers.model, *options, first=LISTEN)
    try:
        assert process.stdout.read(8)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_reader_that_stops(numbers):
    """As with `| head`: status 1, no word."""
    options = ("--tokens", "5", "-n", 1_000_000, "--temperature", 5)
    process = start("generate", "--model", numbers.model, *options)
    try:
        process.stdout.read(8)
        process.stdout.close()
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stderr.close()


def test_full_disk_under_stdout(numbers):
    with open("/dev/full", "w") as full:
        process = start("info", "--model", numbers.model, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == "sterna: cannot write the output: No space left on device\n"


def test_narrow_terminal(text):
    """What a terminal cannot show is escaped."""
    options = ("generate", "Köln", "--model", text.model, "-n", "3")
    process = start(*options, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("K\\xf6ln")


@pytest.mark.parametrize("command", ["convert", "logits", "--save-state", "--record", "--picture"])
def test_full_disk(command, text, tmp_path):
    """Files end at 100 bytes: a sentence, the old file stays, and with room it goes."""
    output, prose = tmp_path / "output", tmp_path / "prose"
    prose.write_text("Terns are seabirds.")
    output.write_text("old")
    model = ("--model", text.model)
    arguments = {
        "convert": ["convert", text.checkpoint, "-o"],
        "logits": ["logits", *model, "--tokens", "5,9", "-o"],
        "--save-state": ["generate", *model, "A", "-n", "3", "--save-state"],
        "--record": ["generate", *model, "A", "-n", "3", "--record"],
        "--picture": ["eval", *model, "--text", prose, "--picture"],
    }[command]
    # Lines that are counted are written too, and would not fit either.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    process = start(*arguments, output, first=LIMIT, env=plain)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == f"sterna: cannot write {output}: File too large\n"
    assert output.read_text() == "old"
    process = start(*arguments, output)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.stat().st_size > 100
    assert sorted(os.listdir(tmp_path)) == ["output", "prose"]
