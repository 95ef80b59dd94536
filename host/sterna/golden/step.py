"""One pass over the program: token in, logits and new state out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sterna.golden import embedding, engine, epilogue, quantizer, scale, statistics
from sterna.golden.epilogue import Counters
from sterna.model.model import Model
from sterna.spec.program import Op, Source, Stats, Step

__all__ = ["Golden", "Trace"]

Trace = Callable[[int, Step, dict[str, np.ndarray]], None]
"""Called after each step with its number, the step and its intermediate vectors [T, ...]."""


class Golden:
    """The golden model of a whole chip.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    state : numpy.ndarray
        int64 [layers, width], zero at the start.
    counters : Counters
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.state = np.zeros((model.shape.layers, model.shape.width), dtype=np.int64)
        self.counters = Counters()
        self._trits = dict(model.trits)  # unpacked once, a byte each

    def run(self, tokens: np.ndarray, trace: Trace | None = None) -> np.ndarray:
        """Step the tokens [T] one after the other; return the logits after each, int64 [T, V].

        Positions are computed side by side except in the recurrence: the same numbers as token by
        token.
        """
        bank = _Banks(len(tokens))
        for number, step in enumerate(self.model.steps):
            values = self._step(step, np.asarray(tokens), bank)
            if trace:
                trace(number, step, values)
        self.counters.tokens += len(tokens)
        self.counters.segments += len(tokens) * len(self.model.steps)
        return bank.logits

    def _vector(self, name: str | None) -> np.ndarray | None:
        return None if name is None else self.model.vectors[name]

    def _step(self, step: Step, tokens: np.ndarray, bank: _Banks) -> dict[str, np.ndarray]:
        values: dict[str, np.ndarray] = {}
        if step.op is Op.EMBED:
            row_sum, mantissa = embedding.row(
                self.model.embedding, self.model.embedding_scale, tokens
            )
            shift = np.full_like(mantissa, -step.scale[1])
        else:
            activations = self._quantise(step, bank)
            row_sum = engine.row_sums(activations, self._trits[step.name])
            mantissa, shift = self._scale(step, bank)
            values["q"] = activations
        y = epilogue.pre_activation(row_sum, mantissa, shift, self.counters)
        values |= {"row_sum": row_sum, "mantissa": mantissa, "shift": shift, "y": y}
        self._epilogue(step, y, bank)
        values |= {"x": bank.x, "scratch": bank.scratch, "h": bank.h}
        return values

    def _quantise(self, step: Step, bank: _Banks) -> np.ndarray:
        source = bank.scratch if step.source is Source.SCRATCH else bank.x
        w12 = self.model.vectors[step.vector_q or ""]
        if step.stats is Stats.MAXIMUM:
            bank.statistics.largest = statistics.largest_product(source, w12)
        if step.stats is Stats.FRESH:
            bank.roots = [
                scale.inverse_root(scale.denominator(*sums, step.eps, step.eps_constant))
                for sums in zip(bank.statistics.sum1, bank.statistics.sum2, strict=True)
            ]
        return quantizer.quantise(source, w12, bank.statistics.largest)

    def _scale(self, step: Step, bank: _Banks) -> tuple[np.ndarray, np.ndarray]:
        scales = [
            scale.output_scale(largest, root, step.scale)
            for largest, root in zip(bank.statistics.largest, bank.roots, strict=True)
        ]
        pairs = np.array(scales, dtype=np.int64)
        return pairs[:, :1], pairs[:, 1:]

    def _epilogue(self, step: Step, y: np.ndarray, bank: _Banks) -> None:
        second: np.ndarray | None = None
        match step.op:
            case Op.EMBED:
                bank.x = epilogue.residual(y, np.zeros_like(y), 0, self.counters)
                second = bank.x
            case Op.SILU:
                bank.scratch = epilogue.silu(y, step.sigmoid_shift, step.out_shift, self.counters)
            case Op.STATE:
                lower_bound = self._vector(step.vector_a)
                bank.h = epilogue.state(
                    y,
                    self.state[step.layer],
                    bank.scratch,
                    0 if lower_bound is None else lower_bound,
                    step.sigmoid_shift,
                    step.out_shift,
                    self.counters,
                )
                self.state[step.layer] = bank.h[-1]
            case Op.GATE:
                bank.scratch = epilogue.gate(
                    y, bank.h, step.sigmoid_shift, step.out_shift, self.counters
                )
                second = y
            case Op.PRODUCT:
                bank.scratch = epilogue.product(y, bank.scratch, step.out_shift, self.counters)
            case Op.RESIDUAL:
                bank.x = epilogue.residual(y, bank.x, step.residual_shift, self.counters)
                second = bank.x
            case Op.LOGITS:
                bank.logits = y
        if step.op.gathers:
            w1, w12 = self._vector(step.vector_a), self._vector(step.vector_b)
            assert w12 is not None
            target = bank.scratch if step.op in (Op.GATE, Op.PRODUCT) else bank.x
            bank.statistics = statistics.statistics(target, w1, w12, second)


class _Banks:
    """The SRAM banks of one pass, [T, ...]."""

    def __init__(self, positions: int) -> None:
        empty = np.zeros((positions, 0), dtype=np.int64)
        self.x = self.scratch = self.h = self.logits = empty
        self.statistics = statistics.Statistics([], [], [])
        self.roots: list[tuple[int, int]] = []
