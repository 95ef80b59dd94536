"""Timeline of a chip: what each unit does when, as a file that Perfetto opens.

The file is JSON in Chrome's trace event format. A clock of the chip is shown as a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sterna.model.layout import Image, Segment
from sterna.model.model import Model
from sterna.spec.activity import ACTIVITY, RUNNING
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op

__all__ = ["Watched", "slices", "timeline"]


@runtime_checkable
class Watched(Protocol):
    """A register port behind which every clock can be watched."""

    def watch(self) -> None:
        """Reset all but memories and settings, and write down each clock from now on."""
        ...

    def seen(self) -> np.ndarray:
        """Activity of each clock since then, uint32 [clocks]; watching ends."""
        ...


def timeline(
    activity: np.ndarray, image: Image, model: Model, config: ChipConfig, slots: int = 1
) -> dict:
    """Trace of some clocks from a reset on.

    Parameters
    ----------
    activity : numpy.ndarray
        See `sterna.spec.activity`.
    image : Image
    model : Model
    config : ChipConfig
    slots : int
        Slots that take part in every pass.

    Returns
    -------
    dict
        For `json.dump`.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "chip, 1 us = 1 clock"}}
    ]
    for number, unit in enumerate(ACTIVITY, 1):
        thread = {"ph": "M", "pid": 1, "tid": number}
        events.append({**thread, "name": "thread_name", "args": {"name": unit}})
        events.append({**thread, "name": "thread_sort_index", "args": {"sort_index": number}})
        for start, end, state, segment in slices(activity, unit, image, model, config, slots):
            name = segment if state == "busy" else state
            events.append(
                {
                    "ph": "X", "pid": 1, "tid": number, "ts": start, "dur": end - start,
                    "name": name, "cat": state, "args": {"state": state, "segment": segment},
                }
            )  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def slices(
    activity: np.ndarray,
    unit: str,
    image: Image,
    model: Model,
    config: ChipConfig,
    slots: int = 1,
) -> Iterator[tuple[int, int, str, str]]:
    """Cut a unit's clocks with a token in flight into runs of one state, segment and slot.

    Which segment a unit is at follows from how much of its work it has done. Clocks without a token
    in flight are left out; some tape words pass on them.

    Yields
    ------
    start, end : int
        Clocks; the first clock with a token in flight is 0.
    state, segment : str
    """
    states = ("idle", *ACTIVITY[unit])
    low = sum(len(ACTIVITY[other]) for other in list(ACTIVITY)[: list(ACTIVITY).index(unit)])
    bits = activity[:, None] >> np.arange(low, low + len(states) - 1) & 1
    state = (bits * np.arange(1, len(states))).sum(axis=1)
    names, amounts = zip(*_work(unit, image, model, config, slots), strict=True)
    done = np.cumsum(state == 1) - (state == 1)  # before each clock
    segment = np.searchsorted(np.cumsum(amounts), done % sum(amounts), side="right")
    running = activity >> RUNNING & 1 == 1
    state, segment = state[running], segment[running]
    changes = np.flatnonzero((np.diff(state) != 0) | (np.diff(segment) != 0)) + 1
    bounds = [0, *changes.tolist(), len(state)]
    for start, end in pairwise(bounds):
        if start < end:
            yield start, end, states[state[start]], names[segment[start]]


def _work(
    unit: str, image: Image, model: Model, config: ChipConfig, slots: int
) -> Iterator[tuple[str, int]]:
    """Yield the segments of a pass as the unit meets them, each with its busy clocks."""
    if unit == "tape":
        yield from _tape(image.segments, len(image.tape), model, slots)
        return
    for segment in image.segments:
        header = segment.header
        embed = header.op is Op.EMBED
        beats = -(-header.rows // config.elements)
        sums = -(-header.groups * config.rows // config.elements)
        amount = {
            "engine": 0 if embed else segment.words,
            "quantizer": 0 if embed else header.blocks * config.columns // config.elements,
            "epilogue": beats if embed else sums,
            "sampler": beats if header.op is Op.LOGITS else 0,
        }[unit]
        if amount:
            yield from [(model.steps[segment.step].name, amount)] * slots


def _tape(
    segments: Sequence[Segment], length: int, model: Model, slots: int
) -> Iterator[tuple[str, int]]:
    """Yield what lies on the tape, in order: headers, and words as often as there are slots."""
    words = ((s.first_word, s.words, model.steps[s.step].name) for s in segments if s.words)
    position = 0
    for first, count, name in chain(words, [(length, 0, "")]):
        if first > position:
            yield "headers", first - position
        if count:
            yield from [(name, count)] * slots
        position = first + count
