"""Sequencer: headers with anything in their fields, words that are damaged, long tapes."""

from dataclasses import dataclass

import numpy as np

from sterna.spec.program import Op, Stats
from sterna.spec.tape import HEADER_FIELDS, Header, checksum, encode_headers, headers_in_word
from sterna_sim.kit import Case, Stalls, bench_tests
from tests.control.test_sequencer import SequencerBench, expected, passes_of, tagged, walk

FIELDS = {
    name: (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    for name, bits, signed, _ in HEADER_FIELDS
    if name not in ("check", "op", "last", "stats", "groups", "blocks", "checksum")
}
"""Those that may have any value; `groups` and `blocks` have a product that fits."""


@dataclass(frozen=True)
class Drawn:
    """Where a segment lies, see `sterna.model.layout.Segment`; it has fewer words than it says."""

    header: Header
    first_word: int
    words: int


@dataclass(frozen=True)
class Tape:
    """Segments and words, as an image has them."""

    segments: tuple[Drawn, ...]
    tape: np.ndarray


def draw(config, rng, count, every=None, **fields):
    """Draw a tape of that many segments, all of one operation if that is given, but the first.

    `fields` are those of the last header.
    """
    pieces = -(-config.word_bits // 32)
    words, headers = [], []
    for number in range(count):
        length = int(rng.integers(1, 4)) if number else 0
        given = [rng.bytes(-(-config.word_bits // 8)) for _ in range(length)]
        mask = (1 << config.word_bits) - 1
        whole = [
            (int.from_bytes(one, "little") & mask).to_bytes(4 * pieces, "little") for one in given
        ]
        words.append(np.frombuffer(b"".join(whole), "<u4").reshape(length, pieces))
        values = {name: int(rng.integers(*limits)) for name, limits in FIELDS.items()}
        if rng.random() < 0.5:
            values["row"] = 0
        blocks = int(rng.integers(1, 1 << int(rng.integers(1, 13)))) if number else 0
        if rng.random() < 0.2:  # a single bit
            blocks &= -blocks
            blocks <<= int(rng.integers(13 - blocks.bit_length()))
        groups = int(rng.integers(min(1 << 16, (1 << 24) // max(blocks, 1))))
        operation = Op(int(rng.integers(1, len(Op)))) if every is None else every
        values |= {
            "op": operation if number else Op.EMBED,
            "stats": Stats(int(rng.integers(len(Stats)))),
            "last": int(number == count - 1),
            "groups": groups,
            "blocks": blocks,
            "checksum": checksum(words[-1], config.word_bits),
        }
        headers.append(Header(**values | (fields if number == count - 1 else {})))
    return assemble(config, headers, words)


def assemble(config, headers, words):
    """Put headers and words into the order of the tape."""
    tape, segments = [], []
    at, shared = 0, headers_in_word(config.word_bits)
    for number in range(len(headers) + 1):
        if number < len(headers) and number % shared == 0:
            tape.append(encode_headers(headers[number : number + shared], config.word_bits))
            at += len(tape[-1])
        if number > 0:
            segments.append(Drawn(headers[number - 1], at, len(words[number - 1])))
            tape.append(words[number - 1])
            at += len(tape[-1])
    return Tape(tuple(segments), np.concatenate(tape))


def flipped(pieces, which, rng, width):
    """Return the pieces with a bit of the given one flipped."""
    header, number, time, final, words = pieces[which]
    words = list(words)
    words[int(rng.integers(len(words)))] ^= 1 << int(rng.integers(width))
    return [*pieces[:which], (header, number, time, final, words), *pieces[which + 1 :]]


def up_to(pieces, which):
    """Return the pieces up to a header that is none: the words that were asked for follow it."""
    end = which + 1
    while end < len(pieces) and not pieces[end][0] and pieces[end][1] == pieces[which][1] - 1:
        end += 1
    return pieces[:end]


class DrawnBench(SequencerBench):
    """Drawn tapes, each from a reset on; on most of them something is wrong."""

    name = "sequencer-drawn"
    cocotb_configs = ("narrow",)
    slow_configs = tuple(name for name in SequencerBench.configs if name != "cut-3-slots")
    bug_configs = ("cut-3-slots",)
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="long"))
    reset_between = True
    reset_test = False

    def cases(self, config, rng):
        for _ in range(6):
            yield self.good(config, rng, 8)
        yield self.good(config, rng, 300, 1)
        # Queues that are full of jobs that come seldom.
        yield self.good(config, rng, 1, 12)
        yield self.good(config, rng, 12, 1, every=Op.LOGITS)
        for _ in range(6):
            yield self.with_wrong_words(config, rng, 9)
        for count in (300, 60, 60):
            yield self.with_wrong_words(config, rng, count)
        for of in range(6):
            yield self.with_no_header(config, rng, of)
        for of in (35, 71, 130):
            yield self.with_no_header(config, rng, of, of + 4, 1)
        for of in range(2, 5):
            yield self.with_both(config, rng, of, first=True)
            yield self.with_both(config, rng, of, first=False)
        for fields in ({"op": 7}, {"stats": 3}):
            yield self.with_unknown(config, rng, fields)

    def good(self, config, rng, count, passes=2, every=None):
        tape, passes = draw(config, rng, count, every), passes_of(config, rng, passes)
        return Case(
            {"i": tagged(walk(tape, config, passes)), "i_pass": passes},
            expected(tape, config, passes),
            finals={"faults": {"header": 0, "checksum": 0}, "fault_segment": 0},
            name="good",
        )

    def with_wrong_words(self, config, rng, count):
        """The first is named; a later one changes nothing."""
        tape, passes = draw(config, rng, count), passes_of(config, rng, 1)
        pieces = list(walk(tape, config, passes))
        words = [n for n, (header, *_) in enumerate(pieces) if not header]
        first, second = sorted(rng.choice(words, 2, replace=False).tolist())
        for which in (first, second):
            pieces = flipped(pieces, which, rng, config.word_bits)
        out = expected(tape, config, passes)
        out["o"] = [word for header, *_, piece in pieces if not header for word in piece]
        return Case(
            {"i": tagged(pieces), "i_pass": passes},
            out,
            finals={
                "faults": {"header": 0, "checksum": 1},
                "fault_segment": pieces[first][1],
            },
            name="wrong words",
        )

    def stopped(self, config, tape, passes, pieces, number, name, finals=None):
        jobs_for = (len(passes) - 1) * len(tape.segments) + number
        return Case(
            {"i": tagged(pieces), "i_pass": passes if number else passes[:-1]},
            expected(tape, config, passes, pieces, jobs_for),
            finals=finals or {"faults": {"header": 1, "checksum": 0}, "fault_segment": number},
            name=name,
        )

    def with_no_header(self, config, rng, number, count=6, times=2):
        """In the last pass, a flipped bit; the words before it still pass."""
        number -= number % headers_in_word(config.word_bits)
        tape, passes = draw(config, rng, count), passes_of(config, rng, times)
        pieces = list(walk(tape, config, passes))
        which = [n for n, (header, of, *_) in enumerate(pieces) if header and of == number][-1]
        pieces = up_to(flipped(pieces, which, rng, config.word_bits), which)
        return self.stopped(config, tape, passes, pieces, number, f"no header {number}")

    def with_both(self, config, rng, number, first):
        """Damaged words before a header that is none, or those that still pass behind it."""
        number -= number % headers_in_word(config.word_bits)
        tape, passes = draw(config, rng, 6), passes_of(config, rng, 1)
        pieces = list(walk(tape, config, passes))
        which = next(n for n, (header, of, *_) in enumerate(pieces) if header and of == number)
        pieces = up_to(flipped(pieces, which, rng, config.word_bits), which)
        words = range(which) if first else range(which + 1, len(pieces))
        words = [n for n in words if not pieces[n][0]]
        if not words:  # behind the header come those of EMBED, which has none
            return self.with_no_header(config, rng, number)
        damaged = int(rng.choice(words))
        segment = pieces[damaged][1] if first else number
        pieces = flipped(pieces, damaged, rng, config.word_bits)
        finals = {"faults": {"header": 1, "checksum": 1}, "fault_segment": segment}
        return self.stopped(config, tape, passes, pieces, number, "both", finals)

    def with_unknown(self, config, rng, fields):
        """A right sum, but a number that means nothing."""
        tape, passes = draw(config, rng, 4, **fields), passes_of(config, rng, 1)
        pieces = list(walk(tape, config, passes))
        if 3 % headers_in_word(config.word_bits):  # it has come with the one before
            pieces = [piece for piece in pieces if piece[1] < 3]
        else:
            which = next(n for n, (header, of, *_) in enumerate(pieces) if header and of == 3)
            pieces = up_to(pieces, which)
        return self.stopped(config, tape, passes, pieces, 3, f"unknown {fields}")


test_pysim, test_cocotb, _ = bench_tests(DrawnBench())
