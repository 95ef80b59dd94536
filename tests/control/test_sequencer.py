"""Sequencer: every job and word in order, checksums, and headers that are none."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from sterna.model.layout import fit, lay_out
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op
from sterna.spec.trits import Packing
from sterna_rtl.control.sequencer import Sequencer
from sterna_rtl.layouts import Layouts
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.tiny import tiny_model

CONFIGS = {
    # header in one word, in several, and a matrix cut into segments
    "wide": {"rows": 4, "columns": 64, "elements": 8, "packing": Packing.FIVE_THIRDS},
    "narrow": {"rows": 1, "columns": 8, "elements": 8, "packing": Packing.TWO_BITS},
    "cut": {
        "rows": 2,
        "columns": 24,
        "elements": 4,
        "packing": Packing.FIVE_THIRDS,
        "psum_words": 6,
    },
}


def model():
    return tiny_model(vocab=29, hidden=24, layers=1, intermediate=40)


def words_of(image):
    """Tape words as integers."""
    return [int.from_bytes(word.tobytes(), "little") for word in image.tape]


def expected(image, config):
    """What leaves the sequencer in one pass, by port."""
    layouts, tape = Layouts(config), words_of(image)
    jobs = {
        "o_quantizer": (layouts.quantizer_job, lambda op: op != Op.EMBED),
        "o_engine": (layouts.engine_job, lambda op: op != Op.EMBED),
        "o_epilogue": (layouts.epilogue_job, lambda op: True),
        "o_embedding": (layouts.embedding_job, lambda op: op == Op.EMBED),
    }
    out = {
        port: [
            {name: int(getattr(segment.header, name)) for name in layout.members}
            for segment in image.segments
            if takes(segment.header.op)
        ]
        for port, (layout, takes) in jobs.items()
    }
    out["o"] = [
        word
        for segment in image.segments
        for word in tape[segment.first_word : segment.first_word + segment.words]
    ]
    return out


class SequencerBench(UnitBench):
    """Two passes over the tape of a small model."""

    name = "sequencer"
    configs = {name: fit(model(), **lanes) for name, lanes in CONFIGS.items()}
    cocotb_configs = ("wide", "cut")
    bugs = {
        "a word lost at the end of a block": lambda config: edited(
            Sequencer,
            "last_group = group + 1 == current.groups",
            "last_group = group + 2 == current.groups",
        )(config),
        "embedding's job to the engine too": lambda config: edited(
            Sequencer, '"engine": (self.o_engine, self.layouts.engine_job, ~embeds)',
            '"engine": (self.o_engine, self.layouts.engine_job, Const(1))',
        )(config),
        "checksum not rotated": lambda config: edited(
            Sequencer, "total.eq(total.rotate_left(1) ^ folded)", "total.eq(total ^ folded)"
        )(config),
    }  # fmt: skip
    bug_configs = ("wide",)
    not_stalled = {"o_embedding": "one job a pass, too few to meet every stall"}

    def dut(self, config):
        return Sequencer(config)

    def cases(self, config, rng):
        image = lay_out(model(), config)
        one = expected(image, config)
        yield Case(
            {"i": words_of(image) * 2},
            {port: items * 2 for port, items in one.items()},
            finals={"faults": {"header": 0, "checksum": 0}},
            # Two more clocks for each pass: its first headers have no words before them.
            clocks=2 * (len(image.tape) + 2) + 4,
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SequencerBench())


def run_broken(config, tape):
    """Play a tape into a sequencer whose outputs are always ready; return faults and segment."""
    dut = Sequencer(config)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    result = {}

    async def feed(ctx):
        for port in (dut.o, dut.o_quantizer, dut.o_engine, dut.o_epilogue, dut.o_embedding):
            ctx.set(port.ready, 1)
        ctx.set(dut.i.valid, 1)
        for word in tape:
            ctx.set(dut.i.payload, word)
            for _ in range(50):
                *_, taken = await ctx.tick().sample(dut.i.ready)
                if taken:
                    break
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(4)
        result["faults"] = ctx.get(dut.faults.as_value())
        result["segment"] = ctx.get(dut.fault_segment)

    sim.add_testbench(feed)
    sim.run()
    return result["faults"], result["segment"]


@pytest.mark.parametrize("name", ["wide", "narrow", "cut"])
def test_flipped_bits_are_named(name):
    """Every word of some segments, one random bit each: the checksum names the segment."""
    config = SequencerBench.configs[name]
    image = lay_out(model(), config)
    rng = np.random.default_rng(3)
    for number in rng.integers(1, len(image.segments), 6):
        segment = image.segments[number]
        tape = words_of(image)
        place = segment.first_word + int(rng.integers(segment.words))
        tape[place] ^= 1 << int(rng.integers(config.word_bits))
        assert run_broken(config, tape) == (2, number)


@pytest.mark.parametrize("name", ["wide", "narrow", "cut"])
def test_bad_header_stops(name):
    """A damaged magic is a header fault, with the segment's number."""
    config = SequencerBench.configs[name]
    image = lay_out(model(), config)
    tape = words_of(image)
    tape[0] ^= 1
    assert run_broken(config, tape) == (1, 0)


def test_short_tape_is_noticed():
    """A word that is missing makes the next header a fault, or the checksum wrong."""
    config = SequencerBench.configs["wide"]
    image = lay_out(model(), config)
    tape = words_of(image)
    del tape[image.segments[1].first_word]
    faults, segment = run_broken(config, tape)
    assert faults
    assert segment == 1


def test_contract():
    """Jobs and words wait unchanged, on any tape: a hostile one too."""
    config = ChipConfig(
        rows=1, columns=150, elements=1, packing=Packing.TWO_BITS, tape_words=2,
        vector_a_words=2, vector_b_words=2, embedding_bits=8, embedding_words=2,
        residual_words=2, scratch_words=2, state_words=2, psum_words=1, max_columns=1, max_vocab=2,
    )  # fmt: skip
    contract = StreamContract(combinational=True, depth=16, covers=1)
    bugs = {
        "word replaced while it waits": lambda: edited(
            Sequencer,
            "m.d.comb += self.o.payload.eq(self.i.payload)",
            "m.d.comb += self.o.payload.eq(self.i.payload ^ pending)",
        )(config),
    }
    check_contract(lambda: Sequencer(config), contract, bugs)
