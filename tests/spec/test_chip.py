"""Chip configurations: what is refused and how, what derives from them, and their identity."""

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.errors import InputError
from sterna.spec.chip import MAX_SLOTS, MEMORIES, REFERENCE, ChipConfig
from sterna.spec.trits import Packing

NAMES = [field.name for field in dataclasses.fields(ChipConfig)]
TAPES = ("tape_words", "ring_words")
"""One of them is 0: the tape lies on the chip or passes through a ring."""
EXTRAS = ("top_k", "log_probability", "memory", "compact")
DEPTHS = [name for name in NAMES if name.endswith("_words") and name not in TAPES]


BESIDE = dataclasses.replace(
    REFERENCE, tape_words=0, ring_words=16, embedding_words=0, memory="ULX3S"
)
"""A chip with a memory beside it."""


@st.composite
def configs(draw):
    rows, elements = (1 << draw(st.integers(0, 6)) for _ in range(2))
    depths = {name: draw(st.integers(1, 1 << 24)) for name in DEPTHS}
    depths["psum_words"] = max(depths["psum_words"], -(-elements // rows))
    slots = draw(st.integers(1, MAX_SLOTS))
    memory = draw(st.sampled_from(MEMORIES))
    if memory:
        depths["embedding_words"], tape, ring = 0, 0, draw(st.integers(16, 1 << 24))
    else:
        tape, ring = draw(st.permutations([0, draw(st.integers(1, 1 << 24))]))
    return ChipConfig(
        rows=rows,
        elements=elements,
        columns=elements * draw(st.integers(1, 64)),
        packing=draw(st.sampled_from(Packing)),
        embedding_bits=draw(st.sampled_from([4, 8])),
        max_columns=draw(st.integers(1, 1 << 16)),
        max_vocab=draw(st.integers(1, 1 << 24)),
        slots=slots,
        tape_words=tape,
        ring_words=ring,
        top_k=draw(st.integers(0, 16)) if slots == 1 else 0,
        log_probability=slots == 1 and draw(st.booleans()),
        memory=memory,
        **depths,
    )


@given(configs())
def test_configurations_come_back_from_their_dictionary(config):
    values = json.loads(json.dumps(config.to_dict()))
    assert ChipConfig.from_dict(values) == config
    assert ChipConfig.from_dict(values).digest == config.digest


@given(configs())
def test_derived_sizes(config):
    lanes = config.rows * config.columns
    assert config.lanes == lanes
    group, bits = {
        Packing.TWO_BITS: (1, 2),
        Packing.FIVE_THIRDS: (3, 5),
        Packing.EIGHT_FIFTHS: (5, 8),
    }[config.packing]
    assert config.word_bits == (lanes + group - 1) // group * bits
    # The widths hold the largest numbers and one bit less does not.
    assert 127 * config.max_columns < 1 << config.row_sum_bits - 1 <= 254 * config.max_columns
    assert config.max_vocab <= 1 << config.token_bits
    assert config.token_bits == 1 or config.max_vocab > 1 << config.token_bits - 1
    assert config.slots <= 1 << config.slot_bits
    assert config.slot_bits == 1 or config.slots > 1 << config.slot_bits - 1


@given(configs(), st.sampled_from(NAMES))
def test_digest_tells_any_two_apart(config, name):
    other = config.to_dict()
    if name == "packing":
        other[name] = next(p.name for p in Packing if p is not config.packing)
    elif name == "embedding_bits":
        other[name] = 12 - other[name]
    elif name in ("rows", "elements", "columns"):
        other[name] *= 2
    elif name == "top_k":
        other[name] = 16 - other[name]
    elif name == "log_probability":
        other[name] = not other[name]
    elif name == "memory":
        other |= {name: MEMORIES[1], "embedding_words": 0, "tape_words": 0, "ring_words": 16}
    else:
        other[name] = max(1, other[name] - 1)
    try:
        changed = ChipConfig.from_dict(other)
    except InputError:
        return
    assert (changed.digest == config.digest) == (changed == config)


def test_digest_is_the_hash_of_the_canonical_text():
    """In any language: keys in order, no spaces, packings by name."""
    for config in (
        REFERENCE,
        dataclasses.replace(REFERENCE, top_k=3, log_probability=True),
        BESIDE,
    ):
        values = config.to_dict()
        for name in EXTRAS:
            if not values[name]:  # what a chip does not have is left out
                del values[name]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        assert '"packing":"FIVE_THIRDS"' in text
        assert config.digest == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_digest_of_the_reference_chip():
    """Whoever has this chip on a board has it under this name."""
    assert REFERENCE.digest == "cab25a8f783abd74"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("packing", "embedding_words", *TAPES, *EXTRAS)]
)
@pytest.mark.parametrize("value", [0, -1, (1 << 24) + 1, 2.0, "8", None])
def test_numbers_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name} must be an integer from 1 to 2"):
        dataclasses.replace(REFERENCE, **{name: value})


@pytest.mark.parametrize("name", [*TAPES, "embedding_words"])
@pytest.mark.parametrize("value", [-1, (1 << 24) + 1, 2.0, "8", None])
def test_tapes_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name} must be an integer from 0 to 2"):
        dataclasses.replace(REFERENCE, **{name: value})


def test_the_tape_lies_on_the_chip_or_in_a_ring():
    """Either way is a chip of its own; none and both are refused."""
    ring = dataclasses.replace(REFERENCE, tape_words=0, ring_words=512)
    assert ring.digest != REFERENCE.digest
    for tape_words, ring_words in ((0, 0), (6144, 512)):
        with pytest.raises(InputError, match=f"must be 0, not {tape_words} and {ring_words}"):
            dataclasses.replace(REFERENCE, tape_words=tape_words, ring_words=ring_words)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 3}, "rows must be a power of two, not 3"),
        ({"elements": 12}, "elements must be a power of two, not 12"),
        ({"columns": 60}, r"columns must be a multiple of elements \(8\), not 60"),
        ({"rows": 256}, "rows must be at most 128 and elements at most 64, not 256 and 8"),
        ({"elements": 128, "columns": 128}, "elements at most 64, not 4 and 128"),
        ({"embedding_bits": 1}, "embedding_bits must be 4 or 8, not 1"),
        ({"embedding_bits": 7}, "embedding_bits must be 4 or 8, not 7"),
        ({"psum_words": 1}, "psum_words x rows must be at least 8, not 4"),
        ({"slots": 9}, "slots must be at most 8, not 9"),
        ({"max_columns": (1 << 16) + 1}, "max_columns must be at most 65536, not 65537"),
        ({"top_k": 17}, "top_k must be an integer from 0 to 16, not 17"),
        ({"top_k": -1}, "top_k must be an integer from 0 to 16, not -1"),
        ({"top_k": True}, "top_k must be an integer from 0 to 16, not True"),
        ({"top_k": 1, "slots": 3}, "top_k needs a chip with one slot, not 3"),
        ({"log_probability": 1}, "log_probability must be true or false, not 1"),
        (
            {"log_probability": True, "slots": 2},
            "log_probability needs a chip with one slot, not 2",
        ),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(REFERENCE, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": "DDR"}, "memory must be empty or one of AS4C16M16SA-6, .*, not 'DDR'"),
        ({"memory": None}, "memory must be empty or one of .*, not None"),
        ({"memory": ""}, r"or in a memory beside it \(memory\): not 0 and ''"),
        ({"embedding_words": 5}, "beside it .*: not 5 and 'ULX3S'"),
        ({"ring_words": 15}, "a chip with a memory needs ring_words of 16 or more, not 15"),
        ({"ring_words": 0, "tape_words": 5}, "needs ring_words of 16 or more, not 0"),
    ],
)
def test_memories_that_do_not_go_with_the_rest_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(BESIDE, **changes)


def test_numbers_of_the_memories():
    """A chip on a board shows its memory by this number."""
    parts = ("AS4C16M16SA-6", "AS4C16M16SA-7", "W9825G6JH-6", "W9825G6JH-75", "ULX3S")
    ports = ("axi4-64", "axi4-ddr4", "axi4-hbm")
    assert dict(enumerate(MEMORIES)) == dict(enumerate(("", *parts, *ports)))


@pytest.mark.parametrize("name", EXTRAS)
def test_what_a_chip_lacks_may_be_left_out(name):
    """Files that were written before there was such a part."""
    values = REFERENCE.to_dict()
    del values[name]
    assert ChipConfig.from_dict(values) == REFERENCE


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXTRAS])
def test_missing_fields_are_named(name):
    values = REFERENCE.to_dict()
    del values[name]
    with pytest.raises(InputError, match=f"missing or unknown field '{name}'"):
        ChipConfig.from_dict(values)


def test_unknown_fields_are_named():
    with pytest.raises(InputError, match="missing or unknown field 'colour'"):
        ChipConfig.from_dict({**REFERENCE.to_dict(), "colour": 1})


@pytest.mark.parametrize("packing", ["TWO", "two_bits", "", 1])
def test_unknown_packings_are_refused(packing):
    with pytest.raises(
        InputError, match="packing must be one of TWO_BITS, FIVE_THIRDS, EIGHT_FIFTHS, not"
    ):
        ChipConfig.from_dict({**REFERENCE.to_dict(), "packing": packing})
