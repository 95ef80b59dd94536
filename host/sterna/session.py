"""Many sequences on one device: sessions that take turns in a chip's slots."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sterna.device.batch import Part, batch
from sterna.device.chip import ChipDevice
from sterna.device.device import Device, Sampling, check_tokens
from sterna.errors import InputError

__all__ = ["Session", "run"]

_QUANTUM = 64
"""Tokens that a session draws before another one may have its slot."""


@dataclass
class Session:
    """A sequence of its own.

    Attributes
    ----------
    prompt : list of int
        Stepped first.
    count : int
        Tokens to draw, 1 or more; fewer after a stop token.
    sampling : Sampling
    state : numpy.ndarray, optional
        int64 [layers, width], where it goes on from; by default from the beginning. After `run` the
        state after all but the last of the tokens drawn.
    drawn : list of int
        Tokens drawn so far.
    """

    prompt: list[int]
    count: int
    sampling: Sampling = field(default_factory=Sampling)
    state: np.ndarray | None = None
    drawn: list[int] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all tokens have been drawn."""
        stopped = bool(self.drawn) and self.drawn[-1] in self.sampling.stop
        return stopped or len(self.drawn) >= self.count


def run(
    device: Device, sessions: Sequence[Session], quantum: int = _QUANTUM
) -> Iterator[tuple[int, int]]:
    """Draw the tokens of all sessions; yield the number of a session and its next token.

    A chip serves as many sessions in each pass over its tape as it has slots. If there are more,
    each leaves its slot after `quantum` tokens, and its state waits on the host. If the chip can't
    draw among the `top_k` of one, the host draws for all, one after the other. A session's tokens
    do not depend on the others, nor on the device. The device's own `state` is undefined after it.

    Raises
    ------
    InputError
        If a session has no prompt, a token that the model lacks, or nothing to draw.
    """
    model = device.model
    for session in sessions:
        check_tokens(session.prompt, model)
        session.sampling.chip_temperature(model)
        if session.count < 1:
            raise InputError(f"a session must draw 1 token or more, not {session.count}")
        if session.state is None:
            session.state = np.zeros((model.shape.layers, model.shape.width), dtype=np.int64)
    return (
        _rounds(device, sessions, quantum)
        if isinstance(device, ChipDevice)
        and all(session.sampling.top_k <= device.config.top_k for session in sessions)
        else _one_by_one(device, sessions)
    )


def _rounds(
    device: ChipDevice, sessions: Sequence[Session], quantum: int
) -> Iterator[tuple[int, int]]:
    slots = device.config.slots
    waiting = deque(number for number, session in enumerate(sessions) if not session.done)
    while waiting:
        numbers = [waiting.popleft() for _ in range(min(slots, len(waiting)))]
        parts = []
        for number in numbers:
            session = sessions[number]
            assert session.state is not None
            parts.append(
                Part(
                    tokens=session.drawn[-1:] or session.prompt,
                    count=min(quantum, session.count - len(session.drawn)),
                    sampling=session.sampling,
                    draws=len(session.drawn),
                    state=session.state,
                )
            )
        for place, token in batch(device, parts):
            sessions[numbers[place]].drawn.append(token)
            yield numbers[place], token
        for number, part in zip(numbers, parts, strict=True):
            sessions[number].state = part.state
            if not sessions[number].done:
                waiting.append(number)


def _one_by_one(device: Device, sessions: Sequence[Session]) -> Iterator[tuple[int, int]]:
    for number, session in enumerate(sessions):
        assert session.state is not None
        device.state = session.state
        for token in device.generate(session.prompt, session.count, session.sampling):
            session.drawn.append(token)
            yield number, token
        session.state = device.state
