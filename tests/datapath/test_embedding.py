"""Embedding: rows and scales of the golden fetch, one word a clock, and the stream contract."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna.golden import embedding as golden
from sterna.spec.chip import REFERENCE
from sterna_rtl.datapath.embedding import Embedding
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.memory import ReadPort
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import (
    Case,
    Memory,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)

OVERHEAD = 2  # clocks of each row beside those of its words
WAITS = 0b01101100  # at most two clocks in a row
PIPELINE = 5  # from a word's address to the word


def chip(elements, embedding_words, vector_a_words=32, max_vocab=64, embedding_bits=8):
    return replace(
        REFERENCE,
        columns=8 * elements,
        elements=elements,
        embedding_bits=embedding_bits,
        embedding_words=embedding_words,
        vector_a_words=vector_a_words,
        max_vocab=max_vocab,
    )


def beside(elements, **sizes):
    """The same with a memory beside the chip."""
    small = chip(elements, 1, **sizes)
    return replace(small, embedding_words=0, tape_words=0, ring_words=16, memory="ULX3S")


class Loaded(Component):
    """The unit with its RAM's writes behind a stream, and scales only when it asks for them.

    A bit of `waits` that is set gives side RAM A to somebody else on one clock in eight; `alone`
    falls when the unit reads it all the same. Of the RAM `found` is word `look` while it is idle.
    """

    def __init__(self, config, unit=Embedding):
        self.unit = unit(config)
        layouts = Layouts(config)
        self.write = StructLayout(
            {"address": range(config.embedding_words), "data": layouts.embedding_word}
        )
        super().__init__(
            {
                "i_write": In(stream.Signature(self.write)),
                "i_token": In(stream.Signature(layouts.token)),
                "i_job": In(stream.Signature(layouts.embedding_job)),
                "o": Out(stream.Signature(layouts.embedding)),
                "vector_read": Out(ReadPort(config.vector_a_words, layouts.vector)),
                "waits": In(8),
                "alone": Out(1, init=1),
                "look": In(range(config.embedding_words)),
                "found": Out(layouts.embedding_word),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i_token, unit.i_token)
        connect_stream(m, self.i_job, unit.i_job)
        connect_stream(m, unit.o, self.o)
        came, clock = Signal(unit.config.side_clocks), Signal(3)
        m.d.comb += unit.wait.eq(self.waits.bit_select(clock, 1))
        m.d.sync += [clock.eq(clock + 1), came.eq(Cat(unit.reads & ~unit.wait, came))]
        with m.If(unit.reads & unit.wait):
            m.d.sync += self.alone.eq(0)
        scales = Value.cast(self.vector_read.data)
        m.d.comb += [
            unit.write.enable.eq(self.i_write.valid),
            unit.write.address.eq(self.i_write.payload.address),
            unit.write.data.eq(self.i_write.payload.data),
            self.i_write.ready.eq(1),
            unit.read.address.eq(self.look),
            Value.cast(self.found).eq(Value.cast(unit.read.data)),
            self.vector_read.address.eq(unit.vector_read.address),
            Value.cast(unit.vector_read.data).eq(Mux(came[-1], scales, ~scales)),
        ]
        return m


def broken(old, new):
    return lambda config: Loaded(config, edited(Embedding, old, new))


class EmbeddingBench(UnitBench):
    """Load the RAM, then fetch rows of several lengths from it."""

    name = "embedding"
    configs = {
        "8-elements": chip(8, 100, vector_a_words=9),
        "1-element": chip(1, 40),
        "two-banks": chip(2, 2060, vector_a_words=1040, max_vocab=2060, embedding_bits=4),
        "4-elements": chip(4, 64),
        "4-bits": chip(8, 100, vector_a_words=9, embedding_bits=4),
        "deep-side": chip(4, 64, vector_a_words=2100),
    }
    bug_configs = ("8-elements", "two-banks", "deep-side")  # the second has 4 bits an element
    bugs = {
        "scale of lane 0": broken("data[asked[-1][1:]]", "data[0]"),
        "scale of the next row's lane": broken("data[asked[-1][1:]]", "data[lane]"),
        "scales from word 0": broken("job.vector_q + token[lane_bits:]", "token[lane_bits:]"),
        "scale too late": broken("self.reads.eq(~self.wait)", "self.reads.eq(0)"),
        "side RAM taken from somebody": broken("self.reads.eq(~self.wait)", "self.reads.eq(1)"),
        "scale of somebody's word": broken("with m.If(~self.wait):", "with m.If(1):"),
        "row not multiplied": broken("token * job.source_words", "token << 2"),
        "one word too few": broken("last.eq(left == 1)", "last.eq(left == 2)"),
        "more words than room": broken("can.eq(used != _QUEUE)", "can.eq(1)"),
        "token without its job": broken("i_token.valid & self.i_job.valid", "i_token.valid"),
        "sign of 4 bits lost": broken("element.eq(stored)", "element.eq(stored.as_unsigned())"),
    }
    not_stalled = {
        "i_token": "taken only together with a job",
        "i_job": "taken only together with a token",
    }

    drawn = 3  # tokens of a case besides the first and the last one
    jobs = ((1, 0, 0), (3, 2, 0), (3, 1, WAITS), (17, 1, 0))
    """Words of a row, word of side RAM A with the first scale, and when that is somebody's."""

    def dut(self, config):
        return Loaded(config)

    def cases(self, config, rng):
        elements, words = config.elements, config.embedding_words
        ram = rng.integers(*self.levels(config), (words, elements))
        side = rng.integers(0, 1 << 16, (config.vector_a_words, elements))
        first = max(0, words - 100)  # of a deep RAM the end of one bank and the next
        writes = [{"address": n, "data": ram[n]} for n in range(first, words)]
        yield Case({"i_write": writes}, memories=[self.side_ram(config, side)], name="load")
        for source_words, vector_q, waits in self.jobs:
            rows = ram[: words // source_words * source_words].reshape(-1, source_words * elements)
            scales = side[vector_q:].ravel()
            count = min(len(rows), len(scales), config.max_vocab)
            lowest = -(-first // source_words)
            tokens = [count - 1, lowest, *rng.integers(lowest, count, self.drawn), count - 1]
            values, scale = golden.row(rows, scales, np.array(tokens))
            items = [
                {
                    "elements": row[at : at + elements],
                    "scale": mantissa,
                    "last": at + elements == len(row),
                }
                for row, (mantissa,) in zip(values, scale, strict=True)
                for at in range(0, len(row), elements)
            ]
            job = {"source_words": source_words, "vector_q": vector_q}
            look = int(rng.integers(first, words))
            yield Case(
                {"i_token": tokens, "i_job": [job] * len(tokens)},
                {"o": items},
                {"waits": waits, "look": look},
                {"alone": 1, "found": ram[look]},
                memories=[self.side_ram(config, side)],
                clocks=len(tokens) * (OVERHEAD + 2 * bool(waits) + source_words) + PIPELINE,
                name=f"{source_words}-words{'-waits' if waits else ''}",
            )

    @staticmethod
    def levels(config):
        half = 1 << config.embedding_bits - 1
        return -half, half

    @staticmethod
    def side_ram(config, words):
        ports = [("vector_read__address", "vector_read__data")]
        return Memory(words, ports, latency=config.side_clocks, name="side RAM A")


class ManyBench(EmbeddingBench):
    """Many more tokens, and long rows."""

    name = "embedding-many"
    configs = {"8-elements": EmbeddingBench.configs["8-elements"]}
    bug_configs = tuple(configs)
    cocotb_configs = ()
    stalls = (Stalls(),)
    drawn = 150
    jobs = (*EmbeddingBench.jobs, (40, 0, 0), (100, 2, 0))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(EmbeddingBench())
test_many, _, _ = bench_tests(ManyBench())


def from_memory(old, new):
    return lambda config: edited(Embedding, old, new)(config)


class MemoryBench(UnitBench):
    """Ask for rows, and put scales to the words that come."""

    name = "embedding-memory"
    configs = {
        "8-elements": beside(8, vector_a_words=9),
        "1-element": beside(1),
        "4-bits": beside(4, embedding_bits=4),
        "deep-side": beside(4, vector_a_words=2100),
    }
    cocotb_configs = ("8-elements",)
    bugs = {
        "words taken before their scale": from_memory("ready = reading & ", "ready = "),
        "a word where there is none": from_memory(
            "can.eq(transfers(self.i_row))", "can.eq(self.i_row.ready)"),
        "words taken without room": from_memory("& queue.i.ready & ~self", "& ~self"),
        "words of a row that nobody has asked for": from_memory(" & ~self.o_row.valid\n", "\n"),
        "words before their scale": from_memory("& ~scales_come.any() ", ""),
        "row of another length": from_memory("words.eq(job.source_words)", "words.eq(left)"),
        "row asked for twice": from_memory("valid.eq(0)", "valid.eq(self.reads)"),
    }  # fmt: skip
    not_stalled = {
        "i_token": "taken only together with a job",
        "i_job": "taken only together with a token",
    }

    def dut(self, config):
        return Embedding(config)

    def cases(self, config, rng):
        elements = config.elements
        side = rng.integers(0, 1 << 16, (config.vector_a_words, elements))
        for source_words in (1, 3, 17):
            tokens = rng.integers(0, min(side.size - elements, config.max_vocab), 6)
            rows = rng.integers(*EmbeddingBench.levels(config), (64, source_words * elements))
            values, scale = golden.row(rows, side[1:].ravel(), tokens)
            words = values.reshape(-1, elements)
            items = [
                {
                    "elements": word,
                    "scale": scale[number // source_words, 0],
                    "last": number % source_words == source_words - 1,
                }
                for number, word in enumerate(words)
            ]
            job = {"source_words": source_words, "vector_q": 1}
            yield Case(
                {"i_token": tokens, "i_job": [job] * len(tokens), "i_row": words},
                {"o": items, "o_row": [{"token": t, "words": source_words} for t in tokens]},
                memories=[EmbeddingBench.side_ram(config, side)],
                name=f"{source_words} words",
            )


test_memory_pysim, test_memory_cocotb, test_memory_planted_bugs = bench_tests(MemoryBench())


def test_contract():
    """Two words of one element; the RAMs may give anything."""
    config = chip(1, 2, vector_a_words=2, max_vocab=2)
    contract = StreamContract(free=("vector_read__data",), depth=16, induction=8, covers=1)
    bug = broken(
        "connect_stream(m, queue.o, self.o)",
        "connect_stream(m, queue.o, self.o); m.d.comb += self.o.payload.eq(queue.i.payload)",
    )
    check_contract(lambda: Loaded(config), contract, {"payload not held": lambda: bug(config)})


@pytest.mark.parametrize(("words", "bits"), [(3, 8), (2051, 8), (2051, 4)])
def test_any_word_while_idle(words, bits):
    """Words around the seam of two banks, written and read back."""
    unit = Embedding(chip(2, words, embedding_bits=bits))

    async def bench(ctx):
        addresses = [n for n in (0, 1, 2, 2047, 2048, 2050) if n < words]
        ctx.set(unit.write.enable, 1)
        for address in addresses:
            ctx.set(unit.write.address, address)
            ctx.set(unit.write.data, [address % 7, -(address % 5)])
            await ctx.tick()
        ctx.set(unit.write.enable, 0)
        for address in reversed(addresses):
            ctx.set(unit.read.address, address)
            await ctx.tick().repeat(BankedRam.latency)
            data = ctx.get(unit.read.data)
            assert [data[0], data[1]] == [address % 7, -(address % 5)]

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
