"""What a trained model is worth: bits per character, ranges, samples."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from .checkpoint import is_matrix, trits_of
from .data import EOS, documents
from .model import HGRNBit

__all__ = ["bits_per_character", "ranges", "samples", "zeros"]

CHUNK = 2048  # positions at once; states are handed on


@torch.no_grad()
def bits_per_character(model: HGRNBit, tokenizer: Tokenizer, text: str) -> float:
    """Mean over all characters of all documents in `text`; each starts with an empty state.

    The first token of a document is predicted from ``<s>``; nothing after its last is counted.
    """
    bits, characters = 0.0, 0
    for document in documents(text):
        ids = torch.tensor([tokenizer.encode(document).ids])
        states = model.start(1)
        for chunk in range(0, ids.shape[1] - 1, CHUNK):
            window = ids[:, chunk : chunk + CHUNK + 1]
            x, states = model.hidden(window[:, :-1], states)
            logits = model.lm_head(x)[0]
            bits += F.cross_entropy(logits, window[0, 1:], reduction="sum").item() / math.log(2)
        characters += len(document)
    return bits / characters


@contextmanager
def ranges(model: HGRNBit) -> Iterator[dict[str, list[float]]]:
    """Note the largest magnitudes while the body runs the model, one for each layer.

    ``residual`` is the stream after either half of a layer, ``state`` is h, a ``peak`` is the
    largest element at an int8 quantiser over the root mean square of its vector, and the others
    are outputs of matrices.
    """
    layers = model.model.layers
    largest: dict[str, list[float]] = {}
    hooks = []

    def note(key: str, layer: int, x: Tensor) -> None:
        values = largest.setdefault(key, [0.0] * len(layers))
        values[layer] = max(values[layer], x.abs().max().item())

    def on_input(module: nn.Module, key: str, layer: int) -> None:
        hooks.append(module.register_forward_pre_hook(lambda _, x: note(key, layer, x[0])))

    def on_output(module: nn.Module, key: str, layer: int, view: Callable) -> None:
        hooks.append(module.register_forward_hook(lambda _, x, y: note(key, layer, view(y))))

    def peak(x: Tensor) -> Tensor:
        return x.abs().amax(-1) / x.square().mean(-1).sqrt()

    ends = [*(layer.attn_norm for layer in layers[1:]), model.model.norm]
    for n, (layer, end) in enumerate(zip(layers, ends, strict=True)):
        on_input(layer.mlp_norm, "residual", n)
        on_input(end, "residual", n)
        on_output(layer.attn, "state", n, lambda pair: pair[1])
        for name in ("attn.g_proj", "attn.o_proj", "mlp.gate_proj", "mlp.down_proj"):
            on_output(layer.get_submodule(name), name, n, lambda y: y)
        for name in ("attn.o_proj", "mlp.down_proj"):
            on_output(layer.get_submodule(name).norm, f"peak at {name}", n, peak)
    yield largest
    for hook in hooks:
        hook.remove()


def zeros(model: HGRNBit) -> dict[str, float]:
    """Share of zero trits in every matrix."""
    state = model.state_dict()
    matrices = {name: t for name, t in state.items() if is_matrix(name, t)}
    return {name: (trits_of(t)[0] == 0).float().mean().item() for name, t in matrices.items()}


@torch.no_grad()
def samples(
    model: HGRNBit,
    tokenizer: Tokenizer,
    prompt: str,
    count: int = 3,
    tokens: int = 120,
    temperature: float = 0.7,
    seed: int = 0,
) -> list[str]:
    """Continuations of a prompt, the prompt included, up to ``</s>`` or `tokens` tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([tokenizer.encode(prompt).ids]).expand(count, -1)
    text = ids
    states = model.start(count)
    for _ in range(tokens):
        x, states = model.hidden(ids, states)
        shares = (model.lm_head(x[:, -1]) / temperature).softmax(-1)
        ids = torch.multinomial(shares.float(), 1, generator=generator)
        text = torch.cat([text, ids], dim=1)
    cut = [row[: row.index(EOS)] if EOS in row else row for row in text.tolist()]
    return [tokenizer.decode(row) for row in cut]
