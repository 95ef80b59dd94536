"""Checkpoints: every layout and dtype is read, everything malformed is refused in words."""

import hashlib
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from sterna.errors import InputError
from sterna.model.checkpoint import Checkpoint, ModelConfig
from sterna.model.model import Shape
from tests.synthetic import bfloat16, write_checkpoint, write_tensors

ROOT = Path(__file__).parents[2]
FIXTURE_A = ROOT / "tests" / "fixtures" / "A"
SHIPPED = ROOT / "models" / "tern-ecp5"

Mutation = Callable[[Path], None]


def names_of(checkpoint: Checkpoint) -> list[str]:
    """All tensors of a checkpoint, by the library's reader."""
    names = []
    for path in sorted(checkpoint.directory.glob("*.safetensors")):
        names += [name for name, _ in safetensors.deserialize(path.read_bytes())]
    return names


def test_fixture_is_read_as_the_library_reads_it() -> None:
    checkpoint = Checkpoint(FIXTURE_A)
    expected = safetensors.numpy.load_file(FIXTURE_A / "model.safetensors")
    for name, values in expected.items():
        read = checkpoint.tensor(name)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values, strict=True)
    assert len(expected) == 35
    assert checkpoint.ignored == ()
    assert checkpoint.config == ModelConfig(
        shape=Shape(vocab=97, hidden=64, width=64, intermediate=256, layers=2),
        eps=1e-6,
        use_lower_bound=True,
        tied=False,
        expand_ratio=1.0,
        heads=1,
        bos=1,
        eos=(2,),
    )
    content = (FIXTURE_A / "model.safetensors").read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(content).hexdigest()


def test_bfloat16_model_is_read() -> None:
    checkpoint = Checkpoint(SHIPPED)
    stored = dict(safetensors.deserialize((SHIPPED / "model.safetensors").read_bytes()))
    assert len(stored) == 50
    for name, tensor in stored.items():
        halves = np.frombuffer(tensor["data"], np.uint8).reshape(-1, 2)
        expected = np.zeros((len(halves), 4), np.uint8)
        expected[:, 2:] = halves
        read = checkpoint.tensor(name)
        assert list(read.shape) == tensor["shape"]
        np.testing.assert_array_equal(read.reshape(-1), expected.view("<f4")[:, 0])


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_decodes_to_the_rounded_values(tmp_path: Path, dtype: str) -> None:
    full = Checkpoint(write_checkpoint(tmp_path / "full", seed=3))
    half = Checkpoint(write_checkpoint(tmp_path / "half", seed=3, dtype=dtype))
    for name in names_of(full):
        values = full.tensor(name)
        rounded = bfloat16(values) if dtype == "BF16" else values.astype(np.float16)
        np.testing.assert_array_equal(half.tensor(name), rounded.astype(np.float32), strict=True)


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.0, -0.0, 1.0, -2.5, 3.3895e38, -1e-38, 9.2e-41]),
        np.array([6e-8, 65504.0, -1e-5]),
    ],
)
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_extreme_values_keep_their_bits(tmp_path: Path, dtype: str, values: np.ndarray) -> None:
    if dtype == "F16":
        values = np.clip(values, -65504, 65504)
    vector = np.resize(values.astype(np.float32), 24)
    write_checkpoint(tmp_path)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    write_tensors(tmp_path / "model.safetensors", tensors | {"model.norm.weight": vector}, dtype)
    read = Checkpoint(tmp_path).tensor("model.norm.weight")
    rounded = vector.astype(np.float16) if dtype == "F16" else vector
    rounded = bfloat16(vector) if dtype == "BF16" else rounded.astype(np.float32)
    np.testing.assert_array_equal(read.view(np.uint32), rounded.view(np.uint32), strict=True)


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_hold_the_same_tensors_as_one_file(tmp_path: Path, shards: int) -> None:
    single = Checkpoint(write_checkpoint(tmp_path / "single", dtype="BF16"))
    sharded = Checkpoint(write_checkpoint(tmp_path / "sharded", dtype="BF16", shards=shards))
    assert len(list(sharded.directory.glob("*.safetensors"))) == shards
    for name in names_of(single):
        np.testing.assert_array_equal(single.tensor(name), sharded.tensor(name), strict=True)
    content = b"".join(p.read_bytes() for p in sorted(sharded.directory.glob("*.safetensors")))
    assert sharded.sha256 == hashlib.sha256(content).hexdigest()


def test_memory_is_bounded_by_the_largest_tensor(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, vocab=3000, hidden=64, layers=12, intermediate=160, dtype="BF16")
    largest = 3000 * 64 * 4
    names = names_of(Checkpoint(tmp_path))
    tracemalloc.start()
    try:
        checkpoint = Checkpoint(tmp_path)
        for name in names:
            checkpoint.tensor(name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * largest < (tmp_path / "model.safetensors").stat().st_size


def test_tied_head_needs_no_weights_of_its_own(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write_checkpoint(tmp_path, tied=True))
    assert checkpoint.config.tied
    with pytest.raises(InputError, match=r"no tensor lm_head\.weight"):
        checkpoint.tensor("lm_head.weight")


def test_unused_tensors_are_named_and_ignored(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    add_tensors(tmp_path, {"ema.decay": np.ones(1, np.float32)})
    edit_config(tmp_path, use_lower_bound=False, tie_word_embeddings=True)
    assert Checkpoint(tmp_path).ignored == ("ema.decay", "lm_head.weight", "model.lower_bounds")


def test_state_may_be_wider_than_the_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, expand_ratio=2, use_lower_bound=False)
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.config.shape.width == 48
    assert checkpoint.tensor("model.layers.1.attn.o_proj.weight").shape == (24, 48)


CONFIG_PATH = Path("config.json")


def test_absent_fields_have_the_reference_defaults() -> None:
    config = ModelConfig.from_json({"model_type": "hgrn_bit"}, CONFIG_PATH)
    assert config.shape == Shape(vocab=32000, hidden=2048, width=2048, intermediate=5632, layers=24)
    assert (config.eps, config.bos, config.eos) == (1e-6, 1, (2,))
    assert (config.use_lower_bound, config.tied, config.heads) == (True, False, 1)


@pytest.mark.parametrize(
    ("fields", "intermediate"),
    [
        ({"hidden_size": 1024}, 2816),
        ({"hidden_size": 2048, "hidden_ratio": None}, 5632),
        ({"hidden_size": 2560, "intermediate_size": None}, 6912),
        ({"hidden_size": 64}, 256),
        ({"hidden_size": 96, "hidden_ratio": 4}, 256),
        ({"hidden_size": 97, "hidden_ratio": 4}, 512),
        ({"hidden_size": 64, "hidden_ratio": 6.5}, 512),
        ({"hidden_size": 64, "intermediate_size": 100}, 100),
    ],
)
def test_intermediate_size(fields: dict, intermediate: int) -> None:
    config = ModelConfig.from_json({"model_type": "hgrn_bit", **fields}, CONFIG_PATH)
    assert config.shape.intermediate == intermediate


@pytest.mark.parametrize(
    ("value", "eos"), [(None, ()), (5, (5,)), ([2, 7], (2, 7))], ids=["none", "one", "two"]
)
def test_end_tokens(value: object, eos: tuple[int, ...]) -> None:
    fields = {"model_type": "hgrn_bit", "eos_token_id": value, "bos_token_id": None}
    config = ModelConfig.from_json(fields, CONFIG_PATH)
    assert (config.bos, config.eos) == (None, eos)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llama"}, "says model_type 'llama'; only 'hgrn_bit'"),
        ({"use_short_conv": True}, "use_short_conv true, which fails in the reference"),
        ({"expand_ratio": 2}, "expand_ratio 2 with use_lower_bound true, which fails"),
        ({"attn_mode": "chunk"}, "says attn_mode 'chunk'; the reference has only"),
        ({"num_heads": 3}, "num_heads 3, which does not divide hidden_size 64"),
        (
            {"num_heads": 4, "expand_ratio": 1.03125, "use_lower_bound": False},
            "num_heads 4, which does not divide hidden_size 64 .state width 66",
        ),
        ({"hidden_size": 0}, "hidden_size 0; a positive whole number is expected"),
        ({"hidden_size": None}, "hidden_size null; a positive"),
        ({"num_hidden_layers": -1}, "num_hidden_layers -1; a positive"),
        ({"vocab_size": "97"}, 'vocab_size "97"; a positive'),
        ({"vocab_size": 97.0}, "vocab_size 97.0; a positive"),
        ({"vocab_size": True}, "vocab_size true; a positive"),
        ({"num_heads": None}, "num_heads null; a positive"),
        ({"intermediate_size": 0}, "intermediate_size 0; a positive"),
        ({"hidden_ratio": -4}, "hidden_ratio -4; a positive number"),
        ({"hidden_ratio": 1e-9}, "hidden_ratio 1e-09; a positive number"),
        ({"expand_ratio": 0}, "expand_ratio 0; a positive number"),
        ({"expand_ratio": 1e-3}, "expand_ratio 0.001; at least 1/64"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps -1e-06; a number from 0 up"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps NaN; a number"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps Infinity; a number"),
        ({"use_lower_bound": "yes"}, 'use_lower_bound "yes"; true or false'),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings 1; true or false"),
        ({"bos_token_id": 97}, "bos_token_id 97; token ids below vocab_size 97"),
        ({"eos_token_id": [2, -1]}, r"eos_token_id \[2, -1\]; token ids below"),
    ],
)
def test_unusable_config_is_refused(fields: dict, message: str) -> None:
    given = json.loads((FIXTURE_A / "config.json").read_text()) | fields
    with pytest.raises(InputError, match=message):
        ModelConfig.from_json(given, CONFIG_PATH)


def test_expand_ratio_that_changes_nothing_is_accepted() -> None:
    fields = {"model_type": "hgrn_bit", "hidden_size": 64, "expand_ratio": 1.001}
    assert ModelConfig.from_json(fields, CONFIG_PATH).shape.width == 64


def edit_config(directory: Path, **fields: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def add_tensors(directory: Path, tensors: dict[str, np.ndarray]) -> None:
    path = directory / "model.safetensors"
    safetensors.numpy.save_file(safetensors.numpy.load_file(path) | tensors, path)


def edit_header(edit: Callable[[dict], object]) -> Mutation:
    """Mutation that changes the header's JSON and keeps the data."""

    def mutate(directory: Path) -> None:
        path = directory / "model.safetensors"
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        edit(header)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])

    return mutate


def edit_bytes(edit: Callable[[bytearray], object]) -> Mutation:
    def mutate(directory: Path) -> None:
        path = directory / "model.safetensors"
        content = bytearray(path.read_bytes())
        edit(content)
        path.write_bytes(content)

    return mutate


def rename(old: str, new: str) -> Mutation:
    return lambda directory: (directory / old).rename(directory / new) and None


def write(name: str, content: str) -> Mutation:
    return lambda directory: (directory / name).write_text(content) and None


def without(name: str) -> Mutation:
    def mutate(directory: Path) -> None:
        path = directory / "model.safetensors"
        tensors = safetensors.numpy.load_file(path)
        del tensors[name]
        safetensors.numpy.save_file(tensors, path)

    return mutate


def with_tensor(name: str, values: np.ndarray) -> Mutation:
    return lambda directory: add_tensors(directory, {name: values})


def repeat_name(content: bytearray) -> None:
    """Rename a tensor in the header to another's name of the same length."""
    content[:] = content.replace(b'"model.layers.0.attn.i_proj.w', b'"model.layers.0.attn.f_proj.w')


O_PROJ = "model.layers.1.attn.o_proj.weight"
NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        pytest.param(
            lambda directory: (directory / "config.json").unlink(),
            "has no config.json",
            id="no config",
        ),
        pytest.param(write("config.json", '{"model_type": '), "is not JSON", id="broken config"),
        pytest.param(write("config.json", "[1]"), "does not hold a JSON object", id="list config"),
        pytest.param(
            lambda directory: (directory / "config.json").write_bytes(b"\xff\xfe{}"),
            "is not JSON",
            id="config not UTF-8",
        ),
        pytest.param(
            rename("model.safetensors", "x"), "has neither model.safetensors nor", id="no weights"
        ),
        pytest.param(
            rename("model.safetensors", "pytorch_model.bin"),
            "convert its pytorch_model",
            id="torch",
        ),
        pytest.param(
            without(O_PROJ), rf"lacks the tensor {O_PROJ} \[64, 64\]", id="missing tensor"
        ),
        pytest.param(
            without("model.lower_bounds"), "lacks the tensor model.lower_bounds", id="no bounds"
        ),
        pytest.param(without("lm_head.weight"), "lacks the tensor lm_head.weight", id="no head"),
        pytest.param(
            with_tensor(O_PROJ, np.zeros((64, 65), np.float32)),
            rf"{O_PROJ} in .* is \[64, 65\], but config.json makes it \[64, 64\]",
            id="wrong shape",
        ),
        pytest.param(
            lambda directory: edit_config(directory, num_hidden_layers=1, use_lower_bound=False),
            "holds model.layers.1.attn.f_proj.norm.weight, which the network .* does not have",
            id="one layer more",
        ),
        pytest.param(
            lambda directory: edit_config(directory, num_hidden_layers=3),
            "lacks the tensor model.lower_bounds|model.lower_bounds in .* is",
            id="one layer less",
        ),
        pytest.param(
            with_tensor("model.layers.0.attn.i_proj.bias", np.zeros(64, np.float32)),
            "holds model.layers.0.attn.i_proj.bias, which the network",
            id="bias",
        ),
        pytest.param(
            with_tensor(O_PROJ, np.zeros((64, 64), np.float64)),
            f"{O_PROJ} in .* has dtype F64; latent weights in one of F32, F16, BF16",
            id="float64",
        ),
        pytest.param(
            with_tensor(O_PROJ, np.zeros((64, 64), np.int8)), "has dtype I8; latent", id="int8"
        ),
        pytest.param(edit_bytes(bytearray.clear), r"\(it has 0 bytes\)", id="empty"),
        pytest.param(
            edit_bytes(lambda b: b.__delitem__(slice(7, None))), "it has 7 bytes", id="7 B"
        ),
        pytest.param(
            edit_bytes(lambda b: b.__delitem__(slice(100, None))),
            "its header would be .* bytes of 100",
            id="header cut off",
        ),
        pytest.param(
            edit_bytes(lambda b: b.__delitem__(-1)), "not a complete safetensors", id="truncated"
        ),
        pytest.param(
            edit_bytes(lambda b: b.append(0)), "tensors take .* bytes, but", id="something appended"
        ),
        pytest.param(
            edit_bytes(lambda b: b.__setitem__(8, 0x7C)), "its header is not JSON", id="no brace"
        ),
        pytest.param(
            edit_bytes(lambda b: b.__setitem__(20, 0xFF)), "its header is not JSON", id="not UTF-8"
        ),
        pytest.param(
            edit_bytes(lambda b: b.__setitem__(slice(0, 8), b"\xff" * 8)),
            "its header would be 18446744073709551615 bytes",
            id="huge header",
        ),
        pytest.param(edit_bytes(repeat_name), "a name occurs twice", id="repeated name"),
        pytest.param(
            edit_header(lambda h: h[NORM].update(data_offsets=[4, 260])),
            "overlaps the tensor before it|leaves a gap",
            id="overlap",
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(data_offsets=[10**12, 10**12 + 256])),
            "leaves a gap",
            id="beyond the end",
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(shape=[63])),
            r"model.norm.weight has 256 bytes, but F32 \[63\] takes 252",
            id="size",
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(dtype="F16")), "F16 .64. takes 128", id="dtype"
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(dtype="Q4")), "has the unknown dtype Q4", id="Q4"
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(shape=[-8, -8])), "entry of .* malformed", id="-8"
        ),
        pytest.param(
            edit_header(lambda h: h[NORM].update(data_offsets=[0])), "malformed", id="offsets"
        ),
        pytest.param(edit_header(lambda h: h[NORM].pop("dtype")), "malformed", id="no dtype"),
        pytest.param(edit_header(lambda h: h.update({NORM: 3})), "malformed", id="entry 3"),
        pytest.param(
            edit_header(lambda h: h.update(__metadata__=[])), "metadata is not an", id="metadata"
        ),
    ],
)
def test_malformed_checkpoint_is_refused(tmp_path: Path, mutate: Mutation, message: str) -> None:
    shutil.copytree(FIXTURE_A, tmp_path, dirs_exist_ok=True)
    mutate(tmp_path)
    with pytest.raises(InputError, match=message) as refusal:
        Checkpoint(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, dtype: str, value: float) -> None:
    write_checkpoint(tmp_path)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = value
    write_tensors(tmp_path / "model.safetensors", tensors, dtype)
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"down_proj.weight in .* contains NaN or infinity"):
        checkpoint.tensor("model.layers.1.mlp.down_proj.weight")
    checkpoint.tensor("model.layers.0.mlp.down_proj.weight")


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a directory; give the directory"):
        Checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not a directory"):
        Checkpoint(FIXTURE_A / "config.json")


SHARD = "model-00002-of-00003.safetensors"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda index: index.pop("weight_map"), "has no weight_map from tensor names"),
        (lambda index: index.update(weight_map=[]), "has no weight_map"),
        (lambda index: index.update(weight_map={}), "has no weight_map"),
        (lambda index: index["weight_map"].update(x=3), "has no weight_map"),
        (lambda index: index["weight_map"].update(x=SHARD), "says that x is in .* not hold it"),
        (lambda index: index["weight_map"].update(x="../y.safetensors"), "not a plain file name"),
        (lambda index: index["weight_map"].update(x="y.safetensors"), "lacks y.safetensors, which"),
    ],
)
def test_malformed_index_is_refused(
    tmp_path: Path, edit: Callable[[dict], object], message: str
) -> None:
    write_checkpoint(tmp_path, shards=3)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    edit(index)
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=message):
        Checkpoint(tmp_path)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=3)
    (tmp_path / SHARD).unlink()
    with pytest.raises(InputError, match=f"lacks {SHARD}, which .* names; copy all shards"):
        Checkpoint(tmp_path)


def test_truncated_shard_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, shards=3)
    (tmp_path / SHARD).write_bytes((tmp_path / SHARD).read_bytes()[:-4])
    with pytest.raises(InputError, match=f"{SHARD} is not a complete safetensors file"):
        Checkpoint(tmp_path)
