"""Sequencer: every slot's jobs and words in order, checksums, and headers that are none."""

from itertools import pairwise

import numpy as np
import pytest
from amaranth import Module, ResetInserter, Signal
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator

from sterna.model.layout import fit, lay_out
from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op
from sterna.spec.tape import header_words, headers_in_word
from sterna.spec.trits import Packing
from sterna_rtl.control.sequencer import Sequencer
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.control.wrap import join
from tests.tiny import tiny_model

CONFIGS = {
    # header in one word, in several, a matrix cut into segments, and four headers in a word
    "wide": {"rows": 4, "columns": 64, "elements": 8, "packing": Packing.FIVE_THIRDS},
    "narrow": {"rows": 1, "columns": 8, "elements": 8, "packing": Packing.TWO_BITS},
    "cut": {
        "rows": 2,
        "columns": 24,
        "elements": 4,
        "packing": Packing.FIVE_THIRDS,
        "psum_words": 6,
    },
    "widest": {"rows": 8, "columns": 80, "elements": 8, "packing": Packing.TWO_BITS},
    "wide-2-slots": {
        "rows": 4,
        "columns": 64,
        "elements": 8,
        "packing": Packing.FIVE_THIRDS,
        "slots": 2,
    },
    "cut-3-slots": {
        "rows": 2,
        "columns": 24,
        "elements": 4,
        "packing": Packing.FIVE_THIRDS,
        "psum_words": 6,
        "slots": 3,
    },
}


def model():
    return tiny_model(vocab=29, hidden=24, layers=1, intermediate=40)


def words_of(image):
    """Tape words as integers."""
    return [int.from_bytes(word.tobytes(), "little") for word in image.tape]


def slots_of(active):
    return [slot for slot in range(active.bit_length()) if active >> slot & 1]


def walk(image, config, passes):
    """What the tape's source gives: pieces as (header or not, segment, time, final, words).

    Of headers that share a word, the first one's segment.
    """
    tape, count = words_of(image), header_words(config.word_bits)
    shared = headers_in_word(config.word_bits)
    for one in passes:
        at, last = 0, len(image.segments) - 1
        # Words follow the header after their own.
        for number in range(len(image.segments) + 1):
            if number <= last and number % shared == 0:
                yield True, number, 0, True, tape[at : at + count]
                at += count
            if number > 0:
                segment = image.segments[number - 1]
                assert at == segment.first_word or not segment.words
                for time in range(len(slots_of(one["active"])) if segment.words else 0):
                    final = time == len(slots_of(one["active"])) - 1
                    yield False, number - 1, time, final, tape[at : at + segment.words]
                at += segment.words
        assert at == len(tape)


def tagged(pieces):
    """Words of pieces as the source tags them."""
    return [
        {"word": word, "tag": {"header": header, "end": n == len(words) - 1, "final": final}}
        for header, _, _, final, words in pieces
        for n, word in enumerate(words)
    ]


def expected(image, config, passes, pieces=None, jobs_for=None):
    """What leaves the sequencer, by port.

    `pieces` are the words if they end with a header that is none, `jobs_for` the headers before it.
    """
    stops = pieces is not None
    pieces = list(walk(image, config, passes)) if pieces is None else pieces
    layouts = Layouts(config)
    jobs = {
        "o_quantizer": (layouts.quantizer_job, lambda op: op != Op.EMBED),
        "o_engine": (layouts.engine_job, lambda op: op != Op.EMBED),
        "o_epilogue": (layouts.epilogue_job, lambda op: True),
        "o_embedding": (layouts.embedding_job, lambda op: op == Op.EMBED),
        "o_sampler": (layouts.sampler_job, lambda op: op == Op.LOGITS),
    }

    def job(layout, header, one, slot):
        # EMBED has no state to go on from.
        source = 0 if header.op == Op.EMBED else one["sources"][slot]
        others = {"slot": slot, "source": source, "first": int(header.row == 0)}
        return {
            name: others[name] if name in others else int(getattr(header, name))
            for name in layout.members
        }

    headers = [(one, segment.header) for one in passes for segment in image.segments]
    out = {
        port: [
            job(layout, header, one, slot)
            for one, header in headers[:jobs_for]
            if takes(header.op)
            for slot in slots_of(one["active"])
        ]
        for port, (layout, takes) in jobs.items()
    }
    out["o"] = [word for header, *_, words in pieces if not header for word in words]
    plays = []
    for header, number, time, _, words in pieces:
        if time == 0:
            of = image.segments[number].header
            count = len(words) if header else of.groups * of.blocks
            plays.append({"words": count, "times": 1, "header": header})
        else:
            plays[-1]["times"] += 1
    # The first header of a pass that may follow.
    out["o_play"] = plays if stops else [*plays, plays[0]]
    return out


class Heard(Component):
    """The sequencer as its neighbours hear it.

    Words come once they have been asked for, but in proofs, where anything comes. What a job has
    and its unit does not look at, the source of EMBED, is 0. The first play is there from reset on;
    it is shown a clock later, because the kit takes what is valid after a reset for something left
    over.
    """

    def __init__(self, config, unit=Sequencer):
        self.unit = unit(config)
        super().__init__(dict(self.unit.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        join(m, self, unit)
        with m.If(unit.o_epilogue.payload.op == Op.EMBED):
            m.d.comb += self.o_epilogue.payload.source.eq(0)
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [
            self.o_play.valid.eq(unit.o_play.valid & started),
            unit.o_play.ready.eq(self.o_play.ready & started),
        ]
        if platform != "formal":
            asked = Signal(8)  # plays of which words are to come
            tag = unit.i.payload.tag
            ended = transfers(unit.i) & tag.end & tag.final
            m.d.sync += asked.eq(asked + transfers(unit.o_play) - ended)
            with m.If(asked == 0):
                m.d.comb += [unit.i.valid.eq(0), self.i.ready.eq(0)]
        return m


def broken(old, new):
    return lambda config: Heard(config, edited(Sequencer, old, new))


def passes_of(config, rng, count):
    """Passes of all kinds: one slot, all slots, and anything between."""
    every = (1 << config.slots) - 1
    masks = [every, every & ~1 or 1, 1]
    masks += rng.integers(1, every + 1, count).tolist()
    return [
        {"active": mask, "sources": rng.integers(0, config.slots, config.slots).tolist()}
        for mask in masks[:count]
    ]


def clocks(image, config, passes):
    """One for each word of a header and each that passes behind it, at least six and the slots.

    EMBED has no words to be asked for, so five are enough; a header is handed out a clock after
    it has been checked, and it is known a clock later that the next may come.
    """
    total = 3  # the first play
    shared = headers_in_word(config.word_bits)
    for one in passes:
        slots = len(slots_of(one["active"]))
        for number, (before, segment) in enumerate(pairwise([None, *image.segments])):
            ends = number == len(image.segments) - 1
            behind = slots * sum(s.words for s in (before, segment if ends else None) if s)
            if number % shared == 0:
                total += header_words(config.word_bits)
            total += max(behind, 6 if segment.words else 5, slots + 3)
    return total


class SequencerBench(UnitBench):
    """Passes over the tape of a small model, each for other slots."""

    name = "sequencer"
    configs = {name: fit(model(), **lanes) for name, lanes in CONFIGS.items()}
    cocotb_configs = ("wide", "cut-3-slots", "widest")
    slow_configs = ("cut-3-slots",)
    bugs = {
        "a header to the lanes": broken("self.i.valid & ~tag.header)", "self.i.valid)"),
        "a header's words under another's magic": broken(
            "Mux(of_header, HEADER_MAGIC, ", "Mux(of_header, HEADER_MAGIC ^ 1, "
        ),
        "words under the magic of headers": broken("header.eq(tag.header)", "header.eq(1)"),
        "a header before there is room": broken(
            "eq(Mux(tag.header, free,", "eq(Mux(tag.header, 1,"
        ),
        "embedding's job to the engine too": broken(
            '"engine": (self.o_engine, layouts.engine_job, ~embeds)',
            '"engine": (self.o_engine, layouts.engine_job, Const(1))',
        ),
        "every job to the sampler": broken("header.op == Op.LOGITS)", "Const(1))"),
        "every part of the logits the first": broken("header.row == 0", "Const(1)"),
        "checksum not rotated": broken("total.rotate_left(sum_turn(len(word)))", "total"),
        "parts but the first left out": broken("reduce(xor, groups)", "groups[0]"),
        "checksum over all times": broken(
            "Mux(ended, 0, sum_of_all)", "Mux(ended & (of_header | checks.o.ready), 0, sum_of_all)"
        ),
        "checksum of the segment after": broken(
            "transfers(self.o) & tag.end & tag.final", "transfers(self.o) & tag.end"
        ),
        "slots from the last to the first": broken(
            "for number in reversed(range(self.config.slots))",
            "for number in range(self.config.slots)",
        ),
        "a job for the first slot alone": broken("give & ~(todo & (todo - 1)).any()", "give"),
        "mask ignored": broken(
            "[active.eq(self.i_pass.payload.active)]", "[active.eq((1 << self.config.slots) - 1)]"
        ),
        "embeds in the slots of the pass before": broken(
            "Mux(embeds, self.i_pass.payload.active, active)", "active"
        ),
        "sources of the pass before": broken(
            "m.d.sync += [sources.eq(self.i_pass.payload.sources)]",
            "before = Signal.like(sources)"
            "; m.d.sync += [before.eq(self.i_pass.payload.sources), sources.eq(before)]",
        ),
        "goes on from its own state": broken("of_slot(sources, slot)", "slot"),
        "a job for which there is no room": broken(
            "queue.i.ready & ~(queue.i.valid", "queue.i.ready & ~(0"
        ),
        "a pass for each segment": broken("eq(give & embeds & ~begun)", "eq(give & ~begun)"),
        "words once more": broken("times.eq(_ones(active))", "times.eq(_ones(active) + 1)"),
        "words for every slot": broken("times.eq(_ones(active))", "times.eq(self.config.slots)"),
        "words are asked for once": broken("times.eq(_ones(active))", "times.eq(1)"),
        "words asked for as a header": broken("header.eq(~words_now)", "header.eq(1)"),
        "words are asked for before the next header": broken("(last | ~for_header)", "1"),
        "the next pass's header before the last words": broken(
            "(last | ~for_header)", "~for_header"
        ),
        "one header of a word": broken("[full.eq(more)", "[full.eq(0)"),
        "a header more in each word": broken("(place != shared - 1) & ", ""),
        "headers behind the last": broken("shared - 1) & ~last)", "shared - 1) | last)"),
        "a header asked for that has come": broken("for_header.eq(~more)", "for_header.eq(1)"),
        "two segments ahead": broken("& m.submodules.checks.i.ready", ""),
        "the next header before words are asked for": broken("waits & ~self.o_play.valid", "waits"),
        "words of no segment": broken("for_words.eq(header.blocks != 0)", "for_words.eq(1)"),
    }
    bug_configs = ("cut-3-slots", "widest")
    not_stalled = {
        "i_pass": "one a pass, too few to meet every stall",
        "o_embedding": "one job a slot and pass, too few to meet every stall",
        "o_sampler": "a few jobs a slot and pass, too few to meet every stall",
    }

    def dut(self, config):
        return Heard(config)

    def cases(self, config, rng):
        image = lay_out(model(), config)
        passes = passes_of(config, rng, 2 if config.slots == 1 else 3)
        words = tagged(walk(image, config, passes))
        yield Case(
            {"i": words, "i_pass": passes},
            expected(image, config, passes),
            finals={"faults": {"header": 0, "checksum": 0}, "fault_segment": 0},
            clocks=clocks(image, config, passes),
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SequencerBench())


def run_broken(config, words, passes, unit=Sequencer):
    """Play words into a sequencer whose outputs are always ready; return faults and segment.

    Ends with the words, or when one is not taken for 50 clocks.
    """
    dut = Heard(config, unit)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    result = {}

    async def feed(ctx):
        for name in ("", "_play", "_quantizer", "_engine", "_epilogue", "_embedding", "_sampler"):
            ctx.set(getattr(dut, f"o{name}").ready, 1)
        at = begun = waited = 0
        while at < len(words) and waited < 50:
            ctx.set(dut.i.payload, words[at])
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i_pass.valid, begun < len(passes))
            ctx.set(dut.i_pass.payload, passes[min(begun, len(passes) - 1)])
            *_, taken, begins = await ctx.tick().sample(dut.i.ready, dut.i_pass.ready)
            at, begun = at + taken, begun + begins
            waited = 0 if taken else waited + 1
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(4)
        result["faults"] = ctx.get(dut.faults.as_value())
        result["segment"] = ctx.get(dut.fault_segment)

    sim.add_testbench(feed)
    sim.run()
    return result["faults"], result["segment"]


def some_passes(config):
    """All slots, then the last one alone."""
    masks = (1 << config.slots) - 1, 1 << config.slots - 1
    return [{"active": mask, "sources": [0] * config.slots} for mask in masks]


def damaged(image, config, header, number, time, place, bit, of_pass=0):
    """Words for `some_passes` with one bit of one piece flipped, in the one time and pass."""
    pieces, seen = [], 0
    for *which, final, piece in walk(image, config, some_passes(config)):
        piece = list(piece)
        if which == [header, number, time]:
            if seen == of_pass:
                piece[place] ^= 1 << bit
            seen += 1
        pieces.append((*which, final, piece))
    return tagged(pieces)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_flipped_bits_are_named(name):
    """Some segments, one random bit each, in any slot's words: the checksum names the segment."""
    config = SequencerBench.configs[name]
    image = lay_out(model(), config)
    rng = np.random.default_rng(3)
    for number in rng.integers(1, len(image.segments), 6):
        words = image.segments[number].words
        place = rng.integers((config.slots, words, config.word_bits)).tolist()
        tape = damaged(image, config, False, int(number), *place)
        assert run_broken(config, tape, some_passes(config)) == (2, number)


def test_a_segment_is_named_after_many_times():
    """The number doesn't count the times; one that does is found."""
    config = SequencerBench.configs["cut-3-slots"]
    image = lay_out(model(), config)
    words = damaged(image, config, False, 3, config.slots - 1, 0, 0)
    assert run_broken(config, words, some_passes(config)) == (2, 3)
    stays = edited(Sequencer, "checked.eq(expected.number)", "checked.eq(number)")
    assert run_broken(config, words, some_passes(config), stays) != (2, 3)


@pytest.mark.parametrize("of_pass", [0, 1])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_bad_header_stops(name, of_pass):
    """A damaged header is a header fault, with its segment's number, in any pass.

    Of headers that share a word, the first one's.
    """
    config = SequencerBench.configs[name]
    image, shared = lay_out(model(), config), headers_in_word(config.word_bits)
    rng = np.random.default_rng(4)
    for number in (0, 1, len(image.segments) - 1):
        first = number // shared * shared
        place = int(rng.integers(header_words(config.word_bits)))
        for bit in (0, int(rng.integers(config.word_bits)), config.word_bits - 1):
            words = damaged(image, config, True, first, 0, place, bit, of_pass)
            assert run_broken(config, words, some_passes(config)) == (1, first)


def first_headers(config, flips, unit=Sequencer):
    """Play a tape's first two headers after a reset, once for each flip of one of their bits.

    Returns what was seen of each: faults, segment, and how many jobs the epilogue got.
    """
    reset = Signal()
    image = lay_out(model(), config)
    count = header_words(config.word_bits)
    headers = words_of(image)[: 2 * count]  # that of EMBED, which has no words, and the next
    dut = ResetInserter(reset)(unit(config))
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    found = []

    async def feed(ctx):
        for name in ("", "_play", "_quantizer", "_engine", "_epilogue", "_embedding", "_sampler"):
            ctx.set(getattr(dut, f"o{name}").ready, 1)
        ctx.set(dut.i_pass.payload, some_passes(config)[0])
        ctx.set(dut.i_pass.valid, 1)
        for place, bit in flips:
            words = headers.copy()
            words[place] ^= 1 << bit
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            jobs = at = 0
            for _ in range(2 * count + 4 * config.slots + 16):
                ctx.set(dut.i.valid, at < 2 * count)
                end = (at + 1) % count == 0
                word = words[min(at, 2 * count - 1)]
                tag = {"header": 1, "end": end, "final": 1}
                ctx.set(dut.i.payload, {"word": word, "tag": tag})
                *_, taken, valid, job = await ctx.tick().sample(
                    dut.i.ready, dut.i.valid, dut.o_epilogue.valid
                )
                at, jobs = at + (taken & valid), jobs + job
            found.append((ctx.get(dut.faults.as_value()), ctx.get(dut.fault_segment), jobs))

    sim.add_testbench(feed)
    sim.run()
    return found


@pytest.mark.parametrize("name", ["wide", "narrow", "cut-3-slots"])
def test_each_bit_of_a_header_is_checked(name):
    """The header is named, and no unit gets a job from it: padding to whole words included."""
    config = SequencerBench.configs[name]
    count, bits = header_words(config.word_bits), config.word_bits
    flips = [(place + count * (bit % 2), bit) for place, bit in np.ndindex(count, bits)]
    found = first_headers(config, flips)
    for (place, _), seen in zip(flips, found, strict=True):
        number = place // count
        assert seen == (1, number, number * config.slots)


@pytest.mark.parametrize(
    "old, new",
    [
        ("is_one = (moved | ~differs) & ", "is_one = "),
        ("tags.word.eq(transfers(self.i))", "tags.word.eq(transfers(self.i) & tag.end)"),
        ("sum_turn(len(word))", "1"),
        (
            "self._hand_out(m, platform, header, good, active)",
            "self._hand_out(m, platform, header, full, active)",
        ),
    ],
    ids=["no sum", "sum of the last word alone", "turned by one", "handed out before"],
)
def test_a_header_that_is_not_checked_is_found(old, new):
    """By one bit of each word of the second header."""
    config = SequencerBench.configs["narrow"]
    count = header_words(config.word_bits)
    flips = [(count + place, 7) for place in range(count)]
    found = first_headers(config, flips, edited(Sequencer, old, new))
    assert set(found) != {(1, 1, config.slots)}


def test_short_tape_is_noticed():
    """A word that is missing makes the next header a fault, or the checksum wrong."""
    config = SequencerBench.configs["wide"]
    image = lay_out(model(), config)
    words = tagged(walk(image, config, some_passes(config)))
    short = [one["word"] for one in words]
    del short[image.segments[1].first_word]
    words = [{**one, "word": word} for one, word in zip(words, short, strict=False)]
    faults, segment = run_broken(config, words, some_passes(config))
    assert faults
    assert segment == 1


def test_contract():
    """Jobs and words wait unchanged, on any tape: a hostile one too."""
    config = ChipConfig(
        rows=1, columns=150, elements=1, packing=Packing.TWO_BITS, tape_words=2,
        vector_a_words=2, vector_b_words=2, embedding_bits=8, embedding_words=2,
        residual_words=2, scratch_words=2, state_words=2, psum_words=1, max_columns=1, max_vocab=2,
        slots=2,
    )  # fmt: skip
    contract = StreamContract(combinational=True, depth=16, covers=1)
    bugs = {
        "word replaced while it waits": lambda: broken(
            "self.o.payload.eq(self.i.payload.word)",
            "self.o.payload.eq(self.i.payload.word ^ full)",
        )(config),
        "play replaced while it waits": lambda: broken(
            "play.times.eq(Mux(words_now, times, 1))",
            "play.times.eq(Mux(words_now, times, self.i.valid))",
        )(config),
    }
    # Stability needs no product, which a solver would find hard: any function of the header does.
    unit = edited(Sequencer, "header.groups * header.blocks", "header.groups ^ header.blocks")
    check_contract(lambda: Heard(config, unit), contract, bugs)
