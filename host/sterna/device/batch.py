"""Several sequences side by side in the slots of a chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sterna.device.chip import ChipDevice
from sterna.device.device import Sampling
from sterna.device.operations import Operation, write
from sterna.errors import DeviceError, InputError, LinkReset
from sterna.spec.registers import (
    LAST,
    MORE,
    SLOT_SHIFT,
    SOURCE_SHIFT,
    STOPS,
    VALID,
    Control,
)
from sterna.spec.xorshift import next_draw

__all__ = ["Part", "batch"]

_AHEAD = 8
"""TOKEN words that are offered at a time; in between tokens drawn are taken."""

_RESETS = 20
"""Resets after which a device is given up."""


@dataclass
class Part:
    """One sequence's share of a batch.

    Attributes
    ----------
    tokens : list of int
        Stepped first, one a pass.
    count : int
        Tokens to draw then, 1 to 65535.
    sampling : Sampling
        All parts of a batch must have the same stop tokens.
    draws : int
        Tokens that were drawn with this sampling before.
    state : numpy.ndarray
        Before the first token; after the batch, after all but the last token drawn.
    """

    tokens: list[int]
    count: int
    sampling: Sampling
    draws: int
    state: np.ndarray

    @property
    def seed(self) -> int:
        """State of the draw generator."""
        state = self.sampling.chip_seed()
        for _ in range(self.draws):
            state = next_draw(state)
        return state


def batch(device: ChipDevice, parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """Step and draw the parts, part k in slot k; yield the part's number and each token drawn.

    One pass over the tape serves all parts that still have something to do. After a reset the batch
    is done again from its beginning; tokens that were given before are not given again.

    Raises
    ------
    InputError
        If there are more parts than slots, stop tokens differ or are too many, or the chip can't
        draw among `top_k`.
    """
    stops = parts[0].sampling.stop
    if len(parts) > device.config.slots:
        raise InputError(f"the chip has {device.config.slots} slots, not {len(parts)}")
    if any(part.sampling.stop != stops for part in parts):
        raise InputError("sequences that run side by side must have the same stop tokens")
    if len(stops) > STOPS:
        raise InputError(f"a chip knows {STOPS} stop tokens, not {len(stops)}")
    if any(part.sampling.top_k > device.config.top_k for part in parts):
        raise InputError(f"the chip can draw among its {device.config.top_k} largest logits")
    given = [0] * len(parts)
    for _ in range(_RESETS):
        try:
            device.become_current()
            _set_up(device, parts)
            drawn = [0] * len(parts)
            for place, token in _run(device, parts):
                drawn[place] += 1
                if drawn[place] > given[place]:
                    given[place] += 1
                    yield place, token
            states = [device.read_slot(slot) for slot in range(len(parts))]
        except LinkReset:
            device.forget()
        except BaseException:
            device.forget()
            raise
        else:
            for part, state in zip(parts, states, strict=True):
                part.state = state
            return
    raise DeviceError("the device is being reset again and again; see to its power supply")


def _set_up(device: ChipDevice, parts: Sequence[Part]) -> None:
    """States, and what belongs to each slot."""
    stops = parts[0].sampling.stop
    words = [token | VALID for token in stops] + [0] * (STOPS - len(stops))
    operations: list[Operation] = [write(f"STOP_{n}", word) for n, word in enumerate(words)]
    for slot, part in enumerate(parts):
        device.write_slot(slot, part.state)
        operations += [
            write("SLOT", slot),
            write("TEMPERATURE", part.sampling.chip_temperature(device.model)),
            write("TOP_K", part.sampling.top_k),
            write("COUNT", part.count),
            write("SEED_LOW", part.seed & 0xFFFFFFFF),
            write("SEED_HIGH", part.seed >> 32),
            write("CONTROL", 1 << Control.LOAD_SEED),
        ]
    device.port.execute(operations)


def _words(parts: Sequence[Part]) -> np.ndarray:
    """TOKEN words: pass by pass the next token of each part that has one."""
    words = []
    for step in range(max(len(part.tokens) for part in parts)):
        group = [
            part.tokens[step]
            | (slot << SLOT_SHIFT | slot << SOURCE_SHIFT)
            | MORE
            | (VALID if step == len(part.tokens) - 1 else 0)
            for slot, part in enumerate(parts)
            if step < len(part.tokens)
        ]
        group[-1] &= ~MORE
        words += group
    return np.array(words, dtype="<u4")


def _run(device: ChipDevice, parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """Give the tokens and take those drawn, in turns: a chip that can't give takes no more."""
    words, busy = _words(parts), set(range(len(parts)))
    device.expect_results()
    while busy:
        if len(words):
            words = words[device.port.offer(write("TOKEN", words[:_AHEAD])) :]
        for word in device.poll("GENERATED", 16):
            slot = word >> SLOT_SHIFT & 7
            if word & LAST:
                busy.discard(slot)
            yield slot, word & (1 << SLOT_SHIFT) - 1
    device.wait_idle()
