"""The reference as people run it, `.half()`: what float16 does to the float64 model.

Every tensor between two operations is rounded to float16 (the residual too), arithmetic inside an
operation is float32, ternarisation is a chain of float16 operations, and the state is float32
within a call and float16 between calls. GPUs add in another order, so this has the reference's
distance from float64 but not its bits. Source: matmulfreellm's modules under `.cuda().half()`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sterna.model.float64 import BITLINEAR_EPS, SMALLEST_ABSMAX, Float64Model
from sterna.model.ternary import SMALLEST_MEAN, row_sums

__all__ = ["HalfModel"]


class HalfModel(Float64Model):
    """MatMul-free language model in float16; used as `Float64Model` is."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.embedding = _half(self.embedding)
        self._norms = {name: _half(values) for name, values in self._norms.items()}
        self._lower_bounds = _half(self._lower_bounds)

    @staticmethod
    def ternarise(weight: np.ndarray) -> tuple[np.ndarray, float]:
        """Trits, some of which differ from float32's, and the mean magnitude."""
        weight = _half(weight)
        mean = _half(np.maximum(np.abs(weight).mean(dtype=np.float32), SMALLEST_MEAN))
        levels = _half(weight * _half(1 / mean))
        return np.clip(np.rint(levels), -1, 1).astype(np.int8), float(mean)

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Residual [T, hidden] before the first layer."""
        return self.embedding[tokens]

    def layer(self, layer: int, x: np.ndarray) -> np.ndarray:
        """Residual [T, hidden] after a layer; advances the layer's state."""
        x = _half(x + self._mixer(layer, x))
        return _half(x + self._channels(layer, x))

    def head(self, x: np.ndarray) -> np.ndarray:
        """Logits [T, vocab] of the last residual."""
        return self._linear("lm_head", self._norm("model.norm", x)).astype(np.float64)

    def _mixer(self, layer: int, x: np.ndarray) -> np.ndarray:
        module = f"model.layers.{layer}.attn"
        a = self._norm(f"model.layers.{layer}.attn_norm", x)
        i, f, g = (self._linear(f"{module}.{gate}_proj", a) for gate in "ifg")
        f = _half(1 / (1 + np.exp(-f)))
        bound = self._lower_bounds[layer]
        f = _half(bound + _half(_half(1 - bound) * f))
        i = _half(_silu(i) * _half(1 - f))
        states = np.empty_like(i)
        h = self.state[layer].astype(np.float32)
        for position in range(len(x)):
            h = f[position] * h + i[position]
            states[position] = h
        self.state[layer] = _half(h)
        g = _rms(g, self._norms[f"{module}.g_norm.weight"], self.eps)
        return self._linear(f"{module}.o_proj", _half(g * _silu(_half(states))))

    def _channels(self, layer: int, x: np.ndarray) -> np.ndarray:
        module = f"model.layers.{layer}.mlp"
        b = self._norm(f"model.layers.{layer}.mlp_norm", x)
        u, v = np.split(self._linear(f"{module}.gate_proj", b), 2, axis=1)
        return self._linear(f"{module}.down_proj", _half(_silu(u) * v))

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return _half(_rms(x, self._norms[f"{name}.weight"], self.eps))

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """BitLinear: the int8 activations are divided by their scale and rounded before use."""
        trits, mean = self._weights(name)
        y = _rms(x, self._norms[f"{name}.norm.weight"], BITLINEAR_EPS)
        scale = 127 / np.maximum(np.abs(y).max(axis=1, keepdims=True), np.float32(SMALLEST_ABSMAX))
        q = np.clip(np.rint(y * scale), -128, 127)
        magnitude = _half(1 / _half(1 / _half(np.float32(mean))))
        return _half(row_sums(_half(q / scale), trits) * magnitude)


def _half(x: Any) -> np.ndarray:
    """Round to float16, kept in float32; too large becomes infinite, as on a GPU."""
    with np.errstate(over="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def _rms(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    mean = np.mean(x * x, axis=1, keepdims=True, dtype=np.float32)
    return x * (1 / np.sqrt(mean + np.float32(eps))) * weight


def _silu(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp of a large number: the quotient is 0, as it should be
        return x / (1 + np.exp(-x))
