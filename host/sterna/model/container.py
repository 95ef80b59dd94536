"""The `.sterna` file: a model that any chip can be given.

One safetensors file. Trits lie five to the byte, vectors in 16 bits where they fit, and everything
that is not an array is one JSON text in the metadata. The same model gives the same bytes. A
SHA-256 over the whole file, taken with its own 64 digits as zeros, stands in that text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from sterna.errors import InputError
from sterna.model.checkpoint import TensorFile
from sterna.model.model import Model, Shape
from sterna.spec.program import Op, Stats, Step

__all__ = ["FORMAT", "load", "pack_trits", "save", "unpack_trits"]

FORMAT = 1
"""Version of the file format; a file of another version is refused."""

_TRITS_PER_BYTE = 5
_POWERS = 3 ** np.arange(_TRITS_PER_BYTE)
_BYTE_TRITS = (np.arange(3**_TRITS_PER_BYTE)[:, None] // _POWERS % 3 - 1).astype(np.int8)

_KEY = "sterna"
_HASH_FIELD = b'content_sha256\\":\\"'
"""What stands before the hash in the header: a JSON text inside a JSON string."""

_NO_HASH = "0" * 64

_DTYPES = {
    "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def pack_trits(trits: np.ndarray) -> np.ndarray:
    """Pack trits five to the byte in base 3, the first in the lowest digit; the rest is zeros.

    Parameters
    ----------
    trits : numpy.ndarray
        int8 in {-1, 0, 1}, any shape.

    Returns
    -------
    numpy.ndarray
        uint8 [ceil(size / 5)].
    """
    groups = np.zeros((-(-trits.size // _TRITS_PER_BYTE), _TRITS_PER_BYTE), dtype=np.uint8)
    groups.reshape(-1)[: trits.size] = trits.reshape(-1) + 1
    groups.reshape(-1)[trits.size :] = 1
    packed = groups[:, -1].copy()
    for digit in reversed(range(_TRITS_PER_BYTE - 1)):
        packed = packed * np.uint8(3) + groups[:, digit]
    return packed


def unpack_trits(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo `pack_trits`.

    Returns
    -------
    numpy.ndarray
        int8 of the given shape.

    Raises
    ------
    InputError
        If the bytes are not trits, or not so many.
    """
    size = int(np.prod(shape))
    if packed.shape != (-(-size // _TRITS_PER_BYTE),):
        raise InputError(
            f"{packed.size} bytes of trits were given; {list(shape)} trits take "
            f"{-(-size // _TRITS_PER_BYTE)}"
        )
    if packed.size and packed.max() >= len(_BYTE_TRITS):
        raise InputError(f"{packed.max()} was given where five trits (0 to 242) are expected")
    return _BYTE_TRITS[packed].reshape(-1)[:size].reshape(shape)


def save(model: Model, path: Path | str) -> None:
    """Write a model to a file, completely or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    path = Path(path)
    tensors = {
        "embedding": _in_order(model.embedding),
        "embedding_scale": model.embedding_scale.astype(np.uint16),
        **{f"trits/{step.name}": pack_trits(model.trits[step.name]) for step in model.steps[1:]},
        **{f"vectors/{name}": _narrow(values) for name, values in model.vectors.items()},
        **{f"floats/{name}": _in_order(values) for name, values in model.floats.items()},
    }
    text = json.dumps(
        {
            "content_sha256": _NO_HASH,
            "format": FORMAT,
            "meta": model.meta,
            "shape": dataclasses.asdict(model.shape),
            "steps": [_step_to_json(step) for step in model.steps],
            "tokenizer": model.tokenizer,
        },
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
        default=lambda value: value.item(),  # NumPy scalars
    )
    content = bytearray(safetensors.numpy.save(tensors, {_KEY: text}))
    start = content.index(_HASH_FIELD) + len(_HASH_FIELD)
    content[start : start + 64] = hashlib.sha256(content).hexdigest().encode()
    _write(path, content)


def load(path: Path | str) -> Model:
    """Read a model from a file and check all of it.

    Raises
    ------
    InputError
        If the file is damaged, of another format or not a model at all.
    """
    path = Path(path)
    file = TensorFile(path)
    if _KEY not in file.metadata:
        raise InputError(f"{path} is not a Sterna model; make one with `sterna convert`")
    _check_hash(file)
    try:
        return _model(file)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not hold a whole model ({type(error).__name__}: {error}); "
            "convert the checkpoint again"
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_hash(file: TensorFile) -> None:
    """Compare the content with the hash in its header."""
    start = file.find(_HASH_FIELD) + len(_HASH_FIELD)
    digits = slice(start, start + 64)
    digest = hashlib.sha256()
    file.hash_into(digest, digits)
    if start < len(_HASH_FIELD) or file.header(digits) != digest.hexdigest().encode():
        raise InputError(
            f"{file.path} is damaged: its SHA-256 is not the one in its header; copy it again or "
            "convert the checkpoint again"
        )


def _model(file: TensorFile) -> Model:
    fields = json.loads(file.metadata[_KEY])
    if fields["format"] != FORMAT:
        raise InputError(
            f"format version {fields['format']} was given and {FORMAT} is expected; convert the "
            "checkpoint again with this version of sterna"
        )
    steps = tuple(_step_from_json(step) for step in fields["steps"])
    model = Model(
        shape=Shape(**fields["shape"]),
        steps=steps,
        trits={
            step.name: unpack_trits(_read(file, f"trits/{step.name}"), (step.rows, step.columns))
            for step in steps[1:]
        },
        vectors={
            name: values.astype(np.int64) for name, values in _read_group(file, "vectors/").items()
        },
        embedding=_read(file, "embedding"),
        embedding_scale=_read(file, "embedding_scale").astype(np.int64),
        tokenizer=fields["tokenizer"],
        meta=fields["meta"],
        floats=_read_group(file, "floats/"),
    )
    _check_parts(model)
    return model


def _check_parts(model: Model) -> None:
    """Check that the arrays have the sizes that the steps will use."""
    if not model.steps or model.steps[0].op is not Op.EMBED:
        raise ValueError("the first step is not EMBED")
    vocab, hidden = model.shape.vocab, model.shape.hidden
    if model.embedding.shape != (vocab, hidden) or model.embedding_scale.shape != (vocab,):
        raise ValueError(f"the embedding is {model.embedding.shape}, not {(vocab, hidden)}")
    for step in model.steps:
        for name in filter(None, (step.vector_a, step.vector_b, step.vector_q)):
            if model.vectors[name].ndim != 1:
                raise ValueError(f"{name} is not a vector")
        if step.vector_q and model.vectors[step.vector_q].size != step.columns:
            raise ValueError(f"{step.vector_q} does not have {step.columns} elements")


def _read(file: TensorFile, name: str) -> np.ndarray:
    """Copy a tensor out of the file."""
    return file.raw(name).view(_DTYPES[file.dtype(name)])[..., 0].copy()


def _read_group(file: TensorFile, prefix: str) -> dict[str, np.ndarray]:
    names = sorted(name for name in file.names if name.startswith(prefix))
    return {name.removeprefix(prefix): _read(file, name) for name in names}


def _step_to_json(step: Step) -> dict[str, Any]:
    return {**dataclasses.asdict(step), "op": step.op.name, "stats": step.stats.name}


def _step_from_json(fields: dict[str, Any]) -> Step:
    pairs = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Step(**{**fields, **pairs, "op": Op[fields["op"]], "stats": Stats[fields["stats"]]})


def _narrow(values: np.ndarray) -> np.ndarray:
    """Store integers in the first of int16, uint16 and int32 that holds them all."""
    for dtype in (np.int16, np.uint16):
        limits = np.iinfo(dtype)
        if values.size == 0 or (values.min() >= limits.min and values.max() <= limits.max):
            return values.astype(dtype)
    return values.astype(np.int32)


def _in_order(values: np.ndarray) -> np.ndarray:
    """Lay an array out row by row: safetensors ignores strides and writes the bytes as they lie."""
    return np.asarray(values, order="C")


def _write(path: Path, content: bytearray) -> None:
    """Write a file beside its place, then rename it: a reader sees all of it or the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
