"""Checkpoint directory to model: the steps in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sterna.errors import InputError
from sterna.model.calibrate import RANDOM_TOKENS, calibrate
from sterna.model.checkpoint import Checkpoint
from sterna.model.fold import fold
from sterna.model.model import Model
from sterna.model.tokenizer import Tokenizer, read_tokenizer

__all__ = ["convert"]


def convert(
    directory: Path | str,
    calibration: Path | None = None,
    progress: Callable[[str], None] = lambda stage: None,
    limit: int = 0,
) -> Model:
    """Make a model from a checkpoint.

    Parameters
    ----------
    directory : Path
        Published layout: config.json, safetensors, tokenizer.json if there is one.
    calibration : Path, optional
        Text from which binary points are chosen; without one, random tokens.
    progress : callable
        Called with the name of each stage; what follows a comma says how far it is.
    limit : int
        Tokens of the calibration text that are used, 0 for all.
    """
    progress("opening the checkpoint")
    checkpoint = Checkpoint(directory)
    config = checkpoint.config
    text, add_bos = read_tokenizer(directory)
    ids = None
    if calibration is not None:
        if text is None:
            raise InputError(
                f"{directory} has no tokenizer.json, so that {calibration} cannot be read; "
                "leave the calibration text out"
            )
        bos = config.bos if add_bos else None
        ids = Tokenizer(text, bos=bos, vocab=config.shape.vocab).encode(read_text(calibration))
        ids = ids[: limit or None]

    def layers(stage: str) -> Callable[[int], None]:
        return lambda layer: progress(f"{stage}, layer {layer} of {config.shape.layers}")

    ranges = calibrate(checkpoint, ids, progress=layers("calibrating"))
    model = fold(checkpoint, ranges, layers("folding"))
    progress("hashing")
    meta = {
        **model.meta,
        "source": Path(directory).resolve().name,
        "source_sha256": checkpoint.sha256,
        "calibration": calibration.name if calibration else "random tokens",
        "calibration_tokens": RANDOM_TOKENS if ids is None else len(ids),
        "bos": config.bos,
        "eos": list(config.eos),
        "eps": config.eps,
        "add_bos": add_bos,
    }
    return replace(model, tokenizer=text, meta=meta)


def read_text(path: Path) -> str:
    """Read a UTF-8 text file; a missing or undecodable one is an InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} as UTF-8 text: {error}") from error
