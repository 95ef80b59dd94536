"""The outline of a shape is that of a model of this shape."""

import dataclasses

import pytest

from models import synthetic
from sterna.errors import InputError
from sterna.model import container
from sterna.model.layout import fit, lay_out
from sterna.model.model import Shape
from sterna.model.outline import PUBLISHED, Outline
from sterna.model.sizes import cuts, needs
from sterna.spec.trits import Packing
from tests.tiny import tiny_model

PROGRAM = (
    "name", "op", "stats", "rows", "columns", "layer", "vector_a", "vector_b", "vector_q",
)  # fmt: skip


def program(outline):
    return [tuple(getattr(step, name) for name in PROGRAM) for step in outline.steps]


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_shape(layers):
    model = tiny_model(vocab=50, hidden=20, layers=layers, intermediate=33)
    outline = Outline.of_shape(model.shape, Outline.of(model).embedding_bits)
    assert program(outline) == program(Outline.of(model))
    lanes = {"rows": 2, "columns": 8, "elements": 4, "packing": Packing.FIVE_THIRDS}
    assert fit(outline, **lanes, psum_words=6) == fit(model, **lanes, psum_words=6)


def test_published_shapes():
    for name, shape in PUBLISHED.items():
        fields = synthetic.SHAPES[name]
        assert dataclasses.asdict(shape) == {
            "vocab": synthetic.VOCAB,
            "hidden": fields["hidden_size"],
            "width": fields["hidden_size"],
            "intermediate": fields["intermediate_size"],
            "layers": fields["num_hidden_layers"],
        }


@pytest.mark.parametrize("options", [{}, {"coarse": True}])
def test_outline_of_a_file(tmp_path, options):
    model = tiny_model(**options)
    container.save(model, tmp_path / "m.sterna")
    assert container.load_outline(tmp_path / "m.sterna") == Outline.of(model)
    assert Outline.of(model).embedding_bits == (4 if options else 8)
    (tmp_path / "m.sterna").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a complete safetensors file"):
        container.load_outline(tmp_path / "m.sterna")


@pytest.mark.parametrize("ring", [0, 40])
def test_sizes(ring):
    """Counted from the outline, as many words as are laid out."""
    model = tiny_model(vocab=50, hidden=20, layers=2, intermediate=33)
    lanes = {"rows": 2, "columns": 8, "elements": 4, "packing": Packing.FIVE_THIRDS}
    config = fit(model, **lanes, psum_words=5, ring_words=ring)
    image, found = lay_out(model, config), needs(Outline.of(model), config)
    assert found["tape_words"] == len(image.tape)
    assert found["vector_a_words"] == len(image.vector_a)
    assert found["vector_b_words"] == len(image.vector_b)
    assert found["embedding_words"] == len(image.embedding)
    assert len(list(cuts(model.steps, config))) == len(image.segments) > len(model.steps)


def test_ring_that_is_too_small():
    outline = Outline.of_shape(Shape(50, 20, 20, 33, 1))
    lanes = {"rows": 1, "columns": 4, "elements": 4, "packing": Packing.TWO_BITS}
    with pytest.raises(InputError, match="ring_words = 8 is too few"):
        fit(outline, **lanes, slots=2, ring_words=8)
