"""Loader: assembles 32-bit pieces into RAM words, and reads states back the same way."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.registers import Memory
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.stream import transfers

__all__ = ["Loader"]

PIECE = 32
ADDRESS_BITS = 24


class Loader(Component):
    """Write words to any RAM and read words of the state bank, piece by piece.

    The address counts up after the last piece of each word. Pieces are shifted through one register
    as wide as the widest word; in the last one, bits beyond the word's width are dropped.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    memory, address : Signal, in
        RAM and next word, taken with `set_position`; this also drops a word that is not complete.
    position : Signal, out
        Next word.
    i : stream.Interface
        A piece to write, or with `read` a request for the state bank's next piece, which waits
        until the answer before has gone.
    o : stream.Interface
        Pieces read. Registered.
    tape, vector_a, vector_b, embedding, state : WritePort
    state_read : ReadPort

    Latency
        1 clock from the last piece of a word to its write, 2 from a request to its answer.

    Throughput
        A piece to write per clock, a piece read every 3 clocks.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        layouts = Layouts(config)
        self.words = {
            Memory.TAPE: (config.tape_words, layouts.word),
            Memory.VECTOR_A: (config.vector_a_words, layouts.vector),
            Memory.VECTOR_B: (config.vector_b_words, layouts.vector),
            Memory.EMBEDDING: (config.embedding_words, layouts.activations),
            Memory.STATE: (config.state_words, layouts.state),
        }
        super().__init__(
            {
                "memory": In(Memory),
                "address": In(ADDRESS_BITS),
                "set_position": In(1),
                "position": Out(ADDRESS_BITS),
                "i": In(stream.Signature(StructLayout({"read": 1, "data": PIECE}))),
                "o": Out(stream.Signature(PIECE)),
                **{m.name.lower(): Out(WritePort(*word)) for m, word in self.words.items()},
                "state_read": Out(ReadPort(*self.words[Memory.STATE])),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        widths = {m_: Shape.cast(shape).width for m_, (_, shape) in self.words.items()}
        pieces = {memory: -(-width // PIECE) for memory, width in widths.items()}
        longest = max(pieces.values()) * PIECE
        data = Signal(longest)
        memory = Signal(Memory)
        piece = Signal(range(max(pieces.values()) + 1))
        last_piece = Signal()
        with m.Switch(memory):
            for option, count in pieces.items():
                with m.Case(option):
                    m.d.comb += last_piece.eq(piece == count - 1)

        reading = Signal()  # the bank has seen the address, its word is there now
        m.d.comb += self.i.ready.eq(
            ~self.set_position & ~reading & (~self.i.payload.read | ~self.o.valid)
        )
        write = Signal()  # a whole word stands in `data`
        write_address = Signal(ADDRESS_BITS)
        m.d.sync += [write.eq(0), reading.eq(0)]
        with m.If(transfers(self.i)):
            m.d.sync += piece.eq(Mux(last_piece, 0, piece + 1))
            m.d.sync += self.position.eq(self.position + last_piece)
            with m.If(self.i.payload.read):
                m.d.sync += reading.eq(1)
            with m.Else():
                m.d.sync += data.eq(Cat(data, self.i.payload.data)[PIECE:])
                m.d.sync += [write.eq(last_piece), write_address.eq(self.position)]
        with m.If(self.set_position):
            m.d.sync += [memory.eq(self.memory), self.position.eq(self.address), piece.eq(0)]

        for option, count in pieces.items():
            port = getattr(self, option.name.lower())
            word = data[longest - count * PIECE :][: widths[option]]
            m.d.comb += [
                port.enable.eq(write & (memory == option)),
                port.address.eq(write_address),
                Value.cast(port.data).eq(word),
            ]

        # `position` and `piece` have moved on when the word arrives: look at the piece asked for.
        asked = Signal.like(piece)
        m.d.sync += asked.eq(piece)
        m.d.comb += self.state_read.address.eq(self.position)
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(reading):
            word = Value.cast(self.state_read.data)
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(word.word_select(asked, PIECE))]
        return m
