"""Whatever stands in a checkpoint or a model file: it is used, or refused for people."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from sterna.errors import InputError
from sterna.model import container
from sterna.model.convert import convert
from sterna.model.layout import fit, lay_out
from sterna.spec.trits import Packing
from sterna_sim.kit.bench import default_seed
from tests.model.test_container import rewrite
from tests.synthetic import write_checkpoint

SHAPE = {"vocab": 20, "hidden": 8, "layers": 1, "intermediate": 6}
LANES = {"rows": 1, "columns": 4, "elements": 2, "packing": Packing.TWO_BITS}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 30),
    st.sampled_from([-(1 << 70), -1, 1 << 16, 1 << 31, 1 << 63, 1 << 70]),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-1, 9), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def places(value, path=()):
    """Every place in a JSON value, as keys from its top."""
    yield path
    match value:
        case dict():
            for key, inner in value.items():
                yield from places(inner, (*path, key))
        case list():
            for key, inner in enumerate(value):
                yield from places(inner, (*path, key))


@st.composite
def edits(draw):
    """Edits of a JSON object: what they do to it, in place."""
    chosen = [(draw(st.integers(0, 1 << 16)), draw(st.booleans()), draw(VALUES)) for _ in range(2)]

    def edit(top):
        for number, drop, value in chosen:
            inside = [path for path in places(top) if path]
            if not inside:
                return
            *way, key = inside[number % len(inside)]
            holder = top
            for step in way:
                holder = holder[step]
            if drop:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(value)

    return edit


def fuzz(examples):
    """Settings of all tests here: so many examples, the same ones for a seed."""

    def decorate(test):
        quiet = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        return seeded(default_seed())(quiet(test))

    return decorate


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), **SHAPE)


@pytest.fixture
def damaged(checkpoint, tmp_path_factory):
    """Return a copy of the checkpoint for each example."""
    place = tmp_path_factory.mktemp("damaged") / "c"

    def anew():
        shutil.rmtree(place, ignore_errors=True)
        return Path(shutil.copytree(checkpoint, place))

    return anew


def used(source: Path, path: Path) -> bool:
    """Convert, save, load and lay out; return whether all that was possible."""
    try:
        container.save(convert(source), path)
    except InputError:
        return False
    return loaded(path)


def loaded(path: Path) -> bool:
    """Load and lay out; return whether that was possible."""
    try:
        model = container.load(path)
        lay_out(model, fit(model, **LANES))
    except InputError:
        return False
    return True


def test_config(damaged, tmp_path):
    found = []

    @fuzz(100)
    @given(edit=edits())
    def run(edit):
        source = damaged()
        config = json.loads((source / "config.json").read_text())
        edit(config)
        (source / "config.json").write_text(json.dumps(config))
        found.append(used(source, tmp_path / "m.sterna"))

    run()
    assert True in found
    assert False in found


def test_header_of_the_weights(damaged, tmp_path):
    found = []

    @fuzz(100)
    @given(edit=edits())
    def run(edit):
        source = damaged()
        weights = source / "model.safetensors"
        data = weights.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        edit(header)
        text = json.dumps(header).encode()
        weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
        found.append(used(source, tmp_path / "m.sterna"))

    run()
    assert False in found


def test_bytes_of_the_weights(damaged, tmp_path):
    """Flipped, left out and doubled pieces, anywhere."""
    found = []

    @fuzz(100)
    @given(
        name=st.sampled_from(["model.safetensors", "config.json"]),
        start=st.floats(0, 1),
        length=st.integers(0, 20),
        instead=st.binary(max_size=20),
    )
    def run(name, start, length, instead):
        source = damaged()
        data = (source / name).read_bytes()
        at = int(start * len(data))
        (source / name).write_bytes(data[:at] + instead + data[at + length :])
        found.append(used(source, tmp_path / "m.sterna"))

    run()
    assert True in found
    assert False in found


def test_fields_of_a_model_file(checkpoint, tmp_path):
    """With a hash that is right, as a faulty writer would leave them."""
    good = tmp_path / "good.sterna"
    container.save(convert(checkpoint), good)
    found = []

    @fuzz(200)
    @given(edit=edits())
    def run(edit):
        path = tmp_path / "m.sterna"
        shutil.copy(good, path)
        rewrite(path, edit)
        found.append(loaded(path))

    run()
    assert True in found
    assert False in found
