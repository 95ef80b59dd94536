"""Layout: what lies on the tape and in the RAMs is the model, whatever the chip's lanes."""

import dataclasses

import numpy as np
import pytest

from sterna.errors import InputError
from sterna.model.layout import fit, lay_out, read_back
from sterna.model.model import Model, Shape
from sterna.model.outline import Outline
from sterna.model.sizes import needs, row_blocks
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Stats, Step
from sterna.spec.registers import Memory
from sterna.spec.sdram import BURST, PARTS, WORD_BITS
from sterna.spec.tape import decode_headers, header_words, headers_in_word
from sterna.spec.trits import Packing, unpack

SHAPE = Shape(vocab=13, hidden=11, width=7, intermediate=19, layers=2)

LANES = {
    "4x8-4": {"rows": 4, "columns": 8, "elements": 4, "packing": Packing.FIVE_THIRDS},
    "1x1-1": {"rows": 1, "columns": 1, "elements": 1, "packing": Packing.TWO_BITS},
    "1x1-1-thirds": {"rows": 1, "columns": 1, "elements": 1, "packing": Packing.FIVE_THIRDS},
    "2x6-2": {"rows": 2, "columns": 6, "elements": 2, "packing": Packing.TWO_BITS},
    "16x12-4": {"rows": 16, "columns": 12, "elements": 4, "packing": Packing.FIVE_THIRDS},
    "4x64-8": {"rows": 4, "columns": 64, "elements": 8, "packing": Packing.FIVE_THIRDS},
    "headers-share-words": {
        "rows": 4, "columns": 160, "elements": 8, "packing": Packing.TWO_BITS, "psum_words": 2,
    },
    "cut": {
        "rows": 2, "columns": 4, "elements": 4, "packing": Packing.FIVE_THIRDS, "psum_words": 3,
    },
    "cut-to-one-beat": {
        "rows": 1, "columns": 8, "elements": 8, "packing": Packing.TWO_BITS, "psum_words": 8,
    },
}  # fmt: skip


def random_model(seed=0):
    """Every operation in each of two layers, with constants that are all different."""
    rng = np.random.default_rng(seed)
    shape, steps, trits = SHAPE, [Step("embed", Op.EMBED, Stats.FRESH, SHAPE.hidden, 0)], {}
    vectors = {}

    def vector(name, count):
        vectors[name] = rng.integers(-32767, 32768, count)
        return name

    def add(name, op, stats, rows, columns, **options):
        trits[name] = rng.integers(-1, 2, (rows, columns), dtype=np.int8)
        numbers = {
            "scale": (int(rng.integers(1 << 15, 1 << 16)), int(rng.integers(-128, 128))),
            "eps": (int(rng.integers(1 << 15, 1 << 16)), int(rng.integers(-128, 128))),
            "eps_constant": int(rng.integers(0, 1 << 32)),
            "sigmoid_shift": int(rng.integers(0, 16)),
            "out_shift": int(rng.integers(0, 32)),
            "residual_shift": int(rng.integers(0, 16)),
        }
        vector_q = vector(f"{name} q", columns)
        steps.append(Step(name, op, stats, rows, columns, vector_q=vector_q, **numbers, **options))

    for layer in range(shape.layers):
        hidden, width, inner = shape.hidden, shape.width, shape.intermediate
        lower_bound = vector(f"{layer} bound", width) if layer else None
        where = {"layer": layer}
        add(f"{layer} i", Op.SILU, Stats.FRESH, width, hidden)
        add(f"{layer} f", Op.STATE, Stats.MAXIMUM, width, hidden, vector_a=lower_bound, **where)
        norms = {
            "vector_a": vector(f"{layer} w1", width),
            "vector_b": vector(f"{layer} w12", width),
        }
        add(f"{layer} g", Op.GATE, Stats.MAXIMUM, width, hidden, **norms, **where)
        add(f"{layer} o", Op.RESIDUAL, Stats.FRESH, hidden, width)
        add(f"{layer} gate", Op.SILU, Stats.FRESH, inner, hidden)
        add(f"{layer} up", Op.PRODUCT, Stats.KEEP, inner, hidden)
        add(f"{layer} down", Op.RESIDUAL, Stats.FRESH, hidden, inner)
    add("head", Op.LOGITS, Stats.FRESH, shape.vocab, shape.hidden)
    return Model(
        shape=shape,
        steps=tuple(steps),
        trits=trits,
        vectors=vectors,
        embedding=rng.integers(-127, 128, (shape.vocab, shape.hidden), dtype=np.int8),
        embedding_scale=rng.integers(0, 1 << 16, shape.vocab),
    )


MODEL = random_model()
COARSE = dataclasses.replace(MODEL, embedding=MODEL.embedding >> 4)
"""The same with an embedding of 4 bits."""


@pytest.fixture(params=LANES, name="config")
def _config(request) -> ChipConfig:
    return fit(MODEL, **LANES[request.param])


def padded(values, unit):
    """Zeros up to a multiple of `unit`."""
    return np.pad(values, (0, -len(values) % unit))


def headers_at(image, config, position, count):
    """So many headers that share what begins at a tape position."""
    words = image.tape[position : position + header_words(config.word_bits)]
    return decode_headers(words, config.word_bits, count)


def test_trits_are_read_back(config):
    decoded = read_back(lay_out(MODEL, config), config)
    assert sorted(decoded) == list(range(1, len(MODEL.steps)))
    for number, trits in decoded.items():
        step = MODEL.steps[number]
        expected = np.zeros((step.rows, -(-step.columns // config.elements) * config.elements))
        expected[:, : step.columns] = MODEL.trits[step.name]
        assert np.array_equal(trits, expected)


def test_words_hold_blocks_of_columns_groups_of_rows_and_lanes(config):
    """Trit by trit: word (block b, group g), lane r * C + c is row g * R + r, column b * C + c."""
    image = lay_out(MODEL, config)
    for segment in image.segments[1:]:
        header, step = segment.header, MODEL.steps[segment.step]
        words = image.tape[segment.first_word : segment.first_word + segment.words]
        bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
        found = unpack(bits[:, : config.word_bits], config.lanes, config.packing)
        for (word, lane), trit in np.ndenumerate(found):
            block, group = divmod(word, header.groups)
            row = group * config.rows + lane // config.columns
            column = block * config.columns + lane % config.columns
            exists = row < header.rows and column < step.columns
            assert trit == (MODEL.trits[step.name][header.row + row, column] if exists else 0)


def test_headers_run_one_segment_ahead(config):
    """Walk the tape as the chip does: header 0, header 1, words 0, header 2, words 1, ...

    Those that share a word lie where the first of them would.
    """
    image = lay_out(MODEL, config)
    size, shared = header_words(config.word_bits), headers_in_word(config.word_bits)
    position = 0
    for index in range(len(image.segments)):
        if index % shared == 0:
            headers = [each.header for each in image.segments[index : index + shared]]
            assert headers_at(image, config, position, len(headers)) == headers
            position += size
        if index:
            before = image.segments[index - 1]
            assert before.words == before.header.groups * before.header.blocks
            if before.words:
                assert before.first_word == position
            position += before.words
    last = image.segments[-1]
    assert last.first_word == position
    assert position + last.words == len(image.tape)
    assert [segment.header.last for segment in image.segments] == [
        segment is last for segment in image.segments
    ]


def test_headers_are_the_steps(config):
    image = lay_out(MODEL, config)
    row = 0
    for segment in image.segments:
        step, header = MODEL.steps[segment.step], segment.header
        for name in ("op", "eps_constant", "sigmoid_shift", "out_shift", "residual_shift"):
            assert getattr(header, name) == getattr(step, name)
        assert (header.scale_mantissa, header.scale_exponent) == step.scale
        assert (header.eps_mantissa, header.eps_exponent) == step.eps
        assert header.state == step.layer * -(-SHAPE.width // config.elements)
        assert header.bounded == (step.op is Op.STATE and step.layer == 1)
        # Segments of a matrix that is cut follow each other, and keep the statistics.
        assert header.row == row
        assert header.stats == (step.stats if row == 0 else Stats.KEEP)
        row += header.rows
        assert header.more == (row < step.rows)
        if not header.more:
            assert row == step.rows
            row = 0
        else:
            assert row % max(config.rows, config.elements) == 0
            assert header.groups <= config.psum_words
    # Cuts lie at whole beats of either side.
    unit = max(config.rows, config.elements)
    most = config.psum_words * config.rows // unit * unit
    pieces = [1, *(-(-step.rows // most) for step in MODEL.steps[1:])]
    assert len(image.segments) == sum(pieces)


def test_vectors_lie_where_the_headers_say(config):
    image = lay_out(MODEL, config)
    elements = config.elements

    def check(ram, address, vector):
        expected = padded(vector & 0xFFFF, elements)
        assert np.array_equal(ram[address : address + len(expected) // elements].ravel(), expected)

    for segment in image.segments:
        step, header = MODEL.steps[segment.step], segment.header
        if step.op is Op.EMBED:
            check(image.vector_a, header.vector_q, MODEL.embedding_scale)
        else:
            check(image.vector_b, header.vector_q, MODEL.vectors[step.vector_q])
        if step.vector_a is not None:
            check(image.vector_a, header.vector_a, MODEL.vectors[step.vector_a])
        if step.vector_b is not None:
            check(image.vector_b, header.vector_b, MODEL.vectors[step.vector_b])


@pytest.mark.parametrize(("model", "bits"), [(MODEL, 8), (COARSE, 8), (COARSE, 4)])
def test_embedding_rows_fill_whole_words(config, model, bits):
    image = lay_out(model, dataclasses.replace(config, embedding_bits=bits))
    row_words = image.segments[0].header.source_words
    assert image.vocab == SHAPE.vocab
    assert image.embedding.shape[1] == -(-config.elements * bits // 32)
    for token, row in enumerate(model.embedding):
        words = image.embedding[token * row_words : (token + 1) * row_words]
        numbers = [sum(int(piece) << 32 * i for i, piece in enumerate(word)) for word in words]
        for index, level in enumerate(padded(row, config.elements).tolist()):
            word, lane = divmod(index, config.elements)
            assert numbers[word] >> lane * bits & (1 << bits) - 1 == level % (1 << bits)
        assert all(number < 1 << config.elements * bits for number in numbers)


@pytest.mark.parametrize(("level", "bits"), [(-8, 4), (7, 4), (-9, 8), (8, 8)])
def test_width_of_the_embedding_is_that_of_its_levels(level, bits):
    """And a chip whose elements are narrower refuses the model in words."""
    table = np.zeros_like(MODEL.embedding)
    table[3, 5] = level
    model = dataclasses.replace(MODEL, embedding=table)
    config = fit(model, **LANES["4x8-4"])
    assert config.embedding_bits == bits
    if bits == 8:
        with pytest.raises(InputError, match="needs embedding_bits = 8, the chip has 4; choose"):
            lay_out(model, dataclasses.replace(config, embedding_bits=4))


@pytest.mark.parametrize("model", [MODEL, COARSE])
@pytest.mark.parametrize("name", LANES)
def test_memory_beside_the_chip(name, model):
    """Tape words begin with a word of the memory, rows of the embedding with a block."""
    config = fit(model, **LANES[name], ring_words=1 << 12, memory="ULX3S")
    image = lay_out(model, config)
    assert set(image.memories()) == {Memory.VECTOR_A, Memory.VECTOR_B, Memory.EXTERNAL}
    words = image.memories()[Memory.EXTERNAL].view("<u2").reshape(-1).tolist()
    pieces = -(-config.word_bits // WORD_BITS)
    for number, word in enumerate(image.tape):
        whole = sum(int(piece) << 32 * n for n, piece in enumerate(word))
        found = words[number * pieces : (number + 1) * pieces]
        assert sum(piece << WORD_BITS * n for n, piece in enumerate(found)) == whole
    assert image.tape_blocks == -(-len(image.tape) * pieces // BURST)

    bits, per_row = config.embedding_bits, row_blocks(SHAPE.hidden, config) * BURST
    assert per_row * WORD_BITS - BURST * WORD_BITS < SHAPE.hidden * bits + config.elements * bits
    for token, row in enumerate(model.embedding):
        first = image.tape_blocks * BURST + token * per_row
        joined = sum(word << WORD_BITS * n for n, word in enumerate(words[first : first + per_row]))
        mask = (1 << bits) - 1
        assert [joined >> bits * n & mask for n in range(len(row))] == (
            row.astype(int) & mask
        ).tolist()
    assert len(words) == (image.tape_blocks * BURST) + len(model.embedding) * per_row


def test_memory_that_is_too_small(monkeypatch):
    config = fit(MODEL, **LANES["4x8-4"], ring_words=1 << 12, memory="ULX3S")
    needed = lay_out(MODEL, config).external.nbytes
    small = dataclasses.replace(PARTS["ULX3S"], row_bits=1, column_bits=3)
    monkeypatch.setitem(PARTS, "ULX3S", small)
    message = f"needs {needed:,} bytes of the memory ULX3S, which holds {small.words * 2:,};"
    with pytest.raises(InputError, match=message):
        lay_out(MODEL, config)


@pytest.mark.parametrize("name", ["4x8-4", "cut"])
def test_every_flipped_weight_bit_is_noticed(name):
    config = fit(MODEL, **LANES[name])
    image = lay_out(MODEL, config)
    rng = np.random.default_rng(11)
    for segment in image.segments:
        for _ in range(5 if segment.words else 0):
            tape = image.tape.copy()
            word = segment.first_word + rng.integers(segment.words)
            bit = int(rng.integers(config.word_bits))
            tape[word, bit // 32] ^= np.uint32(1 << bit % 32)
            with pytest.raises(InputError, match=f"step {segment.step}: the tape's checksum"):
                read_back(dataclasses.replace(image, tape=tape), config)


def test_fit_is_the_smallest(config):
    """The model fits, and with one word less of any RAM it does not; the RAM is named."""
    sizes = needs(Outline.of(MODEL), config)
    assert config.embedding_bits == sizes.pop("embedding_bits") == 8
    for name, size in sizes.items():
        assert getattr(config, name) == size
        smaller = dataclasses.replace(config, **{name: size - 1}) if size > 1 else None
        if smaller is not None:
            with pytest.raises(InputError, match=f"needs {name} = {size}, the chip has {size - 1}"):
                lay_out(MODEL, smaller)


def test_layout_is_the_same_each_time(config):
    one, other = lay_out(MODEL, config), lay_out(random_model(), config)
    for name in ("tape", "vector_a", "vector_b", "embedding"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert one.segments == other.segments
