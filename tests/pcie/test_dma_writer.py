"""DmaWriter: each result is an entry of the ring, in its place, whole and once."""

import pytest
from amaranth import *
from amaranth.hdl import Assert
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.dma import RESULTS, HostMemory
from sterna.spec.registers import REGISTERS, VALID
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.memory.visits import request_layout
from sterna_rtl.pcie.block import RQ_DESCRIPTOR, rq_beat
from sterna_rtl.pcie.dma_writer import DmaWriter
from sterna_rtl.pcie.pages import DMA_PLACE
from sterna_rtl.pcie.results import RESULT
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.pcie.host import pack_beats

ADDRESSES = [REGISTERS[name].address for name in RESULTS]
ENTRIES = 32
SLOW = pytest.mark.slow


class Taken(wiring.Component):
    """The unit before a host that takes an entry once it has waited for room for `pace` clocks.

    `most` is how many were there at a time.
    """

    def __init__(self, width, writer=DmaWriter):
        self.writer = writer(width, ENTRIES)
        super().__init__(
            {
                "i": In(stream.Signature(RESULT)),
                "i_place": In(stream.Signature(DMA_PLACE)),
                "o_request": Out(stream.Signature(request_layout(HostMemory(width)))),
                "rq": Out(stream.Signature(rq_beat(width))),
                "ring": In(20),
                "pace": In(8),
                "most": Out(8),
                "outside": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.writer = writer = self.writer
        connect_stream(m, self.i, writer.i)
        connect_stream(m, self.i_place, writer.i_place)
        connect_stream(m, writer.o_request, self.o_request)
        connect_stream(m, writer.rq, self.rq)
        there, age, comes, goes = Signal(8), Signal(8), Signal(), Signal()
        m.d.comb += [
            writer.run.eq(1),
            writer.ring.eq(self.ring),
            self.outside.eq(writer.outside),
            self.idle.eq(writer.idle),
            comes.eq(transfers(writer.rq) & writer.rq.payload.last),
            goes.eq((age >= self.pace) & (there != 0)),
        ]
        m.d.sync += [
            age.eq(Mux(writer.idle & writer.i.valid & ~goes, age + (age < self.pace), 0)),
            there.eq(there + comes - goes),
            writer.taken.eq(writer.taken + goes),
        ]
        with m.If(there > self.most):
            m.d.sync += self.most.eq(there)
        return m


def broken(old, new):
    return lambda width: Taken(width, edited(DmaWriter, old, new))


class WriterBench(UnitBench):
    """Entries round and round, places anywhere, some of them outside, a host that is slow."""

    name = "dma writer"
    configs = {f"{width} bits": width for width in (64, 128, 256, 512)}
    cocotb_configs = ("64 bits", "256 bits")
    slow_configs = ("128 bits", "256 bits")
    bug_configs = ("64 bits", "256 bits")
    reset_between = True
    not_stalled = {"i": "taken with the end of its packet", "i_place": "comes when asked for"}
    bugs = {
        "another block": broken("self.ring + (self.count >> _IN_BLOCK)", "self.ring"),
        "another place in the block": broken("Cat(C(0, 1), self.count[:_IN_BLOCK])", "C(0, 5)"),
        "place without the block": broken("Cat(in_block, place.payload.address)", "in_block"),
        "reads": broken("request.write.eq(1)", "request.write.eq(0)"),
        "asks the host to read": broken("RequestType.WRITE", "RequestType.READ"),
        "a word too many": broken("8 * ENTRY_BYTES // DWORD", "8 * ENTRY_BYTES // DWORD + 1"),
        "half a word": broken("last_bytes.eq(0b1111)", "last_bytes.eq(0b0011)"),
        "a beat cut short": broken("(1 << left) - 1", "(1 << left) // 2 - 1"),
        "turned": broken("Cat(head, result.word, result.register)",
            "Cat(head, result.register, result.word)"),
        "the same beat again": broken("packet.eq(packet >> self.width)", "packet.eq(packet)"),
        "the same entry again": broken("written.eq(written + 1)", "written.eq(written)"),
        "writes over what was not taken": broken("self.i.valid & room", "self.i.valid"),
        "stops an entry too early": broken("!= self.entries", "!= self.entries - 1"),
        "writes outside": broken("with m.If(place.payload.outside):", "with m.If(0):"),
        "outside is not told": broken("dropped.eq(1)", "dropped.eq(0)"),
    }  # fmt: skip

    def dut(self, width):
        return Taken(width)

    def cases(self, width, rng):
        for name, count, pace in (("fast", 80, 0), ("outside", 20, 3), ("slow", 70, 6)):
            ring = int(rng.integers(1 << 10)) * 32
            results, places, asked, beats, written = [], [], [], [], 0
            for _ in range(count):
                word, register = int(rng.integers(VALID)) | VALID, int(rng.choice(ADDRESSES))
                outside = int(name == "outside" and rng.integers(4) == 0)
                block = ring + written % ENTRIES // 16
                address = int(rng.integers(1 << 57))
                results.append({"word": word, "register": register})
                asked.append({"write": 1, "block": block, "blocks": 1})
                places.append({"address": address, "blocks": 1, "outside": outside})
                if outside:
                    continue
                at = address * 128 + written % 16 * 8
                words = [at & 0xFFFFFFFF, at >> 32, 2 | 1 << 11, 0, word, register]
                whole = {"first_bytes": 15, "last_bytes": 15, "_0": 0}
                whole |= {"_1": 0} if width == 512 else {}
                beats += [{**beat, "user": whole} for beat in pack_beats(width, words, 0)]
                written += 1
            yield Case(
                {"i": results, "i_place": places},
                {"o_request": asked, "rq": beats},
                {"ring": ring, "pace": pace},
                {"outside": int(name == "outside"), "idle": 1}
                | ({"most": ENTRIES} if name == "slow" else {}),
                clocks=count * (3 + -(-192 // width)) if name == "fast" else None,
                name=name,
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(WriterBench())


def writes_what_was_given(m, writer):
    """A write is of an entry within the block that was given last, and of nothing else."""
    place, rq, width = writer.i_place, writer.rq, writer.width
    given, refused = Signal.like(place.payload.address), Signal()
    with m.If(transfers(place)):
        m.d.sync += [given.eq(place.payload.address), refused.eq(place.payload.outside)]
    asked = writer.o_request.payload
    place_in_ring = (asked.block - writer.ring)[: len(asked.block)]
    beat = Signal(2)
    with m.If(transfers(rq)):
        m.d.sync += beat.eq(Mux(rq.payload.last, 0, beat + 1))

    def holds(name, claim, what):
        """Claim something of a field of the descriptor, from the first beat to the one it is in."""
        field = RQ_DESCRIPTOR[name]
        for before in range(field.offset // width + 1):
            bits = writer.packet[field.offset - before * width :][: field.width]
            with m.If(rq.valid & (beat == before)):
                m.d.comb += Assert(claim(bits), what)

    holds("address", lambda address: address[5:] == given, "another block")
    holds("address", lambda address: address[:5] <= 30, "over the end of the block")
    holds("dwords", lambda dwords: dwords == 2, "another length")
    holds("type", lambda kind: kind == 1, "no write")
    holds("address_type", lambda kind: kind == 0, "an address of another kind")
    with m.If(rq.valid):
        m.d.comb += [
            Assert(~refused, "a place outside"),
            Assert(rq.payload.data == writer.packet[:width], "other data"),
            Assert(rq.payload.last == (beat == writer.beats - 1), "more or less than a packet"),
            Assert(beat == writer.beat, "another beat"),
            Assert(beat < writer.beats, "a beat too many"),
        ]
    with m.Else():
        m.d.comb += Assert(beat == 0, "half a packet")
    with m.If(writer.o_request.valid):
        m.d.comb += [
            Assert((asked.write == 1) & (asked.blocks == 1), "another request"),
            Assert(place_in_ring <= writer.entries // 16 - 1, "outside of the ring"),
        ]


@pytest.mark.parametrize("width", [64, *(pytest.param(w, marks=SLOW) for w in (128, 256, 512))])
def test_writes_nothing_else(width):
    contract = StreamContract(
        also=writes_what_was_given, free=("run", "taken"), depth=14, induction=6
    )
    edits = {
        "longer": ("8 * ENTRY_BYTES // DWORD", "8 * ENTRY_BYTES // DWORD + 1"),
        "over the end": ("Cat(C(0, 1), self.count[:_IN_BLOCK])", "Cat(C(3, 2), self.count)"),
        "without the block": ("Cat(in_block, place.payload.address)", "in_block"),
        "more blocks": ("request.blocks.eq(1)", "request.blocks.eq(2)"),
        "outside": ("with m.If(place.payload.outside):", "with m.If(0):"),
    }
    bugs = {name: lambda edit=edit: edited(DmaWriter, *edit)(width) for name, edit in edits.items()}
    check_contract(lambda: DmaWriter(width), contract, bugs)
