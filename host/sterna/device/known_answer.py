"""A small random model that fits every chip, so that a chip can be asked something known."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sterna.model.convert import convert
from sterna.model.model import Model

__all__ = ["known_model"]

_VOCAB, _HIDDEN, _INTERMEDIATE = 11, 10, 13


def known_model() -> Model:
    """One layer of random weights from a fixed seed, through the whole import."""
    rng = np.random.default_rng(2024)

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return np.abs(random(size)) + 0.5

    layer = "model.layers.0"
    projections = {
        **{f"{layer}.attn.{name}_proj": (_HIDDEN, _HIDDEN) for name in "ifgo"},
        f"{layer}.mlp.gate_proj": (2 * _INTERMEDIATE, _HIDDEN),
        f"{layer}.mlp.down_proj": (_HIDDEN, _INTERMEDIATE),
        "lm_head": (_VOCAB, _HIDDEN),
    }
    grid = np.clip(np.rint(4 * random(_VOCAB, _HIDDEN)), -8, 7)  # some chips have 4 bits for it
    tensors = {"model.embeddings.weight": grid / 4}
    for name, shape in projections.items():
        tensors[f"{name}.weight"] = random(*shape)
        tensors[f"{name}.norm.weight"] = norm(shape[1])
    for name in ("attn_norm", "mlp_norm", "attn.g_norm"):
        tensors[f"{layer}.{name}.weight"] = norm(_HIDDEN)
    tensors["model.norm.weight"] = norm(_HIDDEN)
    config = {
        "model_type": "hgrn_bit", "vocab_size": _VOCAB, "hidden_size": _HIDDEN,
        "intermediate_size": _INTERMEDIATE, "num_hidden_layers": 1, "num_heads": 1,
        "use_lower_bound": False,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        save_file(tensors, Path(directory) / "model.safetensors")
        (Path(directory) / "config.json").write_text(json.dumps(config))
        return convert(Path(directory))
