"""Payloads of all streams between units, derived from `sterna.spec` and the chip configuration."""

from __future__ import annotations

from amaranth import Array, Const, Shape, Value, signed, unsigned
from amaranth.lib.data import ArrayLayout, StructLayout

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import (
    PRE_BITS,
    RESIDUAL_BITS,
    SCALE_BITS,
    SCRATCH_BITS,
    STATE_BITS,
    VECTOR_BITS,
)
from sterna.spec.tape import HEADER_FIELDS
from sterna_rtl.arith.gumbel import GUMBEL_BITS

__all__ = ["HEADER", "Layouts", "first_word"]

_FIELD = {name: signed(bits) if sign else unsigned(bits) for name, bits, sign, _ in HEADER_FIELDS}

HEADER = StructLayout(_FIELD)
"""A segment header as it lies on the tape."""


def _part(*names: str, **others: Shape) -> StructLayout:
    """Those fields of a header that one unit needs, and others: its job."""
    return StructLayout({**{name: _FIELD[name] for name in names}, **others})


def first_word(config: ChipConfig, bank: str, slot: Value) -> Value:
    """Return the address of a slot's first word in a bank: of constants, not by a multiplier."""
    words = getattr(config, f"{bank}_words")
    return Const(0) if config.slots == 1 else Array(n * words for n in range(config.slots))[slot]


class Layouts:
    """Payload shapes of one chip.

    Attributes
    ----------
    word : shape
        A tape word.
    weights : StructLayout
        An unpacked word, `nonzero` and `negative` for each lane; lane r * C + c is row r, column c.
        A zero trit may carry any sign.
    activations : ArrayLayout
        E quantised activations.
    sums : StructLayout
        R row sums of consecutive rows; `last` marks the end of a segment. Sums of padding rows are
        zero.
    element_sums : StructLayout
        The same, E sums a beat.
    results : StructLayout
        What gathering operations write to a bank, E elements, for the quantizer's statistics:
        `values`, the values `second` whose squares make the second sum, `unit` if w1 is one,
        `first` and `last` of the vector, its `slot`.
    norms : StructLayout
        Where the results' norm weights lie: addresses of w1 (side RAM A) and w12 (side RAM B).
    scale : StructLayout
        Output scale of a segment.
    embedding_word : ArrayLayout
        A word of the embedding RAM.
    embedding_row : StructLayout
        A row of the embedding in external memory: its token, and how many words it has.
    embedding : StructLayout
        E elements of an embedding row; `scale` is the row's, `last` marks its end.
    logits : StructLayout
        E logits; `mask` marks those that exist, `first` and `last` the vocabulary's ends, `end`
        the segment's.
    part : StructLayout
        The min(R, E) logits that the sampler takes per clock, with their noise; `last` as in
        `logits`.
    candidate : StructLayout
        One of the largest logits, with its token and noise.
    ranked : StructLayout
        What the host may know of it.
    target : StructLayout
        A token whose log-probability is wanted.
    prompt : StructLayout
        A token from the host: its slot, the slot whose state it goes on from, if the pass has
        `more`, whether to `draw` after it, and a target if the configuration has
        log-probabilities.
    quantizer_job, engine_job, epilogue_job, embedding_job : StructLayout
        Header fields for each unit; `slot` is the one whose segment it is, `source` the slot whose
        state the recurrence goes on from.
    sampler_job : StructLayout
        A slot's logits come next: all of them, or with cut heads a part; `first` if the first.
    play : StructLayout
        Tape words to give `times` times, from where the play before ended; of a `header` or not.
    tag : StructLayout
        What a play makes of a word: one of a `header`, the `end` of one of its times, one of the
        `final` time.
    tape_word : StructLayout
        A tape word and its tag.
    token : Shape
    pass_ : StructLayout
        Slots that take part in a pass, and each one's source.
    """

    def __init__(self, config: ChipConfig) -> None:
        rows, lanes, elements = config.rows, config.lanes, config.elements
        self.slot = slot = unsigned(config.slot_bits)
        self.word = unsigned(config.word_bits)
        self.weights = StructLayout({"nonzero": lanes, "negative": lanes})
        self.activations = ArrayLayout(signed(8), elements)
        sum_shape = signed(config.row_sum_bits)
        self.sums = StructLayout({"sums": ArrayLayout(sum_shape, rows), "last": 1})
        self.element_sums = StructLayout({"sums": ArrayLayout(sum_shape, elements), "last": 1})
        self.residual = ArrayLayout(signed(RESIDUAL_BITS), elements)
        self.scratch = ArrayLayout(signed(SCRATCH_BITS), elements)
        self.state = ArrayLayout(signed(STATE_BITS), elements)
        self.vector = ArrayLayout(unsigned(VECTOR_BITS), elements)
        self.scale = StructLayout({"mantissa": SCALE_BITS, "shift": 6})
        self.results = StructLayout(
            {
                "values": self.scratch,
                "second": ArrayLayout(signed(PRE_BITS), elements),
                "unit": 1,
                "first": 1,
                "last": 1,
                "slot": slot,
            }
        )
        self.norms = StructLayout({name: _FIELD[name] for name in ("vector_a", "vector_b")})
        self.embedding_word = ArrayLayout(signed(config.embedding_bits), elements)
        self.embedding = StructLayout(
            {"elements": ArrayLayout(signed(8), elements), "scale": SCALE_BITS, "last": 1}
        )
        self.logits = StructLayout(
            {
                "values": ArrayLayout(signed(PRE_BITS), elements),
                "mask": elements,
                "first": 1,
                "last": 1,
                "end": 1,
            }
        )
        self.part = StructLayout(
            {
                "values": ArrayLayout(signed(PRE_BITS), min(rows, elements)),
                "noise": ArrayLayout(signed(GUMBEL_BITS), min(rows, elements)),
                "mask": min(rows, elements),
                "last": 1,
            }
        )
        self.token = unsigned(config.token_bits)
        ranked = {"token": self.token, "logit": signed(PRE_BITS), "exists": 1}
        self.ranked = StructLayout(ranked)
        self.candidate = StructLayout({**ranked, "noise": signed(GUMBEL_BITS), "last": 1})
        self.target = StructLayout({"token": self.token, "valid": 1})
        target = {"target": self.target} if config.log_probability else {}
        self.prompt = StructLayout(
            {"token": self.token, "slot": slot, "source": slot, "more": 1, "draw": 1, **target}
        )
        self.pass_ = StructLayout(
            {"active": config.slots, "sources": ArrayLayout(slot, config.slots)}
        )
        self.play = StructLayout({"words": 24, "times": range(config.slots + 1), "header": 1})
        self.tag = StructLayout({"header": 1, "end": 1, "final": 1})
        self.tape_word = StructLayout({"word": self.word, "tag": self.tag})
        self.sampler_job = StructLayout({"slot": slot, "first": 1})
        self.quantizer_job = _part(
            "op", "stats", "blocks", "source_words", "vector_q", "scale_mantissa", "scale_exponent",
            "eps_mantissa", "eps_exponent", "eps_constant", slot=slot,
        )  # fmt: skip
        self.engine_job = _part("groups", "blocks")
        self.epilogue_job = _part(
            "op", "last", "more", "rows", "row", "vector_a", "vector_b", "state", "bounded",
            "scale_exponent", "sigmoid_shift", "out_shift", "residual_shift",
            slot=slot, source=slot,
        )  # fmt: skip
        self.embedding_job = _part("source_words", "vector_q")
        self.embedding_row = StructLayout({"token": self.token, "words": _FIELD["source_words"]})

    def place(self, depth: int) -> StructLayout:
        """Return where a word of a play lies, its tag, and the number of the play's `words`."""
        return StructLayout(
            {"address": range(max(depth, 2)), "words": self.play["words"].shape, "tag": self.tag}
        )
