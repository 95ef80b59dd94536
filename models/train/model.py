"""HGRNBit in PyTorch, with straight-through ternary weights and int8 activations.

The parameters carry the names of the published checkpoints, so that a state dictionary is a
checkpoint. Every number that is rounded (a weight to -1, 0 or 1, an activation to an integer, an
embedding entry to its grid) lets its gradient pass as if it were not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ModelConfig
from .data import BOS
from .scan import recurrence

__all__ = ["BitLinear", "HGRNBit", "rms", "round_away", "ternarise"]

BIT_EPS = 1e-6  # of the norms inside BitLinear, whatever the configuration says


def straight_through(rounded: Tensor, x: Tensor) -> Tensor:
    """Exactly `rounded` forward, the gradient of `x` backward."""
    return rounded.detach() + (x - x.detach())


def round_away(x: Tensor) -> Tensor:
    """Round to the nearest integer, halves away from zero."""
    return torch.trunc(x + torch.copysign(torch.full_like(x, 0.5), x))


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square of the last axis and multiply by `weight`."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def ternarise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Trits of a matrix and their common magnitude, mean(abs(weight))."""
    magnitude = weight.detach().abs().mean().clamp_min(1e-5)
    scaled = weight * (1 / magnitude)
    return straight_through(scaled.round().clamp(-1, 1), scaled), magnitude


def quantise(y: Tensor) -> tuple[Tensor, Tensor]:
    """Int8 activations, as floating point numbers, and one scale for each token."""
    scale = 127 / y.detach().abs().amax(-1, keepdim=True).clamp_min(1e-5)
    scaled = y * scale
    return straight_through(round_away(scaled).clamp(-128, 127), scaled), scale


class RMSNorm(nn.Module):
    """Root mean square norm with a weight and no bias."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Norm of the last axis."""
        return rms(x, self.weight, self.eps)


class BitLinear(nn.Module):
    """A ternary matrix behind a norm and an int8 quantiser.

    Parameters
    ----------
    inputs, outputs
        Size of the matrix.
    gain
        The initial standard deviation is ``gain / sqrt(inputs)``.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * gain * inputs**-0.5)
        self.norm = RMSNorm(inputs, BIT_EPS)

    def sums(self, x: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, Tensor]:
        """Integer sums, computed in `dtype`, and the factor of each token that scales them."""
        q, scale = quantise(self.norm(x))
        trits, magnitude = ternarise(self.weight)
        return F.linear(q.to(dtype), trits.to(dtype)), magnitude / scale

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Scaled output; `dtype` is that of the matrix product, None that of `x`."""
        sums, scale = self.sums(x, dtype)
        return sums.to(scale.dtype) * scale


class TokenMixer(nn.Module):
    """MLGRU: input, forget gate and gate, an elementwise recurrence, and an output matrix."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        h = config.hidden_size
        self.i_proj = BitLinear(h, h)
        self.f_proj = BitLinear(h, h)
        self.g_proj = BitLinear(h, h)
        self.g_norm = RMSNorm(h, config.rms_norm_eps)
        self.o_proj = BitLinear(h, h, (2 * config.num_hidden_layers) ** -0.5)

    def forward(
        self, a: Tensor, lower: Tensor, keep: Tensor, start: Tensor, dtype: torch.dtype | None
    ) -> tuple[Tensor, Tensor]:
        """Output of the branch and the states of all positions."""
        i, scale_i = self.i_proj.sums(a, dtype)
        f, scale_f = self.f_proj.sums(a, dtype)
        h = recurrence(i, scale_i, f, scale_f, lower, keep, start)
        g = self.g_norm(self.g_proj(a, dtype))
        return self.o_proj(g * F.silu(h.to(a.dtype)), dtype), h


class ChannelMixer(nn.Module):
    """GLU: silu(gate) * up, both from one matrix, and a matrix back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        h, i = config.hidden_size, config.intermediate_size
        self.gate_proj = BitLinear(h, 2 * i)
        self.down_proj = BitLinear(i, h, (2 * config.num_hidden_layers) ** -0.5)

    def forward(self, b: Tensor, dtype: torch.dtype | None) -> Tensor:
        """Output of the branch."""
        gate, up = self.gate_proj(b, dtype).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up, dtype)


class Layer(nn.Module):
    """A token mixer and a channel mixer, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attn = TokenMixer(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = ChannelMixer(config)


class Trunk(nn.Module):
    """Embedding, layers and the last norm; a name space of the checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        h = config.hidden_size
        self.embeddings = nn.Embedding(config.vocab_size, h)
        nn.init.normal_(self.embeddings.weight, std=config.embedding_rms)
        if config.use_lower_bound:
            self.lower_bounds = nn.Parameter(torch.zeros(config.num_hidden_layers, h))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(h, config.rms_norm_eps)


class HGRNBit(nn.Module):
    """The language model.

    Parameters
    ----------
    config
        The shape.
    dtype
        Type of the matrix products; None takes that of the parameters. All sums are exact
        integers in float32 and float64; bfloat16 is for training.
    dropout
        Probability of dropping an element of the embedding or of a branch, in training only.
    """

    def __init__(
        self, config: ModelConfig, dtype: torch.dtype | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.dropout = dropout
        self.model = Trunk(config)
        self.lm_head = BitLinear(config.hidden_size, config.vocab_size)

    def embedding(self) -> Tensor:
        """The embedding table as the forward pass uses it."""
        table = self.model.embeddings.weight
        if not self.config.embedding_bits:
            return table
        half = 1 << (self.config.embedding_bits - 1)
        scaled = table / self.config.embedding_step
        levels = scaled.round().clamp(-half, half - 1)
        return straight_through(levels * self.config.embedding_step, table)

    def lower_bounds(self) -> Tensor:
        """Lower bounds of the forget gates, ``[layers, channels]``; the first is 0."""
        if not self.config.use_lower_bound:
            layers, h = self.config.num_hidden_layers, self.config.hidden_size
            return self.model.norm.weight.new_zeros(layers, h)
        shares = self.model.lower_bounds.softmax(0)
        return shares.cumsum(0) - shares[:1]

    def start(self, batch: int) -> list[Tensor]:
        """Empty states, one ``[batch, channels]`` for each layer."""
        weight = self.model.norm.weight
        shape = batch, self.config.hidden_size
        return [weight.new_zeros(shape) for _ in self.model.layers]

    def hidden(self, tokens: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run all layers over ``tokens`` ``[batch, time]``.

        Returns
        -------
        Tensor
            The residual stream after the last layer and the last norm.
        list of Tensor
            The states after the last position.
        """
        x = self._drop(F.embedding(tokens, self.embedding()))
        keep = (tokens != BOS).to(x.dtype)
        after = []
        for layer, lower, start in zip(self.model.layers, self.lower_bounds(), states, strict=True):
            branch, h = layer.attn(layer.attn_norm(x), lower, keep, start, self.dtype)
            after.append(h[:, -1].to(x.dtype))
            x = x + self._drop(branch)
            x = x + self._drop(layer.mlp(layer.mlp_norm(x), self.dtype))
        return self.model.norm(x), after

    def forward(self, tokens: Tensor, states: list[Tensor] | None = None) -> Tensor:
        """Logits of every position, ``[batch, time, vocabulary]``."""
        x, _ = self.hidden(tokens, states or self.start(len(tokens)))
        return self.lm_head(x, self.dtype)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)
