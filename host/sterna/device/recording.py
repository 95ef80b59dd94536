"""Recordings: what a device was asked and what it answered, and a device that answers from one.

A recording is a text file of JSON objects, one a line: first what was recorded, then each call with
its result. Arrays are base64 of little-endian int16.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from sterna.device.device import Device, Sampling, check_tokens
from sterna.errors import DeviceError, InputError
from sterna.model.model import Model
from sterna.spec.chip import ChipConfig

__all__ = ["Recorder", "Replay"]

T = TypeVar("T")

_FORMAT = "sterna recording"
_VERSION = 2


def _encode(array: np.ndarray) -> dict[str, Any]:
    data = np.ascontiguousarray(array, dtype="<i2").tobytes()
    return {"shape": list(np.shape(array)), "int16": base64.b64encode(data).decode()}


def _decode(value: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(value["int16"]), dtype="<i2")
    return flat.reshape(shape).astype(np.int64)


class Recorder:
    """Hand everything on to a device and write it down.

    Parameters
    ----------
    device : Device
        Closed by whoever opened it.
    model : Model
    file : BinaryIO
    """

    def __init__(self, device: Device, model: Model, file: BinaryIO) -> None:
        self.device, self.model, self._file = device, model, file
        self.label, self.config, self.clock_hz = device.label, device.config, device.clock_hz
        self._write(
            format=_FORMAT,
            version=_VERSION,
            device=device.label,
            model=model.identity,
            config=device.config.to_dict() if device.config else None,
            clock_hz=device.clock_hz,
        )

    def _write(self, **values: Any) -> None:
        self._file.write(json.dumps(values).encode() + b"\n")

    @property
    def state(self) -> np.ndarray:
        """The device's state."""
        state = self.device.state
        self._write(call="state", result=_encode(state))
        return state

    @state.setter
    def state(self, state: np.ndarray) -> None:
        self.device.state = state
        self._write(call="set state", state=_encode(state))

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the logits after each."""
        result = self.device.logits(tokens)
        self._write(call="logits", tokens=list(tokens), result=_encode(result))
        return result

    def best(self, tokens: Sequence[int], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the tokens; return the largest logits after each."""
        found, logits = self.device.best(tokens, k)
        result = {"tokens": found.tolist(), "logits": _encode(logits)}
        self._write(call="best", tokens=list(tokens), k=k, result=result)
        return found, logits

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Step the tokens; return the log-probability of each one's target."""
        result = self.device.log_probabilities(tokens, targets)
        self._write(
            call="log-probabilities",
            tokens=list(tokens),
            targets=list(targets),
            result=result.tolist(),
        )
        return result

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Step the prompt, then draw tokens; written down when it ends."""
        drawn: list[int] = []
        try:
            for token in self.device.generate(prompt, count, sampling):
                drawn.append(token)
                yield token
        finally:
            self._write(
                call="generate",
                prompt=list(prompt),
                count=count,
                sampling=asdict(sampling),
                result=drawn,
            )

    def counters(self) -> dict[str, int]:
        """The device's counters."""
        result = self.device.counters()
        self._write(call="counters", result=result)
        return result

    def close(self) -> None:
        """Nothing to free."""


class Replay:
    """Answer as a recorded device did, if it is asked the same.

    Parameters
    ----------
    path : Path
    model : Model

    Raises
    ------
    InputError
        If the file is no recording, or one of another model.
    """

    def __init__(self, path: Path, model: Model) -> None:
        self._path, self.model = path, model
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            head, *self._calls = [dict(json.loads(line)) for line in lines]
            if (head["format"], head["version"]) != (_FORMAT, _VERSION):
                raise ValueError
            self.label = f"recording of {head['device']}"
            self.config = ChipConfig.from_dict(head["config"]) if head["config"] else None
            self.clock_hz, identity = head["clock_hz"], head["model"]
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a recording; make one with --record") from error
        if identity != model.identity:
            raise InputError(f"{path} was recorded with another model")
        self._position = 0

    def _next(self, call: str, take: Callable[[Any], T], **asked: Any) -> T:
        """Return what `take` makes of the result of the next call, if it was this one."""
        if self._position == len(self._calls):
            raise DeviceError(f"{self._path} ends before this call of {call}")
        recorded = self._calls[self._position]
        if any(recorded.get(name) != value for name, value in {"call": call, **asked}.items()):
            raise DeviceError(
                f"{self._path}, call {self._position + 1}: what was recorded is another call of "
                f"{recorded.get('call')}, not this one of {call}; ask for the same as then"
            )
        self._position += 1
        try:
            return take(recorded.get("result"))
        except (AttributeError, InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self._path}, call {self._position}: the result is damaged; record it again"
            ) from error

    @property
    def state(self) -> np.ndarray:
        """The state that was read."""
        shape = (self.model.shape.layers, self.model.shape.width)
        return self._next("state", lambda result: _decode(result, shape))

    @state.setter
    def state(self, state: np.ndarray) -> None:
        self._next("set state", lambda result: None, state=_encode(state))

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits after the tokens."""
        check_tokens(tokens, self.model)
        shape = (len(tokens), self.model.shape.vocab)
        return self._next("logits", lambda result: _decode(result, shape), tokens=list(tokens))

    def best(self, tokens: Sequence[int], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest logits after the tokens."""
        check_tokens(tokens, self.model)
        shape = (len(tokens), min(k, self.model.shape.vocab))

        def take(result: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
            found = np.array(result["tokens"], dtype=np.int64).reshape(shape)
            return found, _decode(result["logits"], shape)

        return self._next("best", take, tokens=list(tokens), k=k)

    def log_probabilities(self, tokens: Sequence[int], targets: Sequence[int]) -> np.ndarray:
        """Return the log-probabilities of the targets."""
        check_tokens(tokens, self.model)

        def take(result: list[int]) -> np.ndarray:
            return np.array(result, dtype=np.int64).reshape(len(tokens))

        asked = {"tokens": list(tokens), "targets": list(targets)}
        return self._next("log-probabilities", take, **asked)

    def generate(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Iterator[int]:
        """Yield the tokens that were drawn."""
        check_tokens(prompt, self.model)
        values = {**asdict(sampling), "stop": list(sampling.stop)}

        def drawn(result: list[int]) -> list[int]:
            check_tokens(result, self.model)
            return result

        asked = {"prompt": list(prompt), "count": count, "sampling": values}
        yield from self._next("generate", drawn if count else list, **asked)

    def counters(self) -> dict[str, int]:
        """Return the counters that were read."""

        def take(result: dict[str, int]) -> dict[str, int]:
            known = {name: int(value) for name, value in result.items()}
            if not {"tokens", "saturations"} <= known.keys():
                raise ValueError
            return known

        return self._next("counters", take)

    def close(self) -> None:
        """Nothing to free."""
