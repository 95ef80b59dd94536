"""State files: the whole context of a model, independent of device and chip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sterna.errors import InputError
from sterna.model.model import Model

__all__ = ["load_state", "save_state"]

_KEY = "sterna_state"


def save_state(path: Path, state: np.ndarray, last: int, model: Model) -> None:
    """Write a state, int [layers, width], and the token to step next, which was drawn last."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {_KEY: "1", "model": model.identity, "last": str(last)}
    try:
        save_file({"state": state.astype(np.int16)}, partial, metadata)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def load_state(path: Path, model: Model) -> tuple[np.ndarray, int]:
    """Read a state and the token to step next.

    Raises
    ------
    InputError
        If the file is no state of this model.
    """
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise InputError(f"{path} is not a state; make one with --save-state")
            if metadata["model"] != model.identity:
                raise InputError(f"{path} is the state of another model")
            return file.get_tensor("state").astype(np.int64), int(metadata["last"])
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a state: {error}") from error
