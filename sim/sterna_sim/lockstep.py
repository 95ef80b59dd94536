"""Lock-step: the compiled chip beside the golden model, compared at every unit boundary.

After each token the chip's probe events are set against what the golden model computed. The first
difference in the order of the data path is named: token, segment, row, unit and both values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from sterna.device.chip import passes
from sterna.golden.step import Golden
from sterna.model.layout import Image, Segment
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import (
    PRE_BITS,
    RESIDUAL_BITS,
    SCALE_BITS,
    SCRATCH_BITS,
    STATE_BITS,
)
from sterna.spec.program import Op, Step
from sterna.spec.registers import MORE, SLOT_SHIFT, SOURCE_SHIFT
from sterna_sim.compiled.chip import CompiledChip
from sterna_sim.compiled.probes import PROBES

__all__ = ["Difference", "Lockstep"]

_BANK = {
    Op.EMBED: "residual",
    Op.RESIDUAL: "residual",
    Op.SILU: "scratch",
    Op.GATE: "scratch",
    Op.PRODUCT: "scratch",
    Op.STATE: "state",
    Op.LOGITS: "logits",
}
"""Probe on which an operation's results appear."""

_RESULT = {"residual": "x", "scratch": "scratch", "state": "h", "logits": "y"}
"""Golden vector of each of those probes."""

_Trace = dict[int, dict[str, np.ndarray]]
"""Vectors of one token, by step and name."""

_UNIT = {probe.name: probe.unit for probe in PROBES}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where chip and golden model disagree."""

    token: int
    segment: int
    name: str
    unit: str
    probe: str
    row: int
    golden: int | None
    chip: int | None

    def __str__(self) -> str:
        return (
            f"token {self.token}, segment {self.segment} ({self.name}), {self.unit}: "
            f"{self.probe}[{self.row}] is {self.chip} on the chip, "
            f"{self.golden} in the golden model"
        )


class Lockstep:
    """Compare a chip with the golden model token by token.

    Parameters
    ----------
    chip : CompiledChip
        Loaded with `image`.
    golden : Golden
        With the same state as the chip's last slot.
    model : Model
    image : Image
    """

    def __init__(self, chip: CompiledChip, golden: Golden, model: Model, image: Image) -> None:
        self.chip, self.golden, self.model, self.image = chip, golden, model, image
        self.config: ChipConfig = chip.config
        self.tokens = 0

    def step(self, *tokens: int) -> Difference | None:
        """Step consecutive tokens in one pass on both; return the first difference."""
        words = passes(tokens, len(tokens), self.config.slots)
        return self._pass(words, _trace(self.golden, tokens))

    def batch(self, tokens: Mapping[int, int], goldens: Mapping[int, Golden]) -> Difference | None:
        """Step a token in each of some slots, whose states are those of their golden models."""
        slots = sorted(tokens)
        traces = [_trace(goldens[slot], [tokens[slot]])[0] for slot in slots]
        words = [
            tokens[slot] | slot << SLOT_SHIFT | slot << SOURCE_SHIFT | (slot != slots[-1]) * MORE
            for slot in slots
        ]
        return self._pass(np.array(words, dtype=np.uint32), traces)

    def _pass(self, words: np.ndarray, traces: list[_Trace]) -> Difference | None:
        """Let the chip do a pass and compare it with what each of its slots should do."""
        self.chip.events()
        self.chip.record(True)
        self.chip.write_all("TOKEN", words)
        self.chip.idle()
        self.chip.record(False)
        streams = self._decode(self.chip.events())
        position = dict.fromkeys(streams, 0)
        for (number, segment), trace in product(enumerate(self.image.segments), traces):
            for probe, expected in self._expected(segment, trace[segment.step]):
                found = streams[probe][position[probe] : position[probe] + len(expected)]
                position[probe] += len(expected)
                row = _first_difference(expected, found)
                if row is not None:
                    return Difference(
                        self.tokens,
                        number,
                        self.model.steps[segment.step].name,
                        _UNIT[probe],
                        probe,
                        row + (segment.header.row if probe in _RESULT else 0),
                        int(expected[row]) if row < len(expected) else None,
                        int(found[row]) if row < len(found) else None,
                    )
        for probe, values in streams.items():
            if probe != "token" and len(values) > position[probe]:
                return Difference(
                    self.tokens, len(self.image.segments), "end of token", _UNIT[probe], probe, 0,
                    None, int(values[position[probe]]),
                )  # fmt: skip
        self.tokens += len(traces)
        return None

    def _expected(
        self, segment: Segment, values: dict[str, np.ndarray]
    ) -> list[tuple[str, np.ndarray]]:
        """Golden values of one segment for each probe, padded as the chip pads them."""
        header, config = segment.header, self.config
        rows = slice(header.row, header.row + header.rows)
        result = []
        if header.op is not Op.EMBED:
            result.append(("activations", _pad(values["q"], header.blocks * config.columns)))
            result.append(("scale", np.concatenate([values["mantissa"], values["shift"]])))
            sums = -(-header.groups * config.rows // config.elements) * config.elements
            result.append(("sums", _pad(values["row_sum"][rows], sums)))
        probe = _BANK[header.op]
        words = -(-header.rows // config.elements) * config.elements
        result.append((probe, _pad(values[_RESULT[probe]][rows], words)))
        return result

    def _decode(self, events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Probe events as one flat array of integers each."""
        elements = self.config.elements
        bits = {
            "activations": 8,
            "sums": self.config.row_sum_bits,
            "residual": RESIDUAL_BITS,
            "scratch": SCRATCH_BITS,
            "state": STATE_BITS,
            "logits": PRE_BITS,
        }
        result = {name: _elements(events[name], width, elements) for name, width in bits.items()}
        scale = events["scale"][:, 0].astype(np.int64)
        pairs = [scale & (1 << SCALE_BITS) - 1, scale >> SCALE_BITS]
        result["scale"] = np.stack(pairs, axis=1).reshape(-1)
        result["token"] = events["token"][:, 0].astype(np.int64) & (1 << self.config.token_bits) - 1
        return result


def _trace(golden: Golden, tokens: Sequence[int]) -> list[_Trace]:
    """What the golden model computes in each step, for each token."""
    traces: list[_Trace] = [{} for _ in tokens]

    def keep(number: int, _step: Step, values: dict[str, np.ndarray]) -> None:
        for position, trace in enumerate(traces):
            trace[number] = {
                name: np.array(value[position]) for name, value in values.items() if len(value)
            }

    golden.run(np.array(tokens), keep)
    return traces


def _elements(pieces: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The lowest `count` signed elements of each event, flat."""
    if len(pieces) == 0:
        return np.empty(0, dtype=np.int64)
    raw = np.unpackbits(pieces.astype("<u4").view(np.uint8), axis=1, bitorder="little")
    raw = raw[:, : bits * count].reshape(-1, bits).astype(np.int64)
    weights = np.int64(1) << np.arange(bits)
    weights[-1] = -weights[-1]
    return raw @ weights


def _pad(values: np.ndarray, length: int) -> np.ndarray:
    padded = np.zeros(max(length, len(values)), dtype=np.int64)
    padded[: len(values)] = values
    return padded


def _first_difference(expected: np.ndarray, found: np.ndarray) -> int | None:
    length = min(len(expected), len(found))
    wrong = np.flatnonzero(expected[:length] != found[:length])
    if len(wrong):
        return int(wrong[0])
    return length if len(expected) != len(found) else None
