"""The float64 reference: equal to the recorded one, and to a plain rendering of the equations."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sterna.errors import InputError
from sterna.model.calibrate import calibrate
from sterna.model.checkpoint import Checkpoint
from sterna.model.float64 import Float64Model
from sterna.model.fold import fold
from tests.synthetic import write_checkpoint

FIXTURE_A = Path(__file__).parents[1] / "fixtures" / "A"

VARIANTS = {
    "plain": {},
    "wide state": {"expand_ratio": 2, "use_lower_bound": False},
    "narrow state": {"expand_ratio": 0.5, "use_lower_bound": False},
    "no lower bound": {"use_lower_bound": False},
    "tied": {"tied": True},
    "large eps": {"eps": 1e-3},
    "no eps": {"eps": 0.0},
    "one layer": {"layers": 1},
    "odd": {
        "vocab": 61, "hidden": 23, "intermediate": 37, "layers": 3, "expand_ratio": 2,
        "use_lower_bound": False, "tied": True, "eps": 1e-3,
    },
}  # fmt: skip


def plain_forward(directory: Path, ids: np.ndarray) -> np.ndarray:
    """The equations as they are written, token by token, dequantised weights, no sharing."""
    config = json.loads((directory / "config.json").read_text())
    weights = {
        name: values.astype(np.float64)
        for name, values in safetensors.numpy.load_file(directory / "model.safetensors").items()
    }
    if config["tie_word_embeddings"]:
        weights["lm_head.weight"] = weights["model.embeddings.weight"]
    layers, eps = config["num_hidden_layers"], config["rms_norm_eps"]

    def rms(x: np.ndarray, name: str, eps: float = eps) -> np.ndarray:
        return x / np.sqrt((x**2).sum() / len(x) + eps) * weights[f"{name}.weight"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        y = rms(x, f"{name}.norm", 1e-6)
        s = 127 / max(abs(y).max(), 1e-5)
        q = np.array([np.sign(v) * int(abs(v) + 0.5) for v in y * s])
        weight = weights[f"{name}.weight"]
        mean = max(abs(weight).mean(), 1e-5)
        return (np.sign(weight) * (abs(weight) > mean / 2) * mean) @ (q / s)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    bounds = [0.0] * layers
    if config["use_lower_bound"]:
        powers = np.exp(weights["model.lower_bounds"])
        shares = powers / powers.sum(axis=0)
        bounds = [shares[1 : layer + 1].sum(axis=0) for layer in range(layers)]
    state: list = [0.0] * layers
    logits = []
    for token in ids:
        x = weights["model.embeddings.weight"][token]
        for layer in range(layers):
            name = f"model.layers.{layer}"
            a = rms(x, f"{name}.attn_norm")
            f = sigmoid(linear(a, f"{name}.attn.f_proj"))
            f = bounds[layer] + (1 - bounds[layer]) * f
            i = linear(a, f"{name}.attn.i_proj")
            h = state[layer] = f * state[layer] + i * sigmoid(i) * (1 - f)
            g = rms(linear(a, f"{name}.attn.g_proj"), f"{name}.attn.g_norm")
            x = x + linear(g * h * sigmoid(h), f"{name}.attn.o_proj")
            uv = linear(rms(x, f"{name}.mlp_norm"), f"{name}.mlp.gate_proj")
            u, v = uv[: len(uv) // 2], uv[len(uv) // 2 :]
            x = x + linear(u * sigmoid(u) * v, f"{name}.mlp.down_proj")
        logits.append(linear(rms(x, "model.norm"), "lm_head"))
    return np.array(logits)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(FIXTURE_A / "expected.safetensors")


@pytest.fixture
def model() -> Float64Model:
    return Float64Model.from_checkpoint(Checkpoint(FIXTURE_A))


def test_full_sequence_equals_the_recorded_reference(
    model: Float64Model, expected: dict[str, np.ndarray]
) -> None:
    logits = model.run(expected["ids"])
    np.testing.assert_allclose(logits, expected["logits_full_f64"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.state, expected["state_f64"], rtol=0, atol=1e-9)


def test_steps_equal_the_recorded_reference(
    model: Float64Model, expected: dict[str, np.ndarray]
) -> None:
    logits = np.array([model.step(token) for token in expected["ids"]])
    np.testing.assert_allclose(logits, expected["logits_step_f64"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.state, expected["state_f64"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_variants_equal_the_plain_equations(tmp_path: Path, options: dict) -> None:
    write_checkpoint(tmp_path, seed=5, **options)
    ids = np.random.default_rng(6).integers(61, size=12)
    logits = Float64Model.from_checkpoint(Checkpoint(tmp_path)).run(ids)
    np.testing.assert_allclose(logits, plain_forward(tmp_path, ids), rtol=0, atol=1e-9)


def test_variants_differ(tmp_path: Path) -> None:
    """The variants above are worth testing: each changes the logits."""
    ids = np.arange(12)
    seen = []
    for number, name in enumerate(["plain", "no lower bound", "tied", "large eps"]):
        directory = write_checkpoint(tmp_path / str(number), seed=5, **VARIANTS[name])
        seen.append(Float64Model.from_checkpoint(Checkpoint(directory)).run(ids))
    for number, logits in enumerate(seen):
        assert all(np.abs(logits - other).max() > 1e-9 for other in seen[:number])


def test_shards_compute_the_same(tmp_path: Path) -> None:
    single = Checkpoint(write_checkpoint(tmp_path / "single", dtype="BF16"))
    sharded = Checkpoint(write_checkpoint(tmp_path / "sharded", dtype="BF16", shards=3))
    ids = np.arange(20)
    np.testing.assert_array_equal(
        Float64Model.from_checkpoint(single).run(ids),
        Float64Model.from_checkpoint(sharded).run(ids),
    )


def test_state_carries_from_chunk_to_chunk_and_call_to_call(
    monkeypatch: pytest.MonkeyPatch, model: Float64Model
) -> None:
    ids = np.random.default_rng(2).integers(97, size=50)
    whole = model.run(ids)
    state = model.state.copy()
    model.reset()
    monkeypatch.setattr("sterna.model.float64.CHUNK", 7)
    pieces = np.concatenate([model.run(ids[:20]), model.run(ids[20:20]), model.run(ids[20:])])
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.state, state, rtol=0, atol=1e-12)


def test_state_can_be_replaced(model: Float64Model) -> None:
    model.run([3, 4, 5])
    saved = model.state.copy()
    logits = model.step(6)
    model.run([7, 8])
    model.state = saved
    np.testing.assert_array_equal(model.step(6), logits)


@pytest.mark.parametrize("ids", [[97], [-1], [0, 5, 1000]])
def test_tokens_outside_the_vocabulary_are_refused(model: Float64Model, ids: list[int]) -> None:
    with pytest.raises(InputError, match="the model has 97 tokens, counted from 0"):
        model.run(ids)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_integer_model_holds_what_the_reference_needs(tmp_path: Path, options: dict) -> None:
    checkpoint = Checkpoint(write_checkpoint(tmp_path, seed=8, **options))
    model = fold(checkpoint, calibrate(checkpoint))
    model.meta["eps"] = checkpoint.config.eps
    ids = np.arange(20)
    coarse = Float64Model.from_model(model)  # int8 embedding
    table = checkpoint.tensor("model.embeddings.weight")
    assert np.abs(coarse.embedding - table).max() < np.abs(table).max() / 127
    model.floats["model.embeddings.weight"] = table
    np.testing.assert_array_equal(
        Float64Model.from_model(model).run(ids), Float64Model.from_checkpoint(checkpoint).run(ids)
    )


def test_model_without_floats_is_refused() -> None:
    checkpoint = Checkpoint(FIXTURE_A)
    model = fold(checkpoint, calibrate(checkpoint, [1, 2, 3]))
    with pytest.raises(InputError, match="holds no eps for a float reference"):
        Float64Model.from_model(model)
    model.meta["eps"] = 1e-6
    Float64Model.from_model(model)
    del model.floats["model.norm.weight"]
    with pytest.raises(InputError, match=r"holds no model\.norm\.weight for a float reference"):
        Float64Model.from_model(model)
