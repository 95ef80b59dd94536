"""Read a Hugging Face checkpoint of a MatMul-free language model (`model_type: hgrn_bit`).

Everything that can be checked without reading weights is checked when the checkpoint is opened:
the configuration, the headers of all weight files, the names, shapes and dtypes of all tensors.
Weights are then read one tensor at a time, so that a model of any size needs the memory of its
largest tensor. (A memory map would count every page that was ever read as memory in use.)
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sterna.errors import InputError
from sterna.model.model import Shape

__all__ = ["Checkpoint", "ModelConfig", "TensorFile", "read_json"]

MODEL_TYPE = "hgrn_bit"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

HEADER_LIMIT = 100_000_000
"""Longest safetensors header in bytes, as the format defines it."""

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
"""Size of an element of each dtype of the safetensors format whose size is whole bytes."""

WEIGHT_DTYPES = ("F32", "F16", "BF16")

_HASH_BYTES = 1 << 24
"""Bytes that are hashed at once."""

IGNORED_PREFIXES = ("model.", "lm_head.")
"""Unknown tensors outside these names (a trainer's leftovers) cannot belong to the network."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the forward pass needs to know from `config.json`.

    Attributes
    ----------
    shape : Shape
    eps : float
        rms_norm_eps: of the norms outside the BitLinear layers only.
    use_lower_bound : bool
        Whether forget gates are bounded from below by `model.lower_bounds`.
    tied : bool
        The head is the ternarised embedding; the checkpoint holds no `lm_head.weight`.
    expand_ratio : float
        State width over hidden size, as given; `shape.width` is what counts.
    heads : int
        Without numerical effect.
    bos : int or None
        Token that starts a text.
    eos : tuple of int
        Tokens that end a text.
    """

    shape: Shape
    eps: float
    use_lower_bound: bool
    tied: bool
    expand_ratio: float
    heads: int
    bos: int | None
    eos: tuple[int, ...]

    @classmethod
    def from_json(cls, fields: dict[str, Any], path: Path) -> ModelConfig:
        """Read and check the fields of `config.json`; absent ones have the reference's defaults.

        Raises
        ------
        InputError
            If a field has no usable value, or names a variant that the reference itself cannot run.
        """
        return _ConfigReader(fields, path).config()


class Checkpoint:
    """A checkpoint directory, opened and checked.

    Parameters
    ----------
    directory : Path or str
        Holds `config.json` and `model.safetensors`, or shards with `model.safetensors.index.json`.

    Attributes
    ----------
    directory : Path
    config : ModelConfig
    ignored : tuple of str
        Names of tensors in the files that the network does not use.

    Raises
    ------
    InputError
        If the directory does not hold a complete, consistent checkpoint that the reference can run.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        if not self.directory.is_dir():
            raise InputError(
                f"{directory} is not a directory; give the directory of a checkpoint, with its "
                f"config.json and {WEIGHTS}"
            )
        config_path = self.directory / "config.json"
        if not config_path.is_file():
            raise InputError(
                f"{directory} has no config.json; give the directory of a Hugging Face checkpoint"
            )
        self.config = ModelConfig.from_json(read_json(config_path), config_path)
        self._files = self._open_files()
        self.ignored = self._check_tensors()

    def tensor(self, name: str) -> np.ndarray:
        """Read one tensor.

        Returns
        -------
        numpy.ndarray
            float32, in the tensor's shape; a copy.

        Raises
        ------
        InputError
            If there is no such tensor or a value is not finite.
        """
        if name not in self._files:
            raise InputError(f"{self.directory} has no tensor {name}")
        values = _to_float32(self._files[name].raw(name), self._files[name].dtype(name))
        if not np.isfinite(values).all():
            raise InputError(
                f"{name} in {self._files[name].path} contains NaN or infinity, so that it is "
                "damaged or its training diverged; download it again or take another checkpoint"
            )
        return values

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of the weight file, or of all shards one after the other, by name."""
        digest = hashlib.sha256()
        for file in sorted(set(self._files.values()), key=lambda file: file.path.name):
            file.hash_into(digest)
        return digest.hexdigest()

    def _open_files(self) -> dict[str, TensorFile]:
        """Open all weight files; return the file of each tensor."""
        single, index_path = self.directory / WEIGHTS, self.directory / INDEX
        if single.is_file():
            file = TensorFile(single)
            return dict.fromkeys(file.names, file)
        if not index_path.is_file():
            torch_weights = any(self.directory.glob("pytorch_model*.bin"))
            advice = "; convert its pytorch_model.bin to safetensors first" * torch_weights
            raise InputError(f"{self.directory} has neither {WEIGHTS} nor {INDEX}{advice}")
        weight_map = read_json(index_path).get("weight_map")
        if (
            not isinstance(weight_map, dict)
            or not weight_map
            or not all(isinstance(shard, str) for shard in weight_map.values())
        ):
            raise InputError(f"{index_path} has no weight_map from tensor names to file names")
        shards = {name: self._open_shard(name) for name in sorted(set(weight_map.values()))}
        files = {tensor: shard for shard in shards.values() for tensor in shard.names}
        for tensor, shard_name in weight_map.items():
            if tensor not in shards[shard_name].names:
                raise InputError(
                    f"{INDEX} says that {tensor} is in {shard_name}, which does not hold it; "
                    "copy index and shards from the same checkpoint"
                )
            files[tensor] = shards[shard_name]
        return files

    def _open_shard(self, name: str) -> TensorFile:
        if Path(name).name != name:
            raise InputError(f"{INDEX} names the shard {name!r}, which is not a plain file name")
        if not (self.directory / name).is_file():
            raise InputError(
                f"{self.directory} lacks {name}, which {INDEX} names; copy all shards into it"
            )
        return TensorFile(self.directory / name)

    def _check_tensors(self) -> tuple[str, ...]:
        """Compare names, shapes and dtypes with the configuration; return the unused names."""
        expected = _expected_tensors(self.config)
        for name, shape in expected.items():
            if name not in self._files:
                raise InputError(
                    f"{self.directory} lacks the tensor {name} {list(shape)} that its config.json "
                    "asks for; download all of its files again"
                )
            file = self._files[name]
            if file.shape(name) != shape:
                raise InputError(
                    f"{name} in {file.path} is {list(file.shape(name))}, but config.json makes it "
                    f"{list(shape)}; take both from the same checkpoint"
                )
            if file.dtype(name) not in WEIGHT_DTYPES:
                raise InputError(
                    f"{name} in {file.path} has dtype {file.dtype(name)}; latent weights in one of "
                    f"{', '.join(WEIGHT_DTYPES)} are expected"
                )
        # The reference overwrites a tied head and drops unused bounds; anything else in the
        # network's own name space (a bias, a convolution, a layer more) means another network.
        harmless = {"lm_head.weight", "model.lower_bounds"}
        extra = sorted(set(self._files) - set(expected))
        for name in extra:
            if name.startswith(IGNORED_PREFIXES) and name not in harmless:
                raise InputError(
                    f"{self._files[name].path} holds {name}, which the network that config.json "
                    "describes does not have; check that both belong to the same checkpoint"
                )
        return tuple(extra)


class TensorFile:
    """A safetensors file, its header checked completely; tensors are read when asked for.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    metadata : dict of str to str

    Raises
    ------
    InputError
        If the file is truncated or its header is inconsistent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                if size < 8:
                    raise self._broken(f"it has {size} bytes")
                header_bytes = int.from_bytes(file.read(8), "little")
                if header_bytes > min(size - 8, HEADER_LIMIT):
                    raise self._broken(f"its header would be {header_bytes} bytes of {size}")
                self._start = 8 + header_bytes
                file.seek(0)
                self._header = file.read(self._start)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        header = self._parse(self._header[8:])
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        if not isinstance(self.metadata, dict):
            raise self._broken("its metadata is not an object")
        self._tensors = {name: self._entry(name, entry) for name, entry in header.items()}
        self._check_layout(size - self._start)

    @property
    def names(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def dtype(self, name: str) -> str:
        """Dtype of a tensor, as safetensors names it."""
        return self._tensors[name].dtype

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._tensors[name].shape

    def raw(self, name: str) -> np.ndarray:
        """Read the bytes of a tensor: uint8 [..., item bytes]."""
        entry = self._tensors[name]
        count = entry.end - entry.begin
        try:
            content = np.fromfile(self.path, np.uint8, count, offset=self._start + entry.begin)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from error
        if content.size != count:
            raise self._broken(f"{name} ends early")
        return content.reshape(*entry.shape, ITEM_BYTES[entry.dtype])

    def hash_into(self, digest: Any, zeroed: slice = slice(0, 0)) -> None:
        """Feed the whole file to a hashlib object, with "0" digits for the bytes in `zeroed`."""
        header = bytearray(self._header)
        header[zeroed] = b"0" * (zeroed.stop - zeroed.start)
        digest.update(header)
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                while part := file.read(_HASH_BYTES):
                    digest.update(part)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from error

    def header(self, part: slice) -> bytes:
        """Bytes of the file in `part`, counted from its start."""
        return self._header[part]

    def find(self, text: bytes) -> int:
        """Position of the first occurrence of `text` in the header, -1 for none."""
        return self._header.find(text, 8)

    def _broken(self, reason: str) -> InputError:
        return InputError(
            f"{self.path} is not a complete safetensors file ({reason}); copy or download it again"
        )

    def _parse(self, header: bytes) -> dict[str, Any]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            fields = dict(pairs)
            if len(fields) != len(pairs):
                raise ValueError("a name occurs twice")
            return fields

        try:
            fields = json.loads(header.decode(), object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            raise self._broken(f"its header is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise self._broken("its header is not an object")
        return fields

    def _entry(self, name: str, entry: Any) -> _Entry:
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            if not (isinstance(dtype, str) and isinstance(shape, list)):
                raise TypeError("a field has another type")
            if not all(_is_count(number) for number in [*shape, begin, end]):
                raise ValueError("a size is not a whole number")
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(f"the header entry of {name} is malformed") from error
        if dtype not in ITEM_BYTES:
            raise InputError(f"{name} in {self.path} has the unknown dtype {dtype}")
        if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
            raise self._broken(
                f"{name} has {end - begin} bytes, but {dtype} {shape} takes "
                f"{math.prod(shape) * ITEM_BYTES[dtype]}"
            )
        return _Entry(dtype, tuple(shape), begin, end)

    def _check_layout(self, data_bytes: int) -> None:
        """Tensors must fill the data section without gap or overlap."""
        position = 0
        for name, entry in sorted(self._tensors.items(), key=lambda item: item[1].begin):
            if entry.begin != position:
                what = "overlaps the tensor before it" if entry.begin < position else "leaves a gap"
                raise self._broken(f"{name} {what}")
            position = entry.end
        if position != data_bytes:
            raise self._broken(f"its tensors take {position} bytes, but {data_bytes} are there")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a tensor lies: offsets in bytes from the start of the data section."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _ConfigReader:
    """Fields of a `config.json`, each checked as it is taken."""

    def __init__(self, fields: dict[str, Any], path: Path) -> None:
        self.fields = fields
        self.path = path

    def config(self) -> ModelConfig:
        model_type = self.fields.get("model_type")
        if model_type != MODEL_TYPE:
            raise InputError(
                f"{self.path} says model_type {model_type!r}; only {MODEL_TYPE!r} (MatMul-free "
                "language models) can be converted"
            )
        attn_mode = self.fields.get("attn_mode", "fused_recurrent")
        if attn_mode != "fused_recurrent":
            raise InputError(
                f"{self.path} says attn_mode {attn_mode!r}; the reference has only "
                "'fused_recurrent', so there is no model to convert"
            )
        if self.flag("use_short_conv", False):
            raise InputError(
                f"{self.path} says use_short_conv true, which fails in the reference's own forward "
                "pass; only models without short convolution can be converted"
            )
        shape, expand_ratio = self.shape()
        use_lower_bound = self.flag("use_lower_bound", True)
        if use_lower_bound and shape.width != shape.hidden:
            raise InputError(
                f"{self.path} says expand_ratio {expand_ratio:g} with use_lower_bound true, which "
                "fails in the reference's own forward pass; one of the two must go"
            )
        heads = self.count("num_heads", 1)
        if shape.hidden % heads or shape.width % heads:
            raise InputError(
                f"{self.path} says num_heads {heads}, which does not divide hidden_size "
                f"{shape.hidden} (state width {shape.width})"
            )
        return ModelConfig(
            shape=shape,
            eps=self.number("rms_norm_eps", 1e-6, least=0.0),
            use_lower_bound=use_lower_bound,
            tied=self.flag("tie_word_embeddings", False),
            expand_ratio=expand_ratio,
            heads=heads,
            bos=next(iter(self.tokens("bos_token_id", 1, shape.vocab)), None),
            eos=self.tokens("eos_token_id", 2, shape.vocab),
        )

    def shape(self) -> tuple[Shape, float]:
        hidden = self.count("hidden_size", 2048)
        expand_ratio = self.number("expand_ratio", 1)
        width = int(hidden * expand_ratio)
        if width < 1:
            raise self.unusable("expand_ratio", expand_ratio, f"at least 1/{hidden}")
        if self.fields.get("intermediate_size") is None:
            ratio = 4.0
            if self.fields.get("hidden_ratio") is not None:
                ratio = self.number("hidden_ratio", 4)
            intermediate = 256 * ((int(hidden * ratio * 2 / 3) + 255) // 256)
            if intermediate < 1:
                raise self.unusable("hidden_ratio", ratio, "a positive number")
        else:
            intermediate = self.count("intermediate_size", 0)
        shape = Shape(
            vocab=self.count("vocab_size", 32000),
            hidden=hidden,
            width=width,
            intermediate=intermediate,
            layers=self.count("num_hidden_layers", 24),
        )
        return shape, expand_ratio

    def count(self, name: str, default: int) -> int:
        value = self.fields.get(name, default)
        if not _is_count(value) or value == 0:
            raise self.unusable(name, value, "a positive whole number")
        return value

    def number(self, name: str, default: float, least: float | None = None) -> float:
        """Take a finite number, at least `least`, or above 0 if that is None."""
        value = self.fields.get(name, default)
        usable = isinstance(value, int | float) and not isinstance(value, bool)
        usable = usable and math.isfinite(value)
        usable = usable and (value > 0 if least is None else value >= least)
        if not usable:
            expected = "a positive number" if least is None else f"a number from {least:g} up"
            raise self.unusable(name, value, expected)
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.fields.get(name, default)
        if not isinstance(value, bool):
            raise self.unusable(name, value, "true or false")
        return value

    def tokens(self, name: str, default: int, vocab: int) -> tuple[int, ...]:
        """Take one token id, a list of them, or null for none."""
        value = self.fields.get(name, default)
        ids = [] if value is None else value if isinstance(value, list) else [value]
        if not all(_is_count(token) and token < vocab for token in ids):
            raise self.unusable(name, value, f"token ids below vocab_size {vocab}, or null")
        return tuple(ids)

    def unusable(self, name: str, value: object, expected: str) -> InputError:
        return InputError(f"{self.path} says {name} {json.dumps(value)}; {expected} is expected")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object; InputError if it does not."""
    try:
        fields = json.loads(path.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}); copy or download it again") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} does not hold a JSON object; copy or download it again")
    return fields


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _to_float32(raw: np.ndarray, dtype: str) -> np.ndarray:
    """Decode uint8 [..., item bytes], little-endian, into a float32 copy."""
    if dtype == "BF16":  # the upper half of a float32
        wide = raw.view("<u2")[..., 0].astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return raw.view({"F32": "<f4", "F16": "<f2"}[dtype])[..., 0].astype(np.float32, copy=False)


def _expected_tensors(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that a checkpoint of this configuration holds."""
    shape = config.shape
    vocab, hidden, width, inner = shape.vocab, shape.hidden, shape.width, shape.intermediate
    tensors: dict[str, tuple[int, ...]] = {"model.embeddings.weight": (vocab, hidden)}
    if config.use_lower_bound:
        tensors["model.lower_bounds"] = (shape.layers, hidden)
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        tensors[f"{name}.attn_norm.weight"] = (hidden,)
        for gate in "ifg":
            tensors[f"{name}.attn.{gate}_proj.weight"] = (width, hidden)
            tensors[f"{name}.attn.{gate}_proj.norm.weight"] = (hidden,)
        tensors[f"{name}.attn.g_norm.weight"] = (width,)
        tensors[f"{name}.attn.o_proj.weight"] = (hidden, width)
        tensors[f"{name}.attn.o_proj.norm.weight"] = (width,)
        tensors[f"{name}.mlp_norm.weight"] = (hidden,)
        tensors[f"{name}.mlp.gate_proj.weight"] = (2 * inner, hidden)
        tensors[f"{name}.mlp.gate_proj.norm.weight"] = (hidden,)
        tensors[f"{name}.mlp.down_proj.weight"] = (hidden, inner)
        tensors[f"{name}.mlp.down_proj.norm.weight"] = (inner,)
    tensors["model.norm.weight"] = (hidden,)
    if not config.tied:
        tensors["lm_head.weight"] = (vocab, hidden)
    tensors["lm_head.norm.weight"] = (hidden,)
    return tensors
