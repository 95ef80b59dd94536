"""The training code: a forward pass as specified, a tiny run, checkpoints that keep their trits."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is missing: pip install -e '.[train]'", allow_module_level=True)

import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from models.train.checkpoint import (
    is_matrix,
    load,
    publish,
    settle,
    settle_state,
    trits_of,
)
from models.train.config import Config, DataConfig, ModelConfig, Source, TrainConfig
from models.train.data import BOS, EOS, Corpus, read_texts, select, train_tokenizer
from models.train.evaluate import bits_per_character, ranges, samples
from models.train.model import HGRNBit
from models.train.train import Trainer

FIXTURE = Path(__file__).parents[1] / "fixtures" / "A"
SMALL = ModelConfig(80, 64, 3, 128, embedding_bits=4)


# ------------------------------------------------------------------ the model as specified
def spec_rms(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x * (1 / np.sqrt((x**2).sum() / x.size + eps)) * weight


def spec_linear(x: np.ndarray, state: dict[str, np.ndarray], name: str) -> np.ndarray:
    weight = state[f"{name}.weight"]
    y = spec_rms(x, state[f"{name}.norm.weight"], 1e-6)
    s = 127 / max(np.abs(y).max(), 1e-5)
    q = np.clip(np.trunc(y * s + np.copysign(0.5, y)), -128, 127)
    b = max(np.abs(weight).mean(), 1e-5)
    trits = np.clip(np.rint(weight / b), -1, 1)
    return trits @ q * b / s


def spec_forward(state: dict[str, np.ndarray], tokens: np.ndarray, eps: float) -> np.ndarray:
    """Logits of every position in float64, token by token; the state starts anew at <s>."""
    state = {name: np.asarray(x, np.float64) for name, x in state.items()}
    bounds = np.exp(state["model.lower_bounds"])
    bounds /= bounds.sum(0)
    bounds = np.cumsum(bounds, 0) - bounds[0]
    layers, width = bounds.shape
    logits = []
    for token in tokens:
        if token == BOS or not logits:
            states = np.zeros((layers, width))
        x = state["model.embeddings.weight"][token]
        for n in range(layers):
            at = f"model.layers.{n}"
            a = spec_rms(x, state[f"{at}.attn_norm.weight"], eps)
            f = 1 / (1 + np.exp(-spec_linear(a, state, f"{at}.attn.f_proj")))
            f = bounds[n] + (1 - bounds[n]) * f
            i = spec_linear(a, state, f"{at}.attn.i_proj")
            states[n] = f * states[n] + i / (1 + np.exp(-i)) * (1 - f)
            g = spec_linear(a, state, f"{at}.attn.g_proj")
            g = spec_rms(g, state[f"{at}.attn.g_norm.weight"], eps)
            h = states[n] / (1 + np.exp(-states[n]))
            x = x + spec_linear(g * h, state, f"{at}.attn.o_proj")
            b = spec_rms(x, state[f"{at}.mlp_norm.weight"], eps)
            u, v = np.split(spec_linear(b, state, f"{at}.mlp.gate_proj"), 2)
            x = x + spec_linear(u / (1 + np.exp(-u)) * v, state, f"{at}.mlp.down_proj")
        x = spec_rms(x, state["model.norm.weight"], eps)
        logits.append(spec_linear(x, state, "lm_head"))
    return np.stack(logits)


def random_model(config: ModelConfig = SMALL, seed: int = 0) -> HGRNBit:
    """A model whose vectors are not all ones."""
    torch.manual_seed(seed)
    model = HGRNBit(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or "lower" in name:
                p.add_(torch.randn_like(p) * 0.3)
    return model.double().eval()


def test_forward_equals_the_specification() -> None:
    model = random_model()
    tokens = np.random.default_rng(1).integers(3, 80, 40)
    tokens[[0, 23]] = BOS  # two documents
    state = {name: x.numpy() for name, x in model.state_dict().items()}
    state["model.embeddings.weight"] = model.embedding().detach().numpy()
    expected = spec_forward(state, tokens, SMALL.rms_norm_eps)
    with torch.no_grad():
        found = model(torch.tensor(tokens)[None])[0].numpy()
        assert np.abs(found - expected).max() < 1e-9
        close = model.float()(torch.tensor(tokens)[None])[0].numpy()
    # A float32 activation may round to another integer now and then; most positions agree.
    assert np.median(np.abs(close - expected).max(1)) < 1e-5


def test_forward_equals_the_reference_logits() -> None:
    if not FIXTURE.exists():
        pytest.skip("tests/fixtures/A is missing")
    shape = json.loads((FIXTURE / "config.json").read_text())
    expected = load_file(FIXTURE / "expected.safetensors")
    model = HGRNBit(ModelConfig(shape["vocab_size"], 64, 2, 256, shape["rms_norm_eps"])).double()
    state = load_file(FIXTURE / "model.safetensors")
    model.load_state_dict({name: torch.tensor(x) for name, x in state.items()})
    ids = torch.tensor(expected["ids"])[None]
    with torch.no_grad():
        x, states = model.hidden(ids, model.start(1))
        logits = model.lm_head(x)[0]
    assert np.abs(logits.numpy() - expected["logits_full_f64"]).max() < 1e-9
    assert np.abs(torch.cat(states).numpy() - expected["state_f64"]).max() < 1e-9


def test_states_carry_a_text_on() -> None:
    model, tokens = random_model(), torch.randint(3, 80, (2, 30))
    with torch.no_grad():
        whole, after = model.hidden(tokens, model.start(2))
        first, states = model.hidden(tokens[:, :11], model.start(2))
        second, states = model.hidden(tokens[:, 11:], states)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(states, after)


def test_rounded_numbers_pass_their_gradients() -> None:
    model = random_model().train()
    model(torch.randint(3, 80, (1, 20))).square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


# ------------------------------------------------------------------ checkpoints
def test_rounding_to_bfloat16_keeps_trits_and_magnitude() -> None:
    """Also where a fifth of the weights lies within rounding of the threshold."""
    torch.manual_seed(0)
    weight = torch.randn(64, 192)
    near = torch.rand(64, 192) < 0.2
    threshold = weight.abs().mean() / 2 * (1 + 1e-3 * torch.randn(64, 192))
    weight = torch.where(near, torch.copysign(threshold, weight), weight)
    trits, magnitude = trits_of(weight)
    assert not torch.equal(trits_of(weight.bfloat16())[0], trits)
    kept, size = trits_of(settle(weight))
    assert torch.equal(kept, trits)
    assert abs(size / magnitude - 1) < 1e-3


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with two text files and its manifest."""
    rng = np.random.default_rng(0)
    words = ["the tern", "a gull", "flew", "sat", "over", "on", "the sea", "a rock", "and called"]

    def story() -> str:
        lines = (" ".join(rng.choice(words, 16)) + "." for _ in range(12))
        return "\n".join(lines)

    folder = tmp_path / "corpus"
    folder.mkdir()
    stories = [story() for _ in range(12)]
    # The excerpts hold a paragraph of the held-out story 3 and one of story 5.
    excerpts = [stories[3][:600], stories[5][:600]]
    files = {"stories.txt": stories, "excerpts.txt": excerpts}
    for name, texts in files.items():
        (folder / name).write_text("\n<|endoftext|>\n".join(texts))
    entries = [
        {"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        for name in files
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    return folder


DATA = DataConfig((Source("stories.txt", 1.5), Source("excerpts.txt")), ("stories.txt:3",))


def tokenizer_of(folder: Path) -> Tokenizer:
    return train_tokenizer((t for part in read_texts(folder).values() for t in part), 80)


def test_a_changed_text_is_refused(corpus: Path) -> None:
    manifest = corpus.parent / "manifest.json"
    assert len(read_texts(corpus, manifest)["stories.txt"]) == 12
    (corpus / "stories.txt").write_text("changed")
    with pytest.raises(ValueError, match="expected SHA-256"):
        read_texts(corpus, manifest)


def test_held_out_text_is_not_trained_on(corpus: Path) -> None:
    texts = read_texts(corpus)
    train, dev = select(texts, DATA)
    assert dev == [texts["stories.txt"][3]]
    assert [len(documents) for _, documents in train] == [11, 1]
    assert dev[0] not in train[0][1]


def test_windows_cover_the_corpus(corpus: Path) -> None:
    texts = read_texts(corpus)
    made = Corpus.build(texts, DATA, tokenizer_of(corpus))
    assert made.tokens[0] == BOS
    assert made.tokens[-1] == EOS
    starts = made.windows(16, np.random.default_rng(0))
    seen = np.bincount((starts[:, None] + np.arange(1, 17)).ravel(), minlength=len(made.tokens))
    (first, length, _), (second, rest, _) = made.spans
    assert abs(seen[first : first + length].mean() - 1.5) < 0.2
    assert seen[second + 16 : second + rest - 16].min() == 1


def test_tokenizer_reads_what_it_wrote(corpus: Path) -> None:
    tokenizer = tokenizer_of(corpus)
    text = "the tern sat on a rock.\nthe gull"
    ids = tokenizer.encode(text).ids
    assert ids[0] == BOS
    assert tokenizer.decode(ids) == text
    assert 0 in tokenizer.encode("\u96ea").ids


# ------------------------------------------------------------------ training
def config(seconds: float = 1.0) -> Config:
    train = TrainConfig(seconds, window=32, batch=4, warmup=5, dropout=0.1, eval_seconds=0.5)
    return Config("tiny", SMALL, DATA, train, ("the tern",))


def test_a_tiny_run_learns_goes_on_and_is_saved(corpus: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(corpus)
    made = Corpus.build(read_texts(corpus), DATA, tokenizer)
    cpu, lines = torch.device("cpu"), []
    first = Trainer(config(), made, cpu)
    before = first.evaluate()
    first.run(tmp_path / "run", lines.append)
    assert first.best < before
    assert lines
    second = Trainer(config(first.elapsed + 1), made, cpu)
    second.run(tmp_path / "run", lines.append)
    assert second.step > first.step
    assert second.best <= first.best

    second.model.load_state_dict(second.best_state)
    state = settle_state(second.model)
    publish(state, SMALL, tokenizer, tmp_path / "published")
    published, read = load(tmp_path / "published", torch.float64)
    for name, tensor in second.best_state.items():
        if is_matrix(name, tensor):
            assert torch.equal(trits_of(published.state_dict()[name])[0], trits_of(tensor)[0])

    text = read_texts(corpus)["stories.txt"][3]
    with ranges(published) as largest:
        bits = bits_per_character(published, read, text)
    assert 0 < bits < 3
    assert len(largest["residual"]) == SMALL.num_hidden_layers
    again = [samples(published, read, "the tern", tokens=5) for _ in range(2)]
    assert again[0] == again[1]
    assert all(sample.startswith("the tern") for sample in again[0])


def test_a_step_without_a_finite_gradient_is_left_out(corpus: Path) -> None:
    """An embedding row of zeros behind a state makes the gradient of the norms overflow."""
    tokenizer = tokenizer_of(corpus)
    made = Corpus.build(read_texts(corpus), DATA, tokenizer)
    trainer = Trainer(config(), made, torch.device("cpu"))
    trainer._set_rate(1.0)
    with torch.no_grad():
        trainer.model.model.embeddings.weight[int(made.tokens[5])] = 0
    before = {name: p.clone() for name, p in trainer.model.state_dict().items()}
    trainer._advance()
    assert trainer.skipped == 1
    for name, p in trainer.model.state_dict().items():
        assert torch.equal(p, before[name]) or "embeddings" in name, name


def test_configurations_of_the_shipped_models_are_read() -> None:
    folder = Path(__file__).parents[2] / "models" / "train"
    weights = {p.stem: Config.load(p).model.ternary_weights for p in folder.glob("*.toml")}
    assert weights["tern-ecp5"] == 1_413_120
    assert weights["tern-up5k"] == 384_000
    assert weights["tern-sdram"] == weights["tern-sdram-2"] == 29_360_128


def test_an_unknown_key_is_named() -> None:
    table = {"model": {"layers": 3}, "data": {"sources": [], "dev": []}, "train": {}}
    with pytest.raises(ValueError, match=r"model: unknown keys \['layers'\]"):
        Config.parse(table, "x.toml")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_kernel_equals_plain_pytorch() -> None:
    from models.train.scan import recurrence

    torch.manual_seed(0)
    shape = (2, 200, 64)
    i, f = torch.randn(shape).requires_grad_(), torch.randn(shape).requires_grad_()
    lower, start = torch.rand(64).requires_grad_(), torch.randn(2, 64)
    keep = (torch.rand(shape[:2]) > 0.1).float()
    scales = torch.rand(2, *shape[:2], 1) + 0.5
    found = []
    for device in ("cpu", "cuda"):
        x = [t.to(device) for t in (i, scales[0], f, scales[1], lower, keep, start)]
        h = recurrence(*x)
        grads = torch.autograd.grad(h.square().sum(), (i, f, lower))
        found.append([t.detach().cpu() for t in (h, *grads)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
