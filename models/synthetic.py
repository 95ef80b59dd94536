"""Random checkpoints of the published shapes, to try what needs no trained weights.

``python -m models.synthetic 2.7B build/2.7B`` writes bfloat16 shards with an index and a tokenizer
of bytes, as they would come from a hub. Needs as much memory as the largest matrix.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers

__all__ = ["SHAPES", "write"]

SHAPES = {
    "370M": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 2816},
    "1.3B": {"hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 5632},
    "2.7B": {"hidden_size": 2560, "num_hidden_layers": 32, "intermediate_size": 6912},
}
"""Sizes of the published models; all have a vocabulary of 32 000."""

VOCAB = 32000
SHARD_BYTES = 1 << 29
BLOCK = 1 << 22
"""Random numbers that are drawn at once."""


def write(directory: Path, shape: dict[str, int], vocab: int = VOCAB, seed: int = 0) -> None:
    """Write a checkpoint of a shape; the same seed gives the same bytes.

    Parameters
    ----------
    directory : Path
        Made if it is not there.
    shape : dict of str to int
        ``hidden_size``, ``num_hidden_layers`` and ``intermediate_size``.
    vocab : int
        At least 259.
    seed : int
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["HGRNBitForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "model_type": "hgrn_bit",
        "torch_dtype": "bfloat16",
        "vocab_size": vocab,
        **shape,
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    (directory / "tokenizer.json").write_text(_tokenizer())
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for name, dimensions in _tensors(vocab, *shape.values()).items():
        nbytes = 2 * int(np.prod(dimensions))
        if size + nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = dimensions
        size += nbytes
    rng = np.random.default_rng(seed)
    weight_map = {}
    for number, tensors in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        weight_map |= dict.fromkeys(tensors, file)
        _write_shard(directory / file, tensors, rng)
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _tensors(vocab: int, hidden: int, layers: int, inner: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the order in which they are stored."""
    tensors: dict[str, tuple[int, ...]] = {
        "model.embeddings.weight": (vocab, hidden),
        "model.lower_bounds": (layers, hidden),
    }
    for layer in range(layers):
        matrices = {f"attn.{gate}_proj": (hidden, hidden) for gate in "ifgo"}
        matrices |= {"mlp.gate_proj": (2 * inner, hidden), "mlp.down_proj": (hidden, inner)}
        for name in ("attn_norm", "attn.g_norm", "mlp_norm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = (hidden,)
        for name, dimensions in matrices.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = dimensions
            tensors[f"model.layers.{layer}.{name}.norm.weight"] = dimensions[1:]
    return {
        **tensors,
        "model.norm.weight": (hidden,),
        "lm_head.weight": (vocab, hidden),
        "lm_head.norm.weight": (hidden,),
    }


def _write_shard(path: Path, tensors: dict[str, tuple[int, ...]], rng: np.random.Generator) -> None:
    header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dimensions in tensors.items():
        begin, end = end, end + 2 * int(np.prod(dimensions))
        header[name] = {"dtype": "BF16", "shape": dimensions, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, dimensions in tensors.items():
            left = int(np.prod(dimensions))
            while left:
                count = min(left, BLOCK)
                values = rng.standard_normal(count, np.float32)
                if len(dimensions) == 1:  # weights of norms
                    values = np.exp(0.3 * values)
                elif name.endswith("proj.weight") or name == "lm_head.weight":
                    values /= np.float32(dimensions[1] ** 0.5)
                file.write((values.view(np.uint32) + 0x8000 >> 16).astype("<u2").data)
                left -= count


def _tokenizer() -> str:
    """Text of a tokenizer.json like Llama's, with bytes for pieces."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {piece: token for token, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer.to_str()


def main() -> None:
    """Parse the command line and write a checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m models.synthetic", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("directory", type=Path)
    args = parser.parse_args()
    write(args.directory, SHAPES[args.shape])


if __name__ == "__main__":
    main()
