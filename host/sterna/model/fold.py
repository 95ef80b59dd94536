"""Fold a checkpoint into integers: vectors, scales and shifts of every step.

Floats end here. Norm weights in series become one vector, the RMS factors cancel out of the
quantised activations, and what is left of them goes into one scale per projection:

    y = row_sum * (max|x w12| / 127) * b / sqrt(mean((x w1)^2) + 1e-6 (mean(x^2) + eps))

Source: docs/architecture.md, "Numbers"; every factor is a power of two away from the integers that
the quantizer sees, and those powers are gathered in `_scale` and `_eps`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sterna.errors import InputError
from sterna.model.checkpoint import Checkpoint
from sterna.model.model import Model
from sterna.model.packed import PackedTrits
from sterna.model.ternary import near_threshold, ternarise
from sterna.spec.fixed import (
    ACTIVATION_MAX,
    PRE_BITS,
    RESIDUAL_BITS,
    SCALE_BITS,
    SCRATCH_BITS,
    STATE_BITS,
    SUM_SHIFT,
    VECTOR_BITS,
    fraction_bits,
    to_float_parts,
)
from sterna.spec.program import Op, Stats, Step

__all__ = ["fold"]

BITLINEAR_EPS = 1e-6
"""eps of the norm inside every BitLinear; the config's rms_norm_eps does not reach it."""

SIGMOID_FRACTION = (4, 19)
"""Fraction bits that a sigmoid's input may have."""

NEAR = 0.005
"""Distance to the ternary threshold, over the mean magnitude, within which weights are counted: one
hundredth of the threshold, a little more than what rounding to bfloat16 can move."""

_ROWS = 4096
"""Rows of the embedding that are in float64 at once."""


def fold(
    checkpoint: Checkpoint,
    ranges: dict[str, float],
    progress: Callable[[int], None] = lambda layer: None,
) -> Model:
    """Make the integer model of a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    ranges : dict of str to float
        Largest magnitudes on calibration text, as `sterna.model.calibrate` returns them.
    progress : callable
        Called with the number of each layer before it is folded, and with that of layers at last.

    Returns
    -------
    Model
        Its `meta` holds ``near_threshold``: of each matrix, the share of weights within `NEAR`.

    Raises
    ------
    InputError
        If a range does not fit its format.
    """
    return _Folder(checkpoint, ranges).model(progress)


class _Folder:
    def __init__(self, checkpoint: Checkpoint, ranges: dict[str, float]) -> None:
        self.checkpoint = checkpoint
        self.shape = checkpoint.config.shape
        self.ranges = ranges
        self.integers: dict[str, np.ndarray] = {}
        self.fraction: dict[str, int] = {}
        self.trits = PackedTrits()
        self.near: dict[str, float] = {}
        self.weight_scale: dict[str, float] = {}
        self.floats: dict[str, np.ndarray] = {}
        self.steps: list[Step] = []

    def model(self, progress: Callable[[int], None]) -> Model:
        residual = self._fraction("embedding", RESIDUAL_BITS)
        embedding, embedding_scale = self._embedding(residual)
        lower_bounds = self._lower_bounds()
        for layer in range(self.shape.layers):
            progress(layer)
            residual = self._mixer(layer, residual, lower_bounds)
            residual = self._channels(layer, residual)
        progress(self.shape.layers)
        self._head(residual)
        self._announce()
        return Model(
            shape=self.shape,
            steps=tuple(self.steps),
            trits=self.trits,
            vectors=self.integers,
            embedding=embedding,
            embedding_scale=embedding_scale,
            meta={"near_threshold": self.near},
            floats=self.floats,
        )

    def _fraction(self, name: str, bits: int, limits: tuple[int, int] = (-16, 24)) -> int:
        """Fraction bits for a range with twofold headroom, within `limits`."""
        fraction = fraction_bits(self.ranges[name], bits)
        if fraction < limits[0]:
            raise InputError(
                f"{name} reaches {self.ranges[name]:g} on the calibration text, too much for "
                f"{bits} bits of which at least {limits[0]} are fraction bits"
            )
        return min(fraction, limits[1])

    def _float(self, name: str) -> np.ndarray:
        """Read a vector as float64 and keep it for the float64 reference."""
        self.floats[name] = self.checkpoint.tensor(name)
        return self.floats[name].astype(np.float64)

    def _embedding(self, fraction: int) -> tuple[np.ndarray, np.ndarray]:
        """int8 rows with a 16-bit scale each; appends the EMBED step."""
        table = self.checkpoint.tensor("model.embeddings.weight")
        rows = np.empty(table.shape, np.int8)
        row_scale = np.empty(len(table))
        for first in range(0, len(table), _ROWS):
            part = slice(first, first + _ROWS)
            rows[part], row_scale[part] = _int8_rows(table[part].astype(np.float64))
        shift = SCALE_BITS - 1 - int(np.floor(np.log2(row_scale.max() * 2.0**fraction)))
        scale = np.rint(row_scale * 2.0 ** (fraction + shift))
        self.steps.append(
            Step(
                "embedding",
                Op.EMBED,
                Stats.FRESH,
                rows=self.shape.hidden,
                columns=0,
                scale=(0, -shift),
                fraction=fraction,
            )
        )
        limit = (1 << SCALE_BITS) - 1
        return rows, np.minimum(scale, limit).astype(np.int64)

    def _lower_bounds(self) -> list[str | None]:
        """Names of the lower bound vectors, None where the bound is 0 (always in layer 0)."""
        names: list[str | None] = [None] * self.shape.layers
        if not self.checkpoint.config.use_lower_bound:
            return names
        parameters = self._float("model.lower_bounds")
        p = np.exp(parameters - parameters.max(axis=0))
        p /= p.sum(axis=0)
        for layer, bound in enumerate(np.cumsum(p, axis=0) - p[0]):
            if layer > 0:
                names[layer] = f"layers.{layer}.lower_bound"
                limit = (1 << VECTOR_BITS) - 1
                integers = np.clip(np.rint(bound * 2.0**VECTOR_BITS), 0, limit)
                self.integers[f"layers.{layer}.lower_bound"] = integers.astype(np.int64)
        return names

    def _vector(self, name: str, values: np.ndarray) -> str:
        """Quantise a vector so that its largest element fills 16 bits."""
        assert name not in self.integers, name
        fraction = fraction_bits(float(np.abs(values).max()), VECTOR_BITS, headroom=1.0)
        limit = (1 << (VECTOR_BITS - 1)) - 1
        integers = np.clip(np.rint(values * 2.0**fraction), -limit, limit)
        self.integers[name], self.fraction[name] = integers.astype(np.int64), fraction
        return name

    def _weight(self, tensor: str, *step_names: str) -> None:
        """Ternarise a matrix for one step, or for two that take half of its rows each.

        The scale of a half is that of the whole.
        """
        weight = self.checkpoint.tensor(tensor)
        trits, scale = ternarise(weight)
        self.near[tensor.removesuffix(".weight")] = near_threshold(weight, NEAR)
        for name, part in zip(step_names, np.split(trits, len(step_names)), strict=True):
            self.trits.add(name, part)
            self.weight_scale[name] = scale
            self.floats[f"{name}.scale"] = np.array([scale])

    def _scale(self, weight: str, first: str | None, folded: str, fraction: int) -> tuple[int, int]:
        """Constant factor of the output scale: all but the largest product and the root."""
        shift = fraction - self.fraction[folded]
        if first is not None:
            shift += self.fraction[first] - SUM_SHIFT
        columns = self.trits.shape(weight)[1]
        factor = self.weight_scale[weight] / ACTIVATION_MAX * columns**0.5
        return to_float_parts(factor * 2.0**shift)

    def _eps(self, first: str, columns: int, fraction: int, second_fraction: int) -> dict[str, Any]:
        """Factor and constant of the eps terms of two norms in series.

        Parameters
        ----------
        first : str
            Vector of the first norm.
        columns, fraction : int
            Length and fraction bits of the quantiser's source.
        second_fraction : int
            Fraction bits of the values in the second sum.
        """
        unit = fraction + self.fraction[first] - SUM_SHIFT
        constant = BITLINEAR_EPS * self.checkpoint.config.eps * columns * 4.0**unit
        return {
            "eps": to_float_parts(BITLINEAR_EPS * 4.0 ** (unit - second_fraction)),
            "eps_constant": round(constant),
        }

    def _mixer(self, layer: int, residual: int, lower_bounds: list[str | None]) -> int:
        """MLGRU: i, f, g and o projections. Returns the residual's new fraction bits."""
        name, tensor = f"layers.{layer}", f"model.layers.{layer}.attn"
        hidden, width = self.shape.hidden, self.shape.width
        norm = self._float(f"model.layers.{layer}.attn_norm.weight")
        first = self._vector(f"{name}.attn_norm", norm)
        folded = {
            gate: self._vector(
                f"{name}.{gate}_fold", norm * self._float(f"{tensor}.{gate}_proj.norm.weight")
            )
            for gate in "ifg"
        }
        weights = {gate: f"{name}.{gate}_proj" for gate in "ifgo"}
        for gate in "ifgo":
            self._weight(f"{tensor}.{gate}_proj.weight", weights[gate])
        g_norm = self._float(f"{tensor}.g_norm.weight")
        g_first = self._vector(f"{name}.g_norm", g_norm)
        o_folded = self._vector(
            f"{name}.o_fold", g_norm * self._float(f"{tensor}.o_proj.norm.weight")
        )
        y = {gate: self._fraction(f"{name}.y.{gate}", PRE_BITS, SIGMOID_FRACTION) for gate in "if"}
        y_g = self._fraction(f"{name}.y.g", PRE_BITS)
        h = self._fraction(f"{name}.h", STATE_BITS, SIGMOID_FRACTION)
        candidate = self._fraction(f"{name}.silu_i", SCRATCH_BITS, (h - 15, h + 16))
        z = self._fraction(f"{name}.z.o", SCRATCH_BITS)
        new_residual = min(residual, self._fraction(f"{name}.residual.o", RESIDUAL_BITS))
        eps = self._eps(first, hidden, residual, residual)
        self.steps += [
            Step(
                weights["i"], Op.SILU, Stats.FRESH, width, hidden, layer,
                vector_q=folded["i"],
                scale=self._scale(weights["i"], first, folded["i"], y["i"]),
                sigmoid_shift=y["i"] - 4,
                out_shift=16 + y["i"] - candidate,
                fraction=candidate,
                **eps,
            ),
            Step(
                weights["f"], Op.STATE, Stats.MAXIMUM, width, hidden, layer,
                vector_a=lower_bounds[layer],
                vector_q=folded["f"],
                scale=self._scale(weights["f"], first, folded["f"], y["f"]),
                sigmoid_shift=y["f"] - 4,
                out_shift=16 + candidate - h,
                fraction=h,
            ),
            Step(
                weights["g"], Op.GATE, Stats.MAXIMUM, width, hidden, layer,
                vector_a=g_first,
                vector_q=folded["g"],
                scale=self._scale(weights["g"], first, folded["g"], y_g),
                sigmoid_shift=h - 4,
                out_shift=y_g + h - z,
                fraction=z,
            ),
            Step(
                weights["o"], Op.RESIDUAL, Stats.FRESH, hidden, width, layer,
                vector_q=o_folded,
                scale=self._scale(weights["o"], g_first, o_folded, new_residual),
                residual_shift=residual - new_residual,
                fraction=new_residual,
                **self._eps(g_first, width, z, y_g),
            ),
        ]  # fmt: skip
        return new_residual

    def _channels(self, layer: int, residual: int) -> int:
        """GLU: both halves of gate_proj, down_proj. Returns the residual's new fraction bits."""
        name, tensor = f"layers.{layer}", f"model.layers.{layer}.mlp"
        hidden, inner = self.shape.hidden, self.shape.intermediate
        norm = self._float(f"model.layers.{layer}.mlp_norm.weight")
        first = self._vector(f"{name}.mlp_norm", norm)
        folded = self._vector(
            f"{name}.gate_fold", norm * self._float(f"{tensor}.gate_proj.norm.weight")
        )
        down_folded = self._vector(
            f"{name}.down_fold", self._float(f"{tensor}.down_proj.norm.weight")
        )
        gate, up, down = f"{name}.gate", f"{name}.up", f"{name}.down_proj"
        self._weight(f"{tensor}.gate_proj.weight", gate, up)
        self._weight(f"{tensor}.down_proj.weight", down)
        u = self._fraction(f"{name}.y.u", PRE_BITS, SIGMOID_FRACTION)
        v = self._fraction(f"{name}.y.v", PRE_BITS)
        a = self._fraction(f"{name}.silu_u", SCRATCH_BITS, (u - 15, u + 16))
        z = self._fraction(f"{name}.z.down", SCRATCH_BITS, (-16, a + v))
        new_residual = min(residual, self._fraction(f"{name}.residual.down", RESIDUAL_BITS))
        eps = self._eps(first, hidden, residual, residual)
        self.steps += [
            Step(
                gate, Op.SILU, Stats.FRESH, inner, hidden, layer,
                vector_q=folded,
                scale=self._scale(gate, first, folded, u),
                sigmoid_shift=u - 4,
                out_shift=16 + u - a,
                fraction=a,
                **eps,
            ),
            Step(
                up, Op.PRODUCT, Stats.KEEP, inner, hidden, layer,
                vector_q=folded,
                scale=self._scale(up, first, folded, v),
                out_shift=a + v - z,
                fraction=z,
            ),
            Step(
                down, Op.RESIDUAL, Stats.FRESH, hidden, inner, layer,
                vector_q=down_folded,
                scale=self._scale(down, None, down_folded, new_residual),
                residual_shift=residual - new_residual,
                eps_constant=round(BITLINEAR_EPS * inner * 4.0**z),
                fraction=new_residual,
            ),
        ]  # fmt: skip
        return new_residual

    def _head(self, residual: int) -> None:
        norm = self._float("model.norm.weight")
        first = self._vector("norm", norm)
        folded = self._vector("head_fold", norm * self._float("lm_head.norm.weight"))
        tied = self.checkpoint.config.tied
        self._weight("model.embeddings.weight" if tied else "lm_head.weight", "lm_head")
        fraction = self._fraction("logits", PRE_BITS)
        self.steps.append(
            Step(
                "lm_head", Op.LOGITS, Stats.FRESH, self.shape.vocab, self.shape.hidden,
                vector_q=folded,
                scale=self._scale("lm_head", first, folded, fraction),
                fraction=fraction,
                **self._eps(first, self.shape.hidden, residual, residual),
            )
        )  # fmt: skip

    def _announce(self) -> None:
        """Tell each gathering step the vectors of the segment that will read its results."""
        first_of = {
            "lm_head": "norm",
            **{f"layers.{layer}.i_proj": f"layers.{layer}.attn_norm" for layer in
            range(self.shape.layers)}, **{f"layers.{layer}.gate": f"layers.{layer}.mlp_norm" for
            layer in range(self.shape.layers)},
        }  # fmt: skip
        for number, step in enumerate(self.steps):
            if step.op.gathers:
                reader = self.steps[number + 1]
                self.steps[number] = replace(
                    step,
                    vector_a=step.vector_a or first_of.get(reader.name),
                    vector_b=reader.vector_q,
                )


def _int8_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of an embedding, float64 [rows, hidden], as int8 and a scale each.

    The largest element of a row becomes 127. A row of whole multiples of a power of two that fit
    in int8 (an embedding trained on a grid) is kept exactly, with the largest such power as its
    scale: its levels are as small as they can be.
    """
    scale = np.abs(table).max(axis=1, keepdims=True) / ACTIVATION_MAX
    step = np.exp2(np.ceil(np.log2(scale, where=scale > 0, out=np.zeros_like(scale))))
    levels = table / step
    on_grid = (np.rint(levels) == levels).all(axis=1, keepdims=True) & (scale > 0)
    bits = np.bitwise_or.reduce(np.abs(levels).astype(np.int64), axis=1, keepdims=True)
    scale = np.where(on_grid, step * (bits & -bits), scale)
    levels = np.divide(table, scale, where=scale > 0, out=np.zeros_like(table))
    return np.rint(levels).astype(np.int8), scale[:, 0]
