"""The models that the project ships: they load, and are what their cards say."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from models.card import PART, TEXT, continuations
from sterna.device.golden import GoldenDevice
from sterna.evaluate import evaluate
from sterna.model import container
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model
from sterna.model.layout import fit
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer
from sterna.plan.memories import memories
from sterna.spec.chip import ICEBREAKER, REFERENCE
from sterna_rtl.family.ice40 import SPRAM_BITS, SPRAM_WORDS

MODELS = Path(__file__).parents[2] / "models"
BITS_PER_CHARACTER = {"tern-ecp5": 1.65, "tern-up5k": 1.87, "tern-sdram": 1.42}
"""On the characters with which models are compared; the last still misses its goal of 1.35."""


def shipped(name: str) -> Model:
    return container.load(MODELS / name / f"{name}.sterna")


@pytest.mark.parametrize(
    "name", ["tern-ecp5", "tern-up5k", pytest.param("tern-sdram", marks=pytest.mark.slow)]
)
def test_bits_per_character(name: str) -> None:
    model = shipped(name)
    text = TEXT.read_text()[PART]
    tokenizer = Tokenizer.of(model)
    assert tokenizer is not None
    reference = Float64Model.from_model(model)
    ids = tokenizer.encode(text)
    quality = evaluate(GoldenDevice(model), [ids], len(text), model, reference)
    print(quality)
    assert quality.bits_per_character <= BITS_PER_CHARACTER[name]
    assert quality.perplexity_ratio == pytest.approx(1, abs=0.005)
    assert quality.saturations == 0


@pytest.mark.parametrize("name", ["tern-ecp5", "tern-up5k"])
def test_file_is_that_of_its_checkpoint(name: str) -> None:
    """The trits of float32 and the float64 reference, so that either may be taken."""
    model, checkpoint = shipped(name), Checkpoint(MODELS / name)
    assert model.meta["source_sha256"] == checkpoint.sha256
    ids = np.arange(100)
    expected = Float64Model.from_checkpoint(checkpoint).run(ids)
    np.testing.assert_array_equal(Float64Model.from_model(model).run(ids), expected)


@pytest.mark.parametrize("name", ["tern-ecp5", "tern-up5k"])
def test_continuations_are_those_of_the_card(name: str) -> None:
    card = (MODELS / name / "README.md").read_text()
    found = next(continuations(shipped(name), "Once upon a time"))
    assert found.splitlines()[0] in card


def test_reference_is_the_chip_of_the_shipped_model() -> None:
    """It has no memory that the model does not need, but for the rest of a block RAM."""
    lanes = {name: getattr(REFERENCE, name) for name in ("rows", "columns", "elements", "packing")}
    needed = fit(shipped("tern-ecp5"), **lanes)
    for field in fields(REFERENCE):
        assert getattr(REFERENCE, field.name) >= getattr(needed, field.name)
    used, least = ([memory.block_rams for memory in memories(c)] for c in (REFERENCE, needed))
    assert sum(used) == sum(least) <= 208


def test_icebreaker_holds_its_model() -> None:
    """The tape lies in three of the four large RAMs, the embedding in the fourth."""
    lanes = {name: getattr(ICEBREAKER, name) for name in ("rows", "columns", "elements", "packing")}
    needed = fit(shipped("tern-up5k"), **lanes)
    assert replace(ICEBREAKER, tape_words=needed.tape_words) == needed
    assert needed.tape_words <= ICEBREAKER.tape_words == SPRAM_WORDS
    assert ICEBREAKER.word_bits == 3 * SPRAM_BITS
    assert ICEBREAKER.embedding_words * ICEBREAKER.embedding_bits <= SPRAM_WORDS * SPRAM_BITS


def test_cards_name_their_command() -> None:
    for name in BITS_PER_CHARACTER:
        command = f"python -m models.card models/{name}/{name}.sterna"
        assert command in (MODELS / name / "README.md").read_text()
    config = json.loads((MODELS / "tern-ecp5" / "config.json").read_text())
    assert config["vocab_size"] == shipped("tern-ecp5").shape.vocab
