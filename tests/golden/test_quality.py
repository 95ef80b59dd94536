"""How far the golden model is from the float64 reference on real weights."""

from pathlib import Path

import numpy as np

from sterna.device.golden import GoldenDevice
from sterna.evaluate import evaluate
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model
from sterna.model.tokenizer import Tokenizer
from tests.chip.models import model_of

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "A"
TRAINED = ROOT / "models" / "tern-ecp5"
TEXT = ROOT / "models" / "text" / "books.txt"
TOKENS = 4096


def measure(name, checkpoint, tokens):
    model = model_of(name)
    reference = Float64Model.from_checkpoint(Checkpoint(checkpoint))
    return evaluate(GoldenDevice(model), [tokens], len(tokens), model, reference)


def test_fixture_a():
    """Random weights and tokens: near-ties everywhere."""
    tokens = np.random.default_rng(1).integers(0, 97, TOKENS)
    quality = measure("fixture-a", FIXTURE, tokens.tolist())
    print(quality)
    assert quality.kl <= 3e-3


def test_trained_model():
    """The trained model on the text that the project ships."""
    tokenizer = Tokenizer.of(model_of("tern-ecp5"))
    tokens = tokenizer.encode(TEXT.read_text())[:TOKENS]
    quality = measure("tern-ecp5", TRAINED, tokens)
    print(quality)
    assert quality.tokens == TOKENS
    assert quality.kl <= 1e-3
    assert abs(quality.perplexity_ratio - 1) <= 0.005
    assert quality.saturations == 0


def test_wrong_arithmetic_is_noticed():
    """The bound means something: one norm weight vector taken for another breaks it."""
    model = model_of("fixture-a")
    vectors = dict(model.vectors)
    vectors["layers.1.o_fold"] = model.vectors["layers.0.o_fold"][::-1].copy()
    broken = type(model)(**{**vars(model), "vectors": vectors})
    tokens = np.random.default_rng(1).integers(0, 97, 512)
    reference = Float64Model.from_checkpoint(Checkpoint(FIXTURE))
    quality = evaluate(GoldenDevice(broken), [tokens.tolist()], len(tokens), broken, reference)
    assert quality.kl > 3e-3
