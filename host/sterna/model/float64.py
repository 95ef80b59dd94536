"""The reference forward pass in NumPy float64, only for measuring.

The integer model is compared with this one, and calibration reads its value ranges here. Row sums
of trits times int8 activations are exact whole numbers; everything else is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Self

import numpy as np

from sterna.errors import InputError
from sterna.model.checkpoint import Checkpoint
from sterna.model.model import Model, Shape
from sterna.model.ternary import row_sums, ternarise

__all__ = ["CHUNK", "LAYER_MATRICES", "Float64Model", "Weights"]

Weights = Callable[[str], tuple[np.ndarray, float]]
"""From a projection's module in the checkpoint to its trits, int8 [out, in], and their scale."""

BITLINEAR_EPS = 1e-6
"""eps of the norm inside every BitLinear; the config's rms_norm_eps does not reach it."""

SMALLEST_ABSMAX = 1e-5
"""Lower limit of the largest magnitude that sets an activation scale."""

CHUNK = 512
"""Positions that go through a layer together; the state is carried from chunk to chunk."""


LAYER_MATRICES = 6
"""Projections of a layer: i, f, g, o, both halves of gate_proj, down."""


class Float64Model:
    """MatMul-free language model in float64, with a state that carries on from call to call.

    Make one with `from_checkpoint` or `from_model`.

    Attributes
    ----------
    shape : Shape
    state : numpy.ndarray
        Recurrent state, float64 [layers, width]; may be read and replaced between calls.
    ranges : dict of str to float, or None
        Largest magnitude of every tensor that the integer model rounds, updated by every call; None
        (the default) records nothing.
    """

    ternarise = staticmethod(ternarise)

    def __init__(
        self,
        shape: Shape,
        eps: float,
        embedding: np.ndarray,
        vectors: dict[str, np.ndarray],
        weights: Weights,
    ) -> None:
        """Put a model together.

        Parameters
        ----------
        shape : Shape
        eps : float
            rms_norm_eps.
        embedding : numpy.ndarray
            Float [vocab, hidden].
        vectors : dict of str to numpy.ndarray
            Norm weights and lower bounds by their names in the checkpoint.
        weights : callable
            Called whenever a projection is needed; what it returns is not kept here.
        """
        self.shape = shape
        self.eps = eps
        self.embedding = embedding
        self.ranges: dict[str, float] | None = None
        self._norms = {
            name: values.astype(np.float64) for name, values in vectors.items() if values.ndim == 1
        }
        self._weights = weights
        self._lower_bounds = np.zeros((shape.layers, 1))
        if "model.lower_bounds" in vectors:
            self._lower_bounds = _lower_bounds(vectors["model.lower_bounds"].astype(np.float64))
        self.reset()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, keep: int | None = None) -> Self:
        """Read and ternarise a checkpoint.

        Parameters
        ----------
        checkpoint : Checkpoint
        keep : int, optional
            Number of projections that are kept in memory, the last used; None keeps all. With
            `LAYER_MATRICES` a model of any size can be run layer by layer.
        """
        shape = checkpoint.config.shape
        vectors = {name: checkpoint.tensor(name) for name in _vector_names(shape)}
        if checkpoint.config.use_lower_bound:
            vectors["model.lower_bounds"] = checkpoint.tensor("model.lower_bounds")
        embedding = checkpoint.tensor("model.embeddings.weight")

        def weights(name: str) -> tuple[np.ndarray, float]:
            if name == "lm_head" and checkpoint.config.tied:
                return cls.ternarise(embedding)
            return cls.ternarise(checkpoint.tensor(f"{name}.weight"))

        kept = lru_cache(maxsize=keep)(weights)
        return cls(shape, checkpoint.config.eps, embedding, vectors, kept)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Rebuild the float model from an integer model's trits and floats.

        ``model.meta["eps"]`` is the rms_norm_eps. Without
        ``model.floats["model.embeddings.weight"]`` the int8 embedding is used.

        Raises
        ------
        InputError
            If the model does not hold the floats of its checkpoint.
        """
        try:
            eps = float(model.meta["eps"])
            vectors = {name: model.floats[name] for name in _vector_names(model.shape)}
            for name in [*_projections(model.shape), "lm_head"]:
                _stored_scale(model, name)
        except KeyError as error:
            raise InputError(
                f"the model holds no {error.args[0]} for a float reference; convert its checkpoint "
                "again, or give the checkpoint as the reference"
            ) from error
        if "model.lower_bounds" in model.floats:
            vectors["model.lower_bounds"] = model.floats["model.lower_bounds"]
        embedding = model.floats.get("model.embeddings.weight")
        if embedding is None:
            embed = model.steps[0]
            row_scale = model.embedding_scale * 2.0 ** (embed.scale[1] - embed.fraction)
            embedding = model.embedding * row_scale[:, None]
        weights = lru_cache(maxsize=None)(lambda name: _stored_weight(model, name))
        return cls(model.shape, eps, embedding, vectors, weights)

    def reset(self) -> None:
        """Start a new sequence: state zero."""
        self.state = np.zeros((self.shape.layers, self.shape.width))

    def step(self, token: int) -> np.ndarray:
        """Take one token; return its logits, float64 [vocab]."""
        return self.run([token])[0]

    def run(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Take tokens [T] one after the other; return float64 logits [T, vocab]."""
        return np.concatenate([np.empty((0, self.shape.vocab)), *self.chunks(ids)])

    def chunks(self, ids: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
        """Take tokens as `run` does, but give the logits in pieces of at most 512 rows."""
        tokens = self.check(ids)
        for start in range(0, tokens.size, CHUNK):
            x = self.embed(tokens[start : start + CHUNK])
            for layer in range(self.shape.layers):
                x = self.layer(layer, x)
            yield self.head(x)

    def check(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Token ids as int64 [T]; InputError if there are some that the model does not have."""
        tokens = np.asarray(ids, dtype=np.int64).reshape(-1)
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.shape.vocab):
            raise InputError(
                f"token ids from {tokens.min()} to {tokens.max()} were given; the model has "
                f"{self.shape.vocab} tokens, counted from 0"
            )
        return tokens

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Residual [T, hidden] before the first layer."""
        x = self.embedding[tokens].astype(np.float64)
        self._record("embedding", x)
        return x

    def layer(self, layer: int, x: np.ndarray) -> np.ndarray:
        """Residual [T, hidden] after a layer; advances the layer's state."""
        x = x + self._mixer(layer, x)
        self._record(f"layers.{layer}.residual.o", x)
        x = x + self._channels(layer, x)
        self._record(f"layers.{layer}.residual.down", x)
        return x

    def head(self, x: np.ndarray) -> np.ndarray:
        """Logits [T, vocab] of the last residual."""
        logits = self._linear("lm_head", self._norm("model.norm", x))
        self._record("logits", logits)
        return logits

    def _mixer(self, layer: int, x: np.ndarray) -> np.ndarray:
        """MLGRU: what it adds to the residual x [T, hidden]; advances the layer's state."""
        name, module = f"layers.{layer}", f"model.layers.{layer}.attn"
        a = self._norm(f"model.layers.{layer}.attn_norm", x)
        y = {gate: self._linear(f"{module}.{gate}_proj", a) for gate in "ifg"}
        for gate in "ifg":
            self._record(f"{name}.y.{gate}", y[gate])
        forget = _sigmoid(y["f"])
        forget = self._lower_bounds[layer] + (1 - self._lower_bounds[layer]) * forget
        candidate = _silu(y["i"])
        self._record(f"{name}.silu_i", candidate)
        candidate *= 1 - forget
        states = np.empty_like(candidate)
        h = self.state[layer]
        for position in range(len(x)):
            h = forget[position] * h + candidate[position]
            states[position] = h
        self.state[layer] = h
        self._record(f"{name}.h", states)
        output = _silu(states)
        self._record(f"{name}.z.o", y["g"] * output)
        return self._linear(f"{module}.o_proj", self._norm(f"{module}.g_norm", y["g"]) * output)

    def _channels(self, layer: int, x: np.ndarray) -> np.ndarray:
        """GLU: what it adds to the residual x [T, hidden]."""
        name, module = f"layers.{layer}", f"model.layers.{layer}.mlp"
        b = self._norm(f"model.layers.{layer}.mlp_norm", x)
        u, v = np.split(self._linear(f"{module}.gate_proj", b), 2, axis=1)
        self._record(f"{name}.y.u", u)
        self._record(f"{name}.y.v", v)
        gate = _silu(u)
        self._record(f"{name}.silu_u", gate)
        product = gate * v
        self._record(f"{name}.z.down", product)
        return self._linear(f"{module}.down_proj", product)

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return _rms(x, self._norms[f"{name}.weight"], self.eps)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """BitLinear: normalise, quantise to int8 with a scale per position, multiply by trits."""
        trits, weight_scale = self._weights(name)
        y = _rms(x, self._norms[f"{name}.norm.weight"], BITLINEAR_EPS)
        scale = 127 / np.maximum(np.abs(y).max(axis=1, keepdims=True), SMALLEST_ABSMAX)
        y *= scale
        # to nearest, halves away from zero, which NumPy has no function for
        q = np.clip(np.copysign(np.floor(np.abs(y) + 0.5), y), -128, 127)
        return row_sums(q, trits).astype(np.float64) * weight_scale / scale

    def _record(self, name: str, values: np.ndarray) -> None:
        if self.ranges is not None:
            largest = float(np.abs(values).max(initial=0.0))
            self.ranges[name] = max(largest, self.ranges.get(name, 0.0))


def _rms(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x * (1 / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + eps)) * weight


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, small) / (1 + small)


def _silu(x: np.ndarray) -> np.ndarray:
    return x * _sigmoid(x)


def _lower_bounds(parameters: np.ndarray) -> np.ndarray:
    """Lower bounds of the forget gates [layers, hidden]: 0 in layer 0, growing with depth."""
    p = np.exp(parameters - parameters.max(axis=0))
    p /= p.sum(axis=0)
    return np.cumsum(p, axis=0) - p[0]


def _projections(shape: Shape) -> list[str]:
    """Modules of the projections in the layers, as named in the checkpoint."""
    return [
        f"model.layers.{layer}.{module}"
        for layer in range(shape.layers)
        for module in (*(f"attn.{gate}_proj" for gate in "ifgo"), "mlp.gate_proj", "mlp.down_proj")
    ]


def _vector_names(shape: Shape) -> list[str]:
    """Names of all norm weights in the checkpoint."""
    names = [f"{module}.norm.weight" for module in [*_projections(shape), "lm_head"]]
    for layer in range(shape.layers):
        norms = "attn_norm", "attn.g_norm", "mlp_norm"
        names += [f"model.layers.{layer}.{norm}.weight" for norm in norms]
    return [*names, "model.norm.weight"]


def _stored_name(module: str) -> str:
    """Name of the step that holds a module's trits; of its first half for gate_proj."""
    step = module.removeprefix("model.").replace(".attn.", ".").replace(".mlp.", ".")
    return step.removesuffix("_proj") if step.endswith(".gate_proj") else step


def _stored_scale(model: Model, module: str) -> float:
    return float(model.floats[f"{_stored_name(module)}.scale"].item())


def _stored_weight(model: Model, module: str) -> tuple[np.ndarray, float]:
    """Trits and scale of a checkpoint's module, from the steps of an integer model."""
    step = _stored_name(module)
    trits = model.trits[step]
    if step.endswith(".gate"):
        trits = np.concatenate([trits, model.trits[step.removesuffix("gate") + "up"]])
    return trits, _stored_scale(model, module)
