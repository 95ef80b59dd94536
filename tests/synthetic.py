"""Random checkpoints in the published layout, of any size and variant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

__all__ = ["bfloat16", "byte_tokenizer", "write_checkpoint", "write_tensors"]


def write_checkpoint(
    directory: Path | str,
    *,
    vocab: int = 61,
    hidden: int = 24,
    layers: int = 2,
    intermediate: int = 40,
    expand_ratio: float = 1.0,
    use_lower_bound: bool = True,
    tied: bool = False,
    eps: float = 1e-6,
    dtype: str = "F32",
    shards: int = 1,
    seed: int = 0,
    tokenizer: bool = False,
    coarse: bool = False,
) -> Path:
    """Write a checkpoint with random weights of the magnitudes that trained ones have.

    Parameters
    ----------
    directory : Path or str
        Made if it is not there.
    dtype : str
        Dtype of all stored tensors: F32, F16 or BF16. The same seed gives the same values, rounded.
    shards : int
        Number of weight files; with more than one there is an index.
    tokenizer : bool
        Whether to add a tokenizer of bytes, for which `vocab` must be at least 259.
    coarse : bool
        Whether the embedding is as if it had been trained in 4 bits.

    Returns
    -------
    Path
        The directory.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    width = int(hidden * expand_ratio)
    config = {
        "architectures": ["HGRNBitForCausalLM"],
        "attn_mode": "fused_recurrent",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "expand_ratio": expand_ratio,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "model_type": "hgrn_bit",
        "num_heads": 1,
        "num_hidden_layers": layers,
        "rms_norm_eps": eps,
        "tie_word_embeddings": tied,
        "use_lower_bound": use_lower_bound,
        "use_short_conv": False,
        "vocab_size": vocab,
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in _tensors(vocab, hidden, width, intermediate, layers).items():
        # all are drawn, whether the variant holds them or not, so that variants share their weights
        if name == "model.embeddings.weight" and coarse:
            values = np.clip(np.rint(4 * rng.normal(0, 1, shape)), -8, 7) / 4
        elif name in ("model.embeddings.weight", "model.lower_bounds"):
            values = rng.normal(0, 1, shape)
        elif len(shape) == 1:
            values = rng.lognormal(-0.2, 0.5, shape) * rng.choice([1, 1, 1, -1], shape)
        else:
            values = rng.normal(0.01, 1, shape) / np.sqrt(shape[1])
        unused = tied and name == "lm_head.weight"
        unused |= not use_lower_bound and name == "model.lower_bounds"
        if not unused:
            tensors[name] = values.astype(np.float32)
    if shards == 1:
        write_tensors(directory / "model.safetensors", tensors, dtype)
    else:
        _write_shards(directory, tensors, dtype, shards)
    if tokenizer:
        (directory / "tokenizer.json").write_text(byte_tokenizer(vocab))
    return directory


def write_tensors(path: Path, tensors: dict[str, np.ndarray], dtype: str) -> None:
    """Write a safetensors file, all values rounded to `dtype`."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, values in tensors.items():
        if dtype == "BF16":
            stored = (bfloat16(values).view(np.uint32) >> 16).astype("<u2")
        else:
            stored = values.astype({"F32": "<f4", "F16": "<f2"}[dtype])
        offsets = [len(data), len(data) + stored.nbytes]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        data += stored.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16 (halves to even), kept in float32."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def byte_tokenizer(vocab: int = 259) -> str:
    """Text of a tokenizer.json with one token per byte, ids from 3, and BOS before every text."""
    if vocab < 259:
        raise ValueError(f"a tokenizer of bytes needs a vocabulary of at least 259, not {vocab}")
    # The characters that stand for bytes: printable ones for themselves, the others from 256 up.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    bos, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"id": "A", "type_id": 0}
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [
                {"id": token, "content": content, "special": True, **special}
                for token, content in enumerate(["<unk>", "<s>", "</s>"])
            ],
            "pre_tokenizer": {**byte_level, "add_prefix_space": False},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [bos, {"Sequence": text}],
                "pair": [bos, {"Sequence": text}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
            },
            "decoder": {**byte_level, "add_prefix_space": True},
            "model": {
                "type": "BPE",
                "vocab": {
                    "<unk>": 0,
                    "<s>": 1,
                    "</s>": 2,
                    **{characters[byte]: byte + 3 for byte in range(256)},
                },
                "merges": [],
            },
        }
    )


def _tensors(
    vocab: int, hidden: int, width: int, inner: int, layers: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors."""
    tensors: dict[str, tuple[int, ...]] = {
        "model.embeddings.weight": (vocab, hidden),
        "model.lower_bounds": (layers, hidden),
        "model.norm.weight": (hidden,),
        "lm_head.weight": (vocab, hidden),
        "lm_head.norm.weight": (hidden,),
    }
    for layer in range(layers):
        linears = {f"attn.{gate}_proj": (width, hidden) for gate in "ifg"}
        linears |= {
            "attn.o_proj": (hidden, width),
            "mlp.gate_proj": (2 * inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        norms = {"attn_norm": hidden, "attn.g_norm": width, "mlp_norm": hidden}
        for name, shape in linears.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = shape
            norms[f"{name}.norm"] = shape[1]
        for name, size in norms.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = (size,)
    return tensors


def _write_shards(directory: Path, tensors: dict[str, np.ndarray], dtype: str, shards: int) -> None:
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = dict(list(tensors.items())[number::shards])
        write_tensors(directory / file, part, dtype)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
