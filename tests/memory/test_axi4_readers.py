"""All who read and write the memory beside a chip, with an AXI4 memory behind their arbiter."""

from dataclasses import replace
from functools import partial

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from sterna.spec.axi4 import Axi4
from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing
from sterna_rtl.datapath.embedding_fetch import EmbeddingFetch
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.long_queue import LongQueue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.memory.arbiter import Arbiter
from sterna_rtl.memory.axi4 import Axi4Channels
from sterna_rtl.memory.axi4_memory import Axi4Memory
from sterna_rtl.memory.block_port import BlockPort, block_layout
from sterna_rtl.tape.fetch import TapeFetch
from sterna_sim.axi4_model import Axi4Beside, Behaviour, ReadPort, WritePort
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited

MEMORY = Axi4(data_bits=64, ports=2, port_bytes=1 << 13, spacing=1 << 13, outstanding=2)
BASE, ROW_WORDS = 600, 21  # where rows begin, and words of the embedding in each


def chip(columns, packing):
    return replace(
        REFERENCE,
        rows=4,
        columns=columns,
        elements=4,
        packing=packing,
        tape_words=0,
        ring_words=256,
        embedding_bits=8,
    )


class Together(wiring.Component):
    """Loader's port, embedding and tape over one arbiter, as in the chip; the ring is a queue.

    `o` ends after `count` words.
    """

    def __init__(self, config, memory=Axi4Memory, fetch=TapeFetch, arbiter=Arbiter):
        layouts = Layouts(config)
        self.port, self.rows = BlockPort(MEMORY), EmbeddingFetch(config, MEMORY)
        self.fetch, self.ring = fetch(config, MEMORY), LongQueue(layouts.word, config.ring_words)
        self.arbiter = arbiter(MEMORY, ("loader", "embedding", "tape"))
        self.memory = memory(MEMORY)
        super().__init__(
            {
                "i_block": In(stream.Signature(block_layout(MEMORY))),
                "o_block": Out(stream.Signature(MEMORY.block_bits)),
                "i_row": In(stream.Signature(layouts.embedding_row)),
                "o_row": Out(stream.Signature(layouts.embedding_word)),
                "o": Out(stream.Signature(layouts.word)),
                "length": In(16),
                "blocks": In(16),
                "count": In(16),
                "axi": Out(Axi4Channels(MEMORY)).array(MEMORY.ports),
            }
        )

    def elaborate(self, platform):
        m = Module()
        port, rows, fetch, memory = self.port, self.rows, self.fetch, self.memory
        m.submodules.port, m.submodules.rows, m.submodules.fetch = port, rows, fetch
        m.submodules.arbiter, m.submodules.memory, m.submodules.ring = (
            self.arbiter, memory, self.ring,
        )  # fmt: skip
        for name, reader in (("embedding", rows), ("tape", fetch)):
            connect_stream(m, reader.o_request, getattr(self.arbiter, f"i_{name}"))
            connect_stream(m, getattr(self.arbiter, f"o_{name}"), reader.i)
        connect_stream(m, port.o_request, self.arbiter.i_loader)
        connect_stream(m, self.arbiter.o_loader, port.i_word)
        connect_stream(m, port.o_word, memory.i_word)
        connect_stream(m, self.arbiter.o, memory.i)
        connect_stream(m, memory.o, self.arbiter.i_word)
        connect_stream(m, self.i_block, port.i)
        connect_stream(m, port.o, self.o_block)
        connect_stream(m, self.i_row, rows.i_row)
        connect_stream(m, rows.o, self.o_row)
        connect_stream(m, fetch.o, self.ring.i)
        given = Signal(16)
        m.d.sync += given.eq(given + transfers(self.o))
        for inner, outer in zip(memory.axi, self.axi, strict=True):
            connect(m, inner, flipped(outer))
        m.d.comb += [
            fetch.length.eq(self.length),
            fetch.blocks.eq(self.blocks),
            fetch.space.eq(self.ring.depth - self.ring.level),
            rows.base.eq(BASE),
            self.o.payload.eq(self.ring.o.payload),
            self.o.valid.eq(self.ring.o.valid & (given != self.count)),
            self.ring.o.ready.eq(self.o.ready & (given != self.count)),
        ]
        return m


class ReadersBench(UnitBench):
    """Each of them has words of its own, however they meet; the tape goes round and round."""

    name = "axi4 readers"
    configs = {
        # A tape word in one word of the memory, and one in four.
        "128 bits": chip(16, Packing.TWO_BITS),
        "430 bits": chip(64, Packing.FIVE_THIRDS),
    }
    cocotb_configs = ("430 bits",)
    bug_configs = ("430 bits",)
    reset_between = True
    reset_test = False  # what was asked for before a reset would still come
    drain = 200
    stalls = (Stalls(), Stalls("random", "random"), Stalls("long", "long"))
    bugs = {
        "words of a burst in another order": lambda config: Together(
            config, memory=edited(Axi4Memory, "for reader in self.readers)),",
                "for reader in reversed(self.readers))),")),
        "words to the first": lambda config: Together(
            config, arbiter=edited(Arbiter, "reader.eq(number)", "reader.eq(0)")),
        "rows of the memory past the tape's end": lambda config: Together(
            config, fetch=edited(TapeFetch, "Mux(left < most, left, most)", "most")),
    }  # fmt: skip
    not_stalled = dict.fromkeys(
        ("i_block", "o_block", "i_row", "o_row", "o"), "they wait for each other and the memory"
    )

    def dut(self, config):
        return Together(config)

    def cases(self, config, rng):
        bits = MEMORY.word_bits
        words = {n: int.from_bytes(rng.bytes(bits // 8)) for n in range(MEMORY.words)}
        pieces, length, count = -(-config.word_bits // bits), 37, 143
        mask = (1 << config.word_bits) - 1
        tape = [
            sum(words[n * pieces + piece] << bits * piece for piece in range(pieces)) & mask
            for n in range(length)
        ]
        row_blocks = -(-ROW_WORDS * 32 // bits)
        rows, elements = [], []
        for token in rng.integers(9, size=6).tolist():
            first = BASE + token * row_blocks
            row = b"".join(
                words[first + n].to_bytes(bits // 8, "little") for n in range(row_blocks)
            )
            rows.append({"token": token, "words": ROW_WORDS})
            elements += np.frombuffer(row, np.int8)[: 4 * ROW_WORDS].reshape(-1, 4).tolist()
        held, blocks, read = dict(words), [], []
        for _ in range(12):
            at, write = 900 + int(rng.integers(4)), int(rng.integers(2))
            data = int.from_bytes(rng.bytes(bits // 8))
            blocks.append({"write": write, "block": at, "data": data})
            if write:
                held[at] = data
            else:
                read.append(held[at])
        behaviour = Behaviour(latency=25, pauses=0.1, refresh=(211, 20))
        prefixes = tuple(f"axi__{port}" for port in range(MEMORY.ports))
        kinds = (ReadPort, WritePort)
        # The tape goes on when all is done: beats are still to come then.
        make = partial(_Unfinished, MEMORY, behaviour, words, prefixes, kinds, held)
        yield Case(
            {"i_block": blocks, "i_row": rows},
            {"o_block": read, "o_row": elements, "o": (tape * 4)[:count]},
            {"length": length, "blocks": length * pieces, "count": count},
            beside=[make],
        )


class _Unfinished(Axi4Beside):
    """The words alone are looked at in the end."""

    def check(self):
        self.ports = []
        super().check()


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ReadersBench())
