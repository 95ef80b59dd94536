"""Trained models as files, in the published layout."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from .config import ModelConfig
from .data import BOS, EOS, SPECIAL
from .model import HGRNBit

__all__ = [
    "load",
    "publish",
    "settle",
    "settle_state",
    "trits_of",
]

LOW, HIGH = 0.48, 0.52  # no weight is left between these multiples of mean(abs(weight))


def trits_of(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Trits (int8) and magnitude (float32) of a matrix, computed in float32."""
    weight = weight.float()
    magnitude = weight.abs().mean().clamp_min(1e-5)
    return (weight * (1 / magnitude)).round().clamp(-1, 1).to(torch.int8), magnitude


def settle(weight: Tensor) -> Tensor:
    """Round a matrix to bfloat16 without changing a trit.

    Training leaves many weights so near to half the mean magnitude that rounding would move them
    across. They are first moved away from it, on their side, and everything is rescaled so that
    the mean magnitude stays.
    """
    trits, magnitude = trits_of(weight)
    relative = weight.double() / magnitude
    size = torch.where(trits == 0, relative.abs().clamp_max(LOW), relative.abs().clamp_min(HIGH))
    size = size / size.mean() * magnitude
    settled = torch.copysign(size, relative).bfloat16()
    if not torch.equal(trits_of(settled)[0], trits):
        raise ValueError("rounding to bfloat16 changes trits")
    return settled


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of a checkpoint is ternarised."""
    return tensor.ndim == 2 and name.endswith(("proj.weight", "lm_head.weight"))


def settle_state(model: HGRNBit) -> dict[str, Tensor]:
    """The bfloat16 state dictionary of a trained model, embedding on its grid."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    state["model.embeddings.weight"] = model.embedding().detach().cpu()
    return {n: settle(t) if is_matrix(n, t) else t.bfloat16() for n, t in state.items()}


def published_config(config: ModelConfig) -> dict[str, object]:
    """The ``config.json`` of the published layout."""
    return {
        "architectures": ["HGRNBitForCausalLM"],
        "attn_mode": "fused_recurrent",
        "bos_token_id": BOS,
        "conv_size": 4,
        "eos_token_id": EOS,
        "expand_ratio": 1,
        "fuse_cross_entropy": True,
        "hidden_act": "swish",
        "hidden_ratio": 4,
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": 2048,
        "model_type": "hgrn_bit",
        "num_heads": 1,
        "num_hidden_layers": config.num_hidden_layers,
        "pad_token_id": None,
        "rms_norm_eps": config.rms_norm_eps,
        "share_conv_kernel": True,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.44.2",
        "use_cache": True,
        "use_lower_bound": config.use_lower_bound,
        "use_short_conv": False,
        "vocab_size": config.vocab_size,
    }


def publish(
    state: Mapping[str, Tensor], config: ModelConfig, tokenizer: Tokenizer, folder: Path
) -> None:
    """Write a checkpoint in the published layout; `state` is settled."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(state), folder / "model.safetensors", {"format": "pt"})
    write_texts(config, tokenizer, folder)


def write_texts(config: ModelConfig, tokenizer: Tokenizer, folder: Path) -> None:
    """Write what a checkpoint has beside its tensors."""
    texts = {
        "config.json": published_config(config),
        "generation_config.json": {
            "bos_token_id": BOS,
            "do_sample": True,
            "eos_token_id": EOS,
            "pad_token_id": EOS,
            "temperature": 0.7,
            "transformers_version": "4.44.2",
        },
        "tokenizer_config.json": {
            "add_bos_token": True,
            "bos_token": SPECIAL[BOS],
            "clean_up_tokenization_spaces": False,
            "eos_token": SPECIAL[EOS],
            "model_max_length": 1_000_000_000,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": SPECIAL[0],
        },
    }
    for name, content in texts.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))


def load(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[HGRNBit, Tokenizer]:
    """Read a checkpoint, for evaluation or to start from."""
    table = json.loads((folder / "config.json").read_text())
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "rms_norm_eps", "use_lower_bound")
    shape = {name: table[name] for name in names}
    inner = table["intermediate_size"]
    if inner is None:
        inner = -(-int(shape["hidden_size"] * (table["hidden_ratio"] or 4) * 2 / 3) // 256) * 256
    model = HGRNBit(ModelConfig(intermediate_size=inner, **shape)).to(dtype)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
