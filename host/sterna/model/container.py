"""The `.sterna` file: a model that any chip can be given.

One safetensors file. Trits lie five to the byte, vectors in 16 bits where they fit, and everything
that is not an array is one JSON text in the metadata. The same model gives the same bytes. A
SHA-256 over the whole file, taken with its own 64 digits as zeros, stands in that text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sterna.errors import InputError
from sterna.files import whole_file
from sterna.model.checkpoint import TensorFile
from sterna.model.model import Model, Shape
from sterna.model.outline import Outline, embedding_bits
from sterna.model.packed import PackedTrits
from sterna.spec.program import Op, Stats, Step

__all__ = ["FORMAT", "load", "load_outline", "save"]

T = TypeVar("T")

FORMAT = 1
"""Version of the file format; a file of another version is refused."""

_KEY = "sterna"
_HASH_FIELD = b'content_sha256\\":\\"'
"""What stands before the hash in the header: a JSON text inside a JSON string."""

_NO_HASH = "0" * 64

_DTYPES = {
    "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def save(model: Model, path: Path | str) -> None:
    """Write a model to a file, completely or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    path = Path(path)
    trits = PackedTrits(model.trits)
    tensors = {
        "embedding": _in_order(model.embedding),
        "embedding_scale": model.embedding_scale.astype(np.uint16),
        **{f"trits/{step.name}": trits.packed(step.name) for step in model.steps[1:]},
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
    # The largest elements first, so that every tensor begins at a multiple of its element's size.
    order = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    arrays = {name: tensors[name] for name in order}
    _write(path, _header(arrays, text), list(arrays.values()))


def load(path: Path | str) -> Model:
    """Read a model from a file and check all of it.

    Raises
    ------
    InputError
        If the file is damaged, of another format or not a model at all.
    """
    path = Path(path)
    return _read_whole(path, _open(path, whole=True), _model)


def load_outline(path: Path | str) -> Outline:
    """Read what sizes depend on: header and embedding of a file, not its weights.

    The file's hash is not checked, for that takes all of it.

    Raises
    ------
    InputError
        If the file is incomplete, of another format or not a model at all.
    """
    path = Path(path)
    return _read_whole(path, _open(path, whole=False), _outline)


def _open(path: Path, whole: bool) -> TensorFile:
    """Open a model file; `whole`: check its hash."""
    file = TensorFile(path)
    if _KEY not in file.metadata:
        raise InputError(f"{path} is not a Sterna model; make one with `sterna convert`")
    if whole:
        _check_hash(file)
    return file


def _read_whole(path: Path, file: TensorFile, read: Callable[[TensorFile], T]) -> T:
    """Read something of a file; whatever is missing in it is an InputError."""
    try:
        return read(file)
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


def _fields(file: TensorFile) -> dict[str, Any]:
    """All that is no array; the shape as `Shape`, the steps as `Step`."""
    fields = json.loads(file.metadata[_KEY])
    if fields["format"] != FORMAT:
        raise InputError(
            f"format version {fields['format']} was given and {FORMAT} is expected; convert the "
            "checkpoint again with this version of sterna"
        )
    shape = Shape(**fields["shape"])
    steps = tuple(_step_from_json(step) for step in fields["steps"])
    for part in (shape, *steps):
        _check_types(part)
    if min(dataclasses.astuple(shape)) < 1:
        raise ValueError(f"the shape is {shape}")
    for step in steps:
        if step.rows < 1 or step.columns < 0 or not 0 <= step.layer < shape.layers:
            raise ValueError(f"{step.name} is of layer {step.layer}, {step.rows} x {step.columns}")
    return {**fields, "shape": shape, "steps": steps}


def _check_types(part: Shape | Step) -> None:
    """Check that JSON gave each field a value of its type."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        kinds = {
            "int": type(value) is int,
            "str": isinstance(value, str),
            "str | None": value is None or isinstance(value, str),
            "tuple[int, int]": isinstance(value, tuple) and [type(v) for v in value] == [int, int],
        }
        if not kinds.get(str(field.type), True):
            raise TypeError(f"{field.name} is {value!r}, not {field.type}")


def _outline(file: TensorFile) -> Outline:
    fields = _fields(file)
    bits = embedding_bits(_read(file, "embedding"))
    return Outline(fields["shape"], fields["steps"], bits)


def _model(file: TensorFile) -> Model:
    fields = _fields(file)
    steps = fields["steps"]
    trits = PackedTrits()
    for step in steps[1:]:
        trits.add_packed(step.name, _read(file, f"trits/{step.name}"), (step.rows, step.columns))
    model = Model(
        shape=fields["shape"],
        steps=steps,
        trits=trits,
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
    """Read a tensor of the file."""
    return file.raw(name).view(_DTYPES[file.dtype(name)])[..., 0]


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


def _header(arrays: dict[str, np.ndarray], text: str) -> bytearray:
    """Length and header of a safetensors file of these arrays, padded with spaces to 8 bytes."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {_KEY: text}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        dtype = names[f"<{array.dtype.kind}{array.itemsize}"]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % 8)
    return bytearray(len(content).to_bytes(8, "little") + content)


def _write(path: Path, header: bytearray, arrays: list[np.ndarray]) -> None:
    """Write a file.

    The hash goes into the header last, so that nothing has to be held twice.
    """
    digest = hashlib.sha256(header)
    start = header.index(_HASH_FIELD) + len(_HASH_FIELD)
    with whole_file(path) as file:
        file.write(header)
        for array in arrays:
            digest.update(array.data)
            file.write(array.data)
        file.seek(start)
        file.write(digest.hexdigest().encode())
