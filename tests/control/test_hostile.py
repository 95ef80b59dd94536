"""No tape can bring the sequencer to where it does what it should not, or nothing: for all time."""

import pytest

from sterna.spec.chip import ChipConfig
from sterna.spec.trits import Packing
from sterna_rtl.control.sequencer import Sequencer
from sterna_sim.kit import Answer, edited, prove_never

from .hostile import GoesOn, Stops


def small(columns):
    """A chip of two slots; of 150 columns a word is a header, of 50 a third, of 320 two."""
    return ChipConfig(
        rows=1, columns=columns, elements=1, packing=Packing.TWO_BITS, tape_words=2,
        vector_a_words=2, vector_b_words=2, embedding_bits=8, embedding_words=2,
        residual_words=2, scratch_words=2, state_words=2, psum_words=1, max_columns=1, max_vocab=2,
        slots=2,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [150, 50, 320])
@pytest.mark.parametrize("claim", [GoesOn, Stops])
def test_any_tape(claim, columns):
    assert prove_never(claim(small(columns), Sequencer)) is Answer.PROVEN


@pytest.mark.parametrize(
    ("claim", "old", "new"),
    [
        (GoesOn, "with m.If(came):", "with m.If(came & (header.op != 3)):"),
        (GoesOn, "for_header.eq(~more)", "for_header.eq(~more & (header.blocks != 0))"),
        (GoesOn, "~(todo & (todo - 1)).any()", "((todo & (todo - 1)) == 0) & todo.any()"),
        (Stops, "m.d.sync += good.eq(is_one)", "m.d.sync += good.eq(1)"),
        (Stops, "new.eq(came & is_one)", "new.eq(came)"),
        (Stops, "self.faults.header | none", "none"),
    ],
    ids=[
        "an operation that is never handed out",
        "no header is asked for after one without words",
        "a pass without slots holds it up",
        "jobs of a header that is none",
        "words of a header that is none",
        "the fault is forgotten",
    ],
)
def test_planted_bugs(claim, old, new):
    unit = edited(Sequencer, old, new)
    assert prove_never(claim(small(150), unit)) is Answer.FALSE
