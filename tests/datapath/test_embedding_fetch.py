"""EmbeddingFetch over the controller and the model of the memory: rows of all shapes."""

from dataclasses import replace
from functools import partial

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.spec.chip import REFERENCE
from sterna.spec.sdram import BURST, PARTS, WORD_BITS
from sterna_rtl.datapath.embedding_fetch import EmbeddingFetch
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.memory.pins import Pins
from sterna_rtl.memory.sdram import Sdram
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from sterna_sim.sdram_model import SdramBeside
from tests.memory.restarts import restarts_after
from tests.memory.stalls import FEW_STALLS

CLOCK_HZ = 100_000_000
# Few rows, so that all bits of a place come.
PART = replace(PARTS["ULX3S"], power_up_ns=1000, column_bits=6, row_bits=8)
BLOCK_BITS = BURST * WORD_BITS


def chip(elements, embedding_bits, max_vocab=64):
    small = replace(REFERENCE, elements=elements, columns=elements, max_vocab=max_vocab)
    small = replace(small, embedding_bits=embedding_bits, embedding_words=0, memory="ULX3S",
                    tape_words=0, ring_words=16)  # fmt: skip
    return small


class Fetched(wiring.Component):
    """Fetch and controller; a restart once `count` words have been given, if it is not 0.

    `waited` tells whether a word of the memory ever had to wait.
    """

    def __init__(self, config, unit=EmbeddingFetch):
        self.fetch = unit(config, PART)
        self.sdram = Sdram(PART, CLOCK_HZ)
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.embedding_row)),
                "o": Out(stream.Signature(layouts.embedding_word)),
                "base": In(range(PART.blocks)),
                "count": In(16),
                "waited": Out(1),
                "pins": Out(Pins(PART)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetch, m.submodules.sdram = fetch, sdram = self.fetch, self.sdram
        connect_stream(m, self.i, fetch.i_row)
        connect_stream(m, fetch.o_request, sdram.i)
        connect_stream(m, sdram.o, fetch.i)
        connect(m, sdram.pins, flipped(self.pins))
        with m.If(sdram.o.valid & ~sdram.o.ready):
            m.d.sync += self.waited.eq(1)
        restarts = restarts_after(m, self.o, self.count)
        m.d.comb += [
            fetch.base.eq(self.base),
            fetch.restart.eq(restarts),
            self.o.payload.eq(fetch.o.payload),
            self.o.valid.eq(fetch.o.valid & ~restarts),
            fetch.o.ready.eq(self.o.ready | restarts),
        ]
        return m


def broken(old, new):
    return lambda config: Fetched(config, edited(EmbeddingFetch, old, new))


class FetchBench(UnitBench):
    """Rows shorter than a block, of whole blocks, and longer than the queue; a restart."""

    name = "embedding-fetch"
    configs = {
        "64 bits": chip(8, 8),
        "4 bits": chip(1, 4),
        "8 bits": chip(2, 4),
        "16 bits": chip(2, 8),
        "256 bits": chip(32, 8),
    }
    cocotb_configs = ("64 bits", "8 bits")
    bug_configs = ("64 bits", "8 bits", "256 bits")
    reset_between = True
    reset_test = False  # the controller's bench does it; here each case takes a power-up
    drain = 0
    stalls = FEW_STALLS
    bugs = {
        "rows of another token": broken("row.token * blocks", "row.token * row.words"),
        "row 0": broken("row.token * blocks", "0"),
        "no base": broken("self.base + product", "product"),
        "a block too few": broken("row.words + words - 1", "row.words"),
        "blocks of wide words": broken("exact_log2(self.bits // block_bits)", "0"),
        "the same blocks again": broken("at.eq(at + count)", "at.eq(at)"),
        "longer requests than counted": broken("blocks.eq(count)", "blocks.eq(count + 1)"),
        "room is not waited for": broken(" & (free >= _HALF)", ""),
        "room is never free again": broken("free + freed -", "free -"),
        "the rest of the last block is read": broken("dropping, dropping | none, last",
            "dropping, dropping, last"),
        "highest piece first": broken("Cat(data, words.payload)[word_bits:]",
            "Cat(words.payload, data)[: len(data)]"),
        "a row begins in the middle of a piece": broken("Mux(takes & whole, 0, part + 1)",
            "part + 1"),
        "word not held": broken("~skips & can_load(out.i)", "~skips"),
        "what was asked for survives a restart": broken("dropping.eq(busy)", "dropping.eq(0)"),
        "a part of a word survives a restart": broken("out.i.valid.eq(0), part.eq(0)]",
            "out.i.valid.eq(0)]"),
        "always dropping": broken("[busy.eq(0), dropping.eq(0)]", "busy.eq(0)"),
    }  # fmt: skip
    not_stalled = {"i": "rows are few"}

    def dut(self, config):
        return Fetched(config)

    def cases(self, config, rng):
        bits = config.elements * config.embedding_bits
        per_block = max(1, BLOCK_BITS // bits)
        # Many words of a few bits would take long.
        longest = 20 * BLOCK_BITS // bits if bits >= 8 else 5 * per_block // 2
        for words, base, count in (
            (1, 0, 0),
            (per_block, 3, 0),
            (per_block + 1, 7, 0),
            (longest, 5, 0),
            (longest - 1, 9, longest // 2),
        ):
            blocks = -(-words * bits // BLOCK_BITS)
            tokens = rng.integers(12, size=2).tolist()
            memory = {n: int(rng.integers(1 << WORD_BITS)) for n in range(300 * BURST)}
            rows = [self.row(config, memory, base + token * blocks, words) for token in tokens]
            # A row that is cut off by a restart.
            outputs = [*rows[0][: count or None], *rows[1]]
            yield Case(
                {"i": [{"token": token, "words": words} for token in tokens]},
                {"o": outputs},
                {"base": base, "count": count},
                {"waited": 0},
                beside=[partial(SdramBeside, PART, CLOCK_HZ, memory, memory)],
                name=f"{words} words, restart after {count}",
            )

    @staticmethod
    def row(config, memory, block, words):
        """Elements of a row's words."""
        width, elements = config.embedding_bits, config.elements
        count = -(-words * elements * width // WORD_BITS)
        pieces = [memory[block * BURST + n] for n in range(count)]
        joined = sum(piece << WORD_BITS * n for n, piece in enumerate(pieces))
        half = 1 << width - 1
        values = [
            ((joined >> width * n & 2 * half - 1) ^ half) - half for n in range(words * elements)
        ]
        return [values[n * elements : (n + 1) * elements] for n in range(words)]


class FarBench(FetchBench):
    """Rows of any place in the memory, and long ones."""

    name = "embedding-fetch-far"
    configs = {"64 bits": FetchBench.configs["64 bits"]}
    cocotb_configs = ()
    slow_configs = bug_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        bits = config.elements * config.embedding_bits
        drawn = rng.integers(1, 200, size=10).tolist()
        for words in (1, 7, 37, 2, 100, 259, 510, 3, 5, 1000, 9000, 4, *drawn):
            blocks = -(-words * bits // BLOCK_BITS)
            most = min(config.max_vocab, PART.blocks // blocks)
            tokens = rng.integers(most, size=3).tolist()
            base = int(rng.integers(PART.blocks - most * blocks + 1))
            memory = {}
            for token in tokens:
                first = (base + token * blocks) * BURST
                for n in range(first, first + blocks * BURST):
                    memory[n] = int(rng.integers(1 << WORD_BITS))
            rows = [self.row(config, memory, base + token * blocks, words) for token in tokens]
            yield Case(
                {"i": [{"token": token, "words": words} for token in tokens]},
                {"o": [word for row in rows for word in row]},
                {"base": base},
                {"waited": 0},
                beside=[partial(SdramBeside, PART, CLOCK_HZ, memory, memory)],
                name=f"{words} words from {base}",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(FetchBench())
test_far, _, _ = bench_tests(FarBench())


def test_contract():
    config, small = chip(1, 8, 4), replace(PART, row_bits=1, bank_bits=1, column_bits=4)
    request = edited(EmbeddingFetch, "with m.If(transfers(self.o_request)):", "with m.If(1):")
    held, dropped = "(m, out.o, self.o)", "self.o.valid.eq(out.o.valid & ~self.o_request.valid)"
    word = edited(EmbeddingFetch, held, f"{held}; m.d.comb += {dropped}")
    check_contract(
        lambda: EmbeddingFetch(config, small),
        StreamContract(depth=24),
        {
            "request not held": lambda: request(config, small),
            "word not held": lambda: word(config, small),
        },
    )
