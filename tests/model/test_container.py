"""The model file: exact round trips, the same bytes again, every damage refused."""

import dataclasses
import json
import os
import random
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sterna.errors import InputError
from sterna.model.calibrate import calibrate
from sterna.model.checkpoint import Checkpoint
from sterna.model.container import FORMAT, load, save
from sterna.model.fold import fold
from sterna.model.model import Model, Shape
from sterna.model.packed import pack_trits, unpack_trits
from sterna.spec.program import Op, Stats, Step
from sterna_sim.kit.bench import default_seed
from tests.synthetic import byte_tokenizer

FIXTURE_A = Path(__file__).parents[1] / "fixtures" / "A"


def small_model() -> Model:
    """A model of three steps with an array of every kind."""
    rng = np.random.default_rng(7)
    trits = rng.integers(-1, 2, (5, 9)).astype(np.int8)
    return Model(
        shape=Shape(vocab=5, hidden=9, width=9, intermediate=3, layers=1),
        steps=(
            Step("embedding", Op.EMBED, Stats.FRESH, 9, 0, vector_b="q", scale=(0, -13)),
            Step(
                "i", Op.SILU, Stats.FRESH, 7, 9, vector_q="q", scale=(40000, -3), eps=(33000, -50)
            ),
            Step("lm_head", Op.LOGITS, Stats.KEEP, 5, 9, vector_q="q", eps_constant=2**60),
        ),
        trits={"i": rng.integers(-1, 2, (7, 9)).astype(np.int8), "lm_head": trits},
        vectors={
            "q": rng.integers(-32767, 32768, 9),
            "bound": np.array([0, 65535]),
            "wide": np.array([-1, 65535]),
            "empty": np.zeros(0, np.int64),
        },
        embedding=rng.integers(-127, 128, (5, 9)).astype(np.int8),
        embedding_scale=rng.integers(0, 65536, 5),
        tokenizer='{"a": "\u00e9 \\" content_sha256\\":\\""}',
        meta={"bos": 1, "eos": [2], "source": {"content_sha256": "0" * 64}, "eps": 1e-6},
        floats={
            "norm": rng.normal(size=9).astype(np.float32),
            "scale": np.array(0.1),
            "turned": np.asfortranarray(rng.normal(size=(3, 4))),
        },
    )


def assert_equal(a: Model, b: Model) -> None:
    """All fields, with dtypes and shapes of the arrays."""
    for field in dataclasses.fields(Model):
        given, expected = getattr(a, field.name), getattr(b, field.name)
        if isinstance(given, np.ndarray):
            given, expected = {"": given}, {"": expected}
        if field.name in ("trits", "vectors", "floats", "embedding", "embedding_scale"):
            assert given.keys() == expected.keys()
            for name in given:
                np.testing.assert_array_equal(given[name], expected[name], strict=True)
        else:
            assert given == expected


def test_round_trip(tmp_path: Path) -> None:
    model = small_model()
    save(model, tmp_path / "m.sterna")
    assert_equal(load(tmp_path / "m.sterna"), model)
    save(dataclasses.replace(model, tokenizer=None), tmp_path / "m.sterna")
    assert load(tmp_path / "m.sterna").tokenizer is None


def test_round_trip_of_a_folded_checkpoint(tmp_path: Path) -> None:
    checkpoint = Checkpoint(FIXTURE_A)
    model = fold(checkpoint, calibrate(checkpoint, np.arange(97)))
    model = dataclasses.replace(model, tokenizer=byte_tokenizer(), meta={"bos": 1})
    save(model, tmp_path / "a.sterna")
    assert_equal(load(tmp_path / "a.sterna"), model)


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = small_model()
    save(model, tmp_path / "1")
    turned = {
        name: dict(reversed(getattr(model, name).items()))
        for name in ("trits", "vectors", "floats", "meta")
    }
    save(dataclasses.replace(model, **turned), tmp_path / "2")
    save(load(tmp_path / "1"), tmp_path / "3")
    content = (tmp_path / "1").read_bytes()
    assert content == (tmp_path / "2").read_bytes() == (tmp_path / "3").read_bytes()


def test_file_is_a_plain_safetensors_file_and_small(tmp_path: Path) -> None:
    save(small_model(), tmp_path / "m.sterna")
    tensors = safetensors.numpy.load_file(tmp_path / "m.sterna")
    assert tensors["trits/i"].nbytes == 13
    assert tensors["vectors/q"].dtype == np.int16
    assert tensors["vectors/bound"].dtype == np.uint16
    assert tensors["vectors/wide"].dtype == np.int32


@given(arrays(np.int8, array_shapes(max_dims=2, max_side=40), elements=st.integers(-1, 1)))
def test_trits_survive_packing(trits: np.ndarray) -> None:
    packed = pack_trits(trits)
    assert packed.dtype == np.uint8
    assert packed.shape == (-(-trits.size // 5),)
    np.testing.assert_array_equal(unpack_trits(packed, trits.shape), trits, strict=True)


def test_packing_is_base_three_from_the_lowest_digit() -> None:
    trits = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, -1, -1, 1], np.int8)
    np.testing.assert_array_equal(pack_trits(trits), [121, 122 - 81, 120 + 3])
    every = np.arange(243, dtype=np.uint8)
    np.testing.assert_array_equal(pack_trits(unpack_trits(every, (1215,))), every)


def test_bytes_that_are_not_trits_are_refused() -> None:
    with pytest.raises(InputError, match="243 was given where five trits"):
        unpack_trits(np.array([0, 243], np.uint8), (10,))
    with pytest.raises(InputError, match=r"2 bytes of trits were given; \[11\] trits take 3"):
        unpack_trits(np.array([0, 0], np.uint8), (11,))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("container") / "m.sterna"
    save(small_model(), path)
    return path.read_bytes()


@settings(max_examples=300)
@given(data=st.data())
def test_any_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.sterna"
    path.write_bytes(damaged)
    with pytest.raises(InputError):
        load(path)


@settings(max_examples=100)
@given(data=st.data())
def test_any_truncation_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "short.sterna"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(InputError):
        load(path)


def test_damage_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.sterna"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged: its SHA-256 is not the one in its header"):
        load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="is not a complete safetensors file"):
        load(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*: No such file"):
        load(tmp_path / "nothing")
    with pytest.raises(InputError, match="cannot read"):
        load(tmp_path)
    with pytest.raises(InputError, match="is not a Sterna model; make one with `sterna convert`"):
        load(FIXTURE_A / "model.safetensors")
    (tmp_path / "text").write_text("A text that is longer than a header length.")
    with pytest.raises(InputError, match="is not a complete safetensors file"):
        load(tmp_path / "text")


def rewrite(path: Path, edit: object = None, drop: str | None = None) -> None:
    """Change a model file and give it a right hash: what a faulty writer would leave."""
    import hashlib

    tensors = safetensors.numpy.load_file(path)
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])
    fields = json.loads(header["__metadata__"]["sterna"])
    fields["content_sha256"] = "0" * 64
    if edit is not None:
        edit(fields)
    tensors.pop(drop, None)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    content = safetensors.numpy.save(tensors, {"sterna": text})
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.replace(b"0" * 64, digest, 1))


@pytest.mark.parametrize(
    ("edit", "drop", "message"),
    [
        (lambda f: f.update(format=FORMAT + 1), None, "format version 2 was given and 1 is"),
        (lambda f: f.pop("steps"), None, "does not hold a whole model .KeyError: 'steps'"),
        (lambda f: f["steps"].clear(), None, "the first step is not EMBED"),
        (lambda f: f["steps"][1].update(op="JUMP"), None, "KeyError: 'JUMP'"),
        (lambda f: f["steps"][1].update(colour=3), None, "unexpected keyword argument 'colour'"),
        (lambda f: f["steps"][1].update(rows=70), None, r"13 bytes .* \[70, 9\] trits take 126"),
        (lambda f: f["steps"][1].update(vector_q="z"), None, "KeyError: 'z'"),
        (lambda f: f["steps"][1].update(vector_q="wide"), None, "wide does not have 9 elements"),
        (lambda f: f["shape"].update(vocab=6), None, r"the embedding is \(5, 9\), not \(6, 9\)"),
        (None, "trits/lm_head", "KeyError: 'trits/lm_head'"),
        (None, "embedding", "KeyError: 'embedding'"),
    ],
)
def test_incomplete_models_are_refused(
    tmp_path: Path, edit: object, drop: str | None, message: str
) -> None:
    path = tmp_path / "m.sterna"
    save(small_model(), path)
    rewrite(path)
    assert_equal(load(path), small_model())
    rewrite(path, edit, drop)
    with pytest.raises(InputError, match=message):
        load(path)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.sterna"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write .*m.sterna: No space left on device"):
        save(small_model(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.sterna"]


def saved_until(size: int, model: Model, path: Path) -> int:
    """Save in a process that is killed when the file has so many bytes; return its wait status."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        save(model, path)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_power_lost_at_any_byte_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.sterna"
    old, new = small_model(), dataclasses.replace(small_model(), meta={"bos": 2})
    save(new, path)
    size = path.stat().st_size
    save(old, path)
    cuts = {0, 1, size - 1, *random.Random(default_seed()).sample(range(size), 40)}
    for cut in sorted(cuts):
        status = saved_until(cut, new, path)
        assert os.WIFSIGNALED(status), cut
        assert os.WTERMSIG(status) == signal.SIGXFSZ, cut
        assert_equal(load(path), old)
    assert saved_until(size, new, path) == 0
    assert_equal(load(path), new)


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*: No such file or directory"):
        save(small_model(), tmp_path / "nowhere" / "m.sterna")
