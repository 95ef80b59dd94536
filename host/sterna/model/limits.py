"""How far a number may go in the integer model before it is clamped."""

from __future__ import annotations

from sterna.model.model import Model
from sterna.spec.fixed import PRE_BITS, RESIDUAL_BITS, SCRATCH_BITS, STATE_BITS
from sterna.spec.program import Op, Step

__all__ = ["limits"]

_RESULT_BITS = {
    Op.SILU: SCRATCH_BITS,
    Op.STATE: STATE_BITS,
    Op.GATE: SCRATCH_BITS,
    Op.PRODUCT: SCRATCH_BITS,
    Op.RESIDUAL: RESIDUAL_BITS,
    Op.LOGITS: PRE_BITS,
}

_RESULTS = {
    "i_proj": "silu_i",
    "f_proj": "h",
    "g_proj": "z.o",
    "o_proj": "residual.o",
    "gate": "silu_u",
    "up": "z.down",
    "down_proj": "residual.down",
}
"""What `sterna.model.calibrate` calls the result of a step."""

_PRE_ACTIVATIONS = {"i_proj": "y.i", "f_proj": "y.f", "gate": "y.u"}
"""Pre-activations that go into the sigmoid, whose binary point a step tells."""


def limits(model: Model) -> dict[str, float]:
    """Largest magnitude that each value can have, by the names of `calibrate`, in program order."""
    found: dict[str, float] = {}
    for step in model.steps[1:]:
        layer, _, name = step.name.rpartition(".")
        if name in _PRE_ACTIVATIONS:
            found[f"{layer}.{_PRE_ACTIVATIONS[name]}"] = _limit(PRE_BITS, step.sigmoid_shift + 4)
        found[f"{layer}.{_RESULTS[name]}" if layer else "logits"] = _result(step)
    return found


def _result(step: Step) -> float:
    return _limit(_RESULT_BITS[step.op], step.fraction)


def _limit(bits: int, fraction: int) -> float:
    return ((1 << (bits - 1)) - 1) * 2.0**-fraction
