"""State files: the whole context of a model, independent of device and chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sterna.errors import InputError
from sterna.files import whole_file
from sterna.model.model import Model

__all__ = ["load_state", "save_state"]

_KEY = "sterna_state"


def save_state(path: Path, state: np.ndarray, last: int, model: Model) -> None:
    """Write a state, int [layers, width], and the token to step next, which was drawn last."""
    metadata = {_KEY: "1", "model": model.identity, "last": str(last)}
    with whole_file(path) as file:
        file.write(save({"state": state.astype(np.int16)}, metadata))


def load_state(path: Path, model: Model) -> tuple[np.ndarray, int]:
    """Read a state and the token to step next.

    Raises
    ------
    InputError
        If the file is no state of this model.
    """
    shape = (model.shape.layers, model.shape.width)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise InputError(f"{path} is not a state; make one with --save-state")
            if metadata["model"] != model.identity:
                raise InputError(f"{path} is the state of another model")
            state, last = file.get_tensor("state"), int(metadata["last"])
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a state: {error}") from error
    if state.dtype != np.int16 or state.shape != shape:
        raise InputError(f"{path} is not a state: its array is not int16 {list(shape)}")
    return state.astype(np.int64), last
