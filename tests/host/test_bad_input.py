"""Whatever is wrong with what the command gets: one sentence, exit status 2, nothing written."""

import json
import os
import random
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sterna.device.device import Sampling
from sterna.errors import InputError
from sterna.model import container
from tests.synthetic import write_checkpoint


@pytest.mark.parametrize("command", ["info", "generate", "logits", "eval"])
def test_model_files(sterna, command, numbers, tmp_path):
    rest = {
        "info": [],
        "generate": ["--tokens", "5"],
        "logits": ["--tokens", "5", "-o", tmp_path / "logits.npy"],
        "eval": ["--text", __file__],
    }[command]
    sterna(command, *rest, "--model", tmp_path / "missing").refused("missing", "No such file")
    sterna(command, *rest, "--model", tmp_path).refused("Is a directory")
    sterna(command, *rest, "--model", __file__).refused("not a complete safetensors file")
    sterna(command, *rest, "--model", numbers.checkpoint / "model.safetensors").refused(
        "not a Sterna model", "sterna convert"
    )
    sterna(command, *rest).usage_error("--model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", [0, 7, 9, 300, -1, "cut", "longer", "empty"])
def test_damaged_model(sterna, place, numbers, tmp_path):
    damaged, content = tmp_path / "damaged.sterna", bytearray(numbers.model.read_bytes())
    if place == "cut":
        del content[-100:]
    elif place == "longer":
        content += b"\0"
    elif place == "empty":
        content.clear()
    else:
        content[place] ^= 4
    damaged.write_bytes(content)
    sterna("info", "--model", damaged).refused(str(damaged))


@pytest.mark.parametrize(
    "tokens, words",
    [
        ("61", ["tokens must be 0 to 60, not 61"]),
        ("5,-1", ["not -1"]),
        ("99999999999999999999999", ["0 to 60"]),
        ("", ["at least one token"]),
        (" , ", ["at least one token"]),
        ("five", ["numbers separated by commas", "'five'"]),
        ("1.5", ["'1.5'"]),
    ],
)
def test_tokens(sterna, tokens, words, numbers, tmp_path):
    output = tmp_path / "logits.npy"
    for command in (["generate"], ["logits", "-o", output]):
        sterna(*command, "--model", numbers.model, f"--tokens={tokens}").refused(*words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("token", [-1, 260, 1 << 32, 1 << 80])
def test_tokens_that_no_tokenizer_knows(sterna, token, text):
    result = sterna("generate", "--model", text.model, f"--tokens={token}")
    result.refused(f"tokens must be 0 to 259, not {token}")


def test_prompts(sterna, text, numbers):
    sterna("generate", "--model", text.model).refused("prompt or --tokens")
    sterna("generate", "a", "--tokens", "5", "--model", text.model).refused("prompt or --tokens")
    sterna("generate", "a", "--model", numbers.model).refused("no tokenizer", "--tokens")
    sterna("generate", "a\udcff", "--model", text.model).refused("not UTF-8")


def test_empty_prompt_without_bos(sterna, text, tmp_path):
    """With BOS an empty prompt is one token; without, it is none."""
    assert sterna("generate", "", "--model", text.model, "-n", 2).status == 0
    model = container.load(text.model)
    tokenizer = model.tokenizer.replace('{"SpecialToken": {"id": "<s>", "type_id": 0}}, ', "")
    container.save(
        type(model)(
            **{**vars(model), "tokenizer": tokenizer, "meta": {**model.meta, "add_bos": False}}
        ),
        tmp_path / "m.sterna",
    )
    sterna("generate", "", "--model", tmp_path / "m.sterna").refused("at least one token")


@pytest.mark.parametrize(
    "temperature, words",
    [
        ("-1", ["must be 0 or more", "-1"]),
        ("nan", ["must be 0 or more", "nan"]),
        ("-inf", ["must be 0 or more"]),
        ("inf", ["must be at most", "inf"]),
        ("1e9", ["must be at most"]),
    ],
)
def test_temperature(sterna, temperature, words, text):
    sterna("generate", "a", "--model", text.model, f"--temperature={temperature}").refused(*words)


def test_numbers_out_of_range(sterna, text):
    generate = ("generate", "a", "--model", text.model)
    for count in ("0", "-5", "many"):
        sterna(*generate, "-n", count).usage_error("-n")
    sterna(*generate, "--temperature", "hot").usage_error("--temperature")
    sterna(*generate, "--seed", "1.5").usage_error("--seed")
    sterna(*generate, "--sed", "1").usage_error("--sed")
    sterna("eval", "--model", text.model, "--text", __file__, "--limit", -1).usage_error("--limit")
    sterna("generat").usage_error("generat")


@pytest.mark.parametrize("command", ["generate", "logits", "eval"])
def test_device(sterna, command, text, tmp_path):
    rest = {
        "generate": ["--tokens", "5"],
        "logits": ["--tokens", "5", "-o", tmp_path / "logits.npy"],
        "eval": ["--text", __file__, "--limit", "5"],
    }[command]
    result = sterna(command, *rest, "--model", text.model, "--device", "abacus")
    result.refused("device must be one of golden", "'abacus'")
    assert os.listdir(tmp_path) == []


def test_device_whose_package_is_missing(sterna, text, monkeypatch):
    monkeypatch.setitem(sys.modules, "sterna_sim.device", None)
    result = sterna("generate", "a", "--model", text.model, "--device", "sim")
    result.refused("'sim' cannot be loaded", "pip install sterna[sim]")


@pytest.mark.parametrize("command", ["convert", "logits"])
def test_outputs(sterna, command, numbers, tmp_path):
    rest = {
        "convert": [numbers.checkpoint],
        "logits": ["--model", numbers.model, "--tokens", "5"],
    }[command]
    (tmp_path / "file").touch()
    for output, words in (
        (tmp_path / "none" / "x", ["there is no directory"]),
        (tmp_path / "file" / "x", ["there is no directory"]),
        (tmp_path, ["not a file"]),
        ("/dev/full", ["not a file"]),
        # A directory in which nobody, root included, can make a file.
        ("/proc/x", ["No such file"]),
    ):
        sterna(command, *rest, "-o", output).refused(f"cannot write {output}", *words)
    sterna(command, *rest).usage_error("--output")
    assert os.listdir(tmp_path) == ["file"]


def test_checkpoints(sterna, numbers, text, tmp_path):
    output = tmp_path / "m.sterna"
    empty = tmp_path / "empty"
    empty.mkdir()
    sterna("convert", tmp_path / "none", "-o", output).refused("not a directory")
    sterna("convert", numbers.model, "-o", output).refused("not a directory")
    sterna("convert", empty, "-o", output).refused("no config.json")
    prose = tmp_path / "prose"
    prose.write_text("")
    calibrated = ("-o", output, "--calibrate")
    sterna("convert", text.checkpoint, *calibrated, tmp_path / "none").refused("cannot read")
    sterna("convert", text.checkpoint, *calibrated, tmp_path).refused("cannot read")
    sterna("convert", text.checkpoint, *calibrated, text.model).refused("UTF-8")
    sterna("convert", numbers.checkpoint, *calibrated, prose).refused("no tokenizer.json")
    assert sorted(os.listdir(tmp_path)) == ["empty", "prose"]


def _without(tensors):
    del tensors["model.layers.0.attn.o_proj.weight"]


def _wrong_shape(tensors):
    tensors["model.layers.0.attn.o_proj.weight"] = np.zeros((24, 23), np.float32)


def _not_finite(tensors):
    tensors["model.layers.0.attn.o_proj.weight"][3, 5] = np.nan


@pytest.mark.parametrize(
    "damage, words",
    [
        ("cut", ["model.safetensors", "download it again"]),
        ("header", ["model.safetensors", "download it again"]),
        ("no weights", ["neither model.safetensors nor"]),
        ("config.json", ["config.json", "not JSON"]),
        ("tokenizer.json", ["tokenizer.json", "not JSON"]),
        ({"model_type": "llama"}, ["config.json", "llama"]),
        ({"attn_mode": "chunk"}, ["config.json", "attn_mode", "chunk"]),
        ({"use_short_conv": True}, ["config.json", "use_short_conv"]),
        ({"hidden_size": "many"}, ["config.json", "hidden_size", "many"]),
        (_without, ["lacks the tensor", "o_proj.weight", "download"]),
        (_wrong_shape, ["o_proj.weight", "[24, 23]", "[24, 24]", "the same checkpoint"]),
        (_not_finite, ["o_proj.weight", "NaN", "download it again"]),
    ],
)
def test_damaged_checkpoint(sterna, damage, words, tmp_path):
    """One sentence, no file, and a whole checkpoint in the same place is taken."""
    whole = {"vocab": 260, "layers": 1, "tokenizer": True}
    checkpoint = write_checkpoint(tmp_path / "checkpoint", **whole)
    weights, output = checkpoint / "model.safetensors", tmp_path / "m.sterna"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif damage == "header":
        content = bytearray(weights.read_bytes())
        content[20] ^= 0x80
        weights.write_bytes(content)
    elif damage == "no weights":
        weights.unlink()
    elif isinstance(damage, str):
        (checkpoint / damage).write_text("{")
    elif isinstance(damage, dict):
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps({**config, **damage}))
    else:
        tensors = {name: values.copy() for name, values in load_file(weights).items()}
        damage(tensors)
        save_file(tensors, weights)
    sterna("convert", checkpoint, "-o", output).refused(*words)
    assert os.listdir(tmp_path) == ["checkpoint"]
    write_checkpoint(checkpoint, **whole)
    assert sterna("convert", checkpoint, "-o", output).status == 0


def damaged(content, rng):
    """One to four bytes that are changed, made up or missing."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        content[place : place + rng.randrange(2)] = rng.randbytes(rng.randrange(3))
    return bytes(content)


@pytest.mark.parametrize("kind", ["state", "recording", "config.json", "model.safetensors"])
def test_any_damage_is_told(sterna, kind, numbers, tmp_path):
    """Whatever bytes are wrong: it works or is refused in one sentence, never a traceback."""
    rng = random.Random(kind)
    checkpoint, path = tmp_path / "checkpoint", tmp_path / kind
    model = ("--model", numbers.model)
    if kind in ("state", "recording"):
        option = {"state": "--save-state", "recording": "--record"}[kind]
        ask = ("generate", *model, "-n", 3)
        assert sterna(*ask, "--tokens", "5", option, path).status == 0
        again = {
            "state": (*ask, "--load-state", path),
            "recording": (*ask, "--tokens", "5", "--device", f"replay:{path}"),
        }[kind]
    else:
        shutil.copytree(numbers.checkpoint, checkpoint)
        path = checkpoint / kind
        again = ("convert", checkpoint, "-o", tmp_path / "m.sterna")
    content = path.read_bytes()
    # Weights that are a little wrong are weights too: only the head of their file is damaged.
    head = 8 + int.from_bytes(content[:8], "little") if kind == "model.safetensors" else None
    statuses = set()
    for _ in range(100):
        path.write_bytes(damaged(content[:head], rng) + (content[head:] if head else b""))
        result = sterna(*again)
        statuses.add(result.status)
        assert result.status in (0, 2, 3)
        if result.status:
            assert result.err.startswith("sterna: ")
            assert result.err.count("\n") == 1
    assert 2 in statuses
    path.write_bytes(content)
    assert sterna(*again).status == 0


def test_texts(sterna, text, numbers, tmp_path):
    prose = tmp_path / "prose"
    prose.write_text("Terns")
    model = ("eval", "--model", text.model, "--text")
    sterna(*model, tmp_path / "none").refused("cannot read")
    sterna(*model, text.model).refused("UTF-8")
    sterna(*model, prose, "--limit", 1).refused("at least 2")
    sterna(*model, prose, "--reference", tmp_path).refused("no config.json")
    sterna(*model, prose, "--no-reference", "--half").refused("need the reference")
    sterna(*model, prose, "--picture", tmp_path).refused("not a file")
    for part in ("2", "3:2", "0:6", "a:b", "-1:3"):
        sterna(*model, prose, "--characters", part).refused("FIRST:END", "up to 5")
    sterna(*model, prose, "--reference", numbers.checkpoint).refused("vocab=61", "vocab=260")
    sterna("eval", "--model", numbers.model, "--text", prose).refused("no tokenizer")


def test_sampling_is_checked_without_the_command(numbers):
    model = container.load(numbers.model)
    for temperature in (-1.0, float("nan"), float("inf"), 1e30):
        with pytest.raises(InputError, match="temperature must be"):
            Sampling(temperature).chip_temperature(model)
    assert Sampling(0.0).chip_temperature(model) == 0
    assert Sampling(1e-30).chip_temperature(model) == 1
