"""COBS against the package cobs: whole frames, damaged ones, frames written in place."""

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from cobs import cobs

from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.link.cobs import LONGEST, CobsDecoder, CobsWriter
from sterna_rtl.link.executor import BYTE
from sterna_sim.kit import (
    Case,
    Memory,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)


def decoded(block, errors=()):
    """Bytes that a decoder gives for what stands before a zero, and whether they are right."""
    out, zero, left = bytearray(), False, 0
    for byte in block:
        if left:
            out.append(byte)
            left -= 1
        else:
            if zero:
                out.append(0)
            zero, left = byte != 0xFF, byte - 1
    good = left == 0 and not errors
    try:
        assert cobs.decode(block) == out or not good
    except cobs.DecodeError:
        assert not good
    return bytes(out), good


def received(block, errors=()):
    return [{"data": byte, "error": n in errors} for n, byte in enumerate(block + b"\0")]


def given(block, errors=()):
    data, good = decoded(block, errors)
    return [{"data": byte, "end": 0, "good": 0} for byte in data] + [
        {"data": 0, "end": 1, "good": good}
    ]


def frames(rng):
    """Frames with many zeros, with none, and around the length of a full block."""
    for length in (1, 2, 3, 20):
        yield bytes(length)
        yield rng.integers(0, 3, length, dtype=np.uint8).tobytes()
        yield rng.integers(1, 256, length, dtype=np.uint8).tobytes()
    for length in (253, 254, 255, 300):
        yield rng.integers(1, 256, length, dtype=np.uint8).tobytes()
    yield bytes(range(1, 255)) + b"\0" + bytes(range(1, 255))
    # A zero here and there.
    for length in (60, 150, 230, 253):
        frame = rng.integers(1, 256, length, dtype=np.uint8)
        frame[rng.random(length) < 0.03] = 0
        yield frame.tobytes()


def broken_decoder(old, new):
    return lambda config: edited(CobsDecoder, old, new)()


class DecoderBench(UnitBench):
    """Good frames, noise, and frames with a damaged byte."""

    name = "cobs_decoder"
    configs = {"only": None}
    bugs = {
        "zero after a full block": broken_decoder("zero.eq(data != 0xFF)", "zero.eq(1)"),
        "zero not given": broken_decoder("self.o.valid.eq(zero),", "self.o.valid.eq(0),"),
        "cut frames are good": broken_decoder("(left == 0) & ~damaged", "~damaged"),
        "damage forgotten": broken_decoder("damaged.eq(damaged | error)", "damaged.eq(error)"),
        "damage remembered": broken_decoder("damaged.eq(0),", ""),
        "empty frames": broken_decoder("begun | error", "1"),
        "out of step": broken_decoder("left.eq(0),", ""),
        "a byte too many": broken_decoder("left.eq(data - 1)", "left.eq(data)"),
        "not held": broken_decoder("i.ready.eq(can_load(self.o))", "i.ready.eq(1)"),
    }

    def dut(self, config):
        return CobsDecoder()

    def cases(self, config, rng):
        blocks = [cobs.encode(frame) for frame in frames(rng)]
        items = [item for block in blocks for item in received(block)]
        yield Case(
            {"i": [{"data": 0, "error": 0}] * 3 + items},
            {"o": [item for block in blocks for item in given(block)]},
            clocks=len(items) + 4,
            name="good",
        )
        blocks = [(rng.integers(1, 40, n, dtype=np.uint8).tobytes(), ()) for n in range(1, 30)]
        for frame in (b"tern", bytes(5)):
            block = cobs.encode(frame)
            blocks += [(block, (n,)) for n in range(len(block) + 1)] + [(block, ())]
        blocks.append((b"", (0,)))  # a line break
        yield Case(
            {"i": [item for block, errors in blocks for item in received(block, errors)]},
            {"o": [item for block, errors in blocks for item in given(block, errors)]},
            name="damaged",
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(DecoderBench())


def test_contract():
    bug = broken_decoder("i.ready.eq(can_load(self.o))", "i.ready.eq(1)")
    check_contract(CobsDecoder, StreamContract(items_in=1), {"not held": lambda: bug(None)})


SIZE = 600


class Placed(Component):
    """The writer with a place for each frame and a stream of lengths."""

    def __init__(self, writer) -> None:
        self.writer = writer
        super().__init__(
            {
                "i": In(stream.Signature(BYTE)),
                "places": In(stream.Signature(range(SIZE))),
                "o": Out(stream.Signature(range(257))),
                "write": Out(WritePort(SIZE, unsigned(8))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.writer = writer = self.writer
        busy = Signal()  # a frame's length has not been taken
        connect_stream(m, self.i, writer.i)
        with m.If(busy | ~self.places.valid):
            m.d.comb += [writer.i.valid.eq(0), self.i.ready.eq(0)]
        last = transfers(writer.i) & writer.i.payload.last
        m.d.comb += [
            writer.first.eq(self.places.payload),
            self.places.ready.eq(last),
            self.o.payload.eq(writer.length),
            *(
                getattr(self.write, name).eq(getattr(writer.write, name))
                for name in ("enable", "address", "data")
            ),
        ]
        with m.If(last):
            m.d.sync += busy.eq(1)
        with m.If(writer.done):
            m.d.sync += self.o.valid.eq(1)
        with m.If(transfers(self.o)):
            m.d.sync += [self.o.valid.eq(0), busy.eq(0)]
        return m


def broken_writer(old, new):
    return lambda config: Placed(edited(CobsWriter, old, new)(SIZE))


class WriterBench(UnitBench):
    """Frames at several places; the RAM holds what the package makes of them."""

    name = "cobs_writer"
    configs = {"only": None}
    bugs = {
        "code one too small": broken_writer(
            "self.write.data.eq(place - code_at)]\n", "self.write.data.eq(place - code_at - 1)]\n"
        ),
        "code never moves": broken_writer("code_at.eq(place)\n", "code_at.eq(code_at)\n"),
        "no zero at the end": broken_writer(
            "[at.eq(place), self.write.enable.eq(1)]", "[at.eq(place)]"
        ),
        "next frame behind this one": broken_writer("place.eq(1),", ""),
        "place followed in the middle": broken_writer("Mux(begun, base, self.first)", "self.first"),
        "length without the zero": broken_writer("length.eq(place + 1)", "length.eq(place)"),
    }
    not_stalled = {"i": "it waits for its place", "places": "one is taken with a whole frame"}
    bug_configs = ("only",)

    def dut(self, config):
        return Placed(CobsWriter(SIZE))

    def cases(self, config, rng):
        given = [frame for frame in frames(rng) if len(frame) <= LONGEST]
        # Two at a time, each looked at before the next ones lie where they did.
        for pair in zip(given[::2], given[1::2], strict=False):
            words = [0xAA] * SIZE
            inputs, lengths = [], []
            places = [0, 301]  # odd: a lowest bit that is lost must be seen
            for place, frame in zip(places, pair, strict=True):
                encoded = cobs.encode(frame) + b"\0"
                words[place : place + len(encoded)] = encoded
                lengths.append(len(encoded))
                inputs += [
                    {"data": byte, "last": n == len(frame) - 1} for n, byte in enumerate(frame)
                ]
            memory = Memory(
                [0xAA] * SIZE,
                writes=[("write__enable", "write__address", "write__data")],
                expected=words,
                name="replies",
            )
            yield Case({"i": inputs, "places": places}, {"o": lengths}, memories=[memory])


test_writer_pysim, test_writer_cocotb, test_writer_planted_bugs = bench_tests(WriterBench())


@pytest.mark.parametrize("length", [LONGEST])
def test_longest_frame_has_no_full_block(length):
    assert cobs.encode(b"x" * length)[0] == length + 1 < 0xFF
