"""Loader: assembles 32-bit pieces into RAM words, and reads words back the same way."""

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

READ_CLOCKS = 5
"""Clocks from an address to its word, for the slowest RAMs: tape and embedding."""


class Loader(Component):
    """Write and read the words of any RAM piece by piece, or pass a tape on as it comes.

    The address counts up after the last piece of each word. Pieces are shifted through one register
    as wide as the widest word; in the last one, bits beyond the word's width are dropped. The words
    of STREAM go to `o_word`; read, they are zeros. So are those of TAPE on a chip with a ring, and
    what is written to it is dropped.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    memory, address : Signal, in
        RAM and next word, taken with `set_position`; this also drops a word that is not complete.
        Only while `i.ready` is up.
    restart : Signal, in
        Drop a word of STREAM, even one that waits on `o_word`, and a piece that waits behind it.
    position : Signal, out
        Next word, while `i.ready` is up.
    i : stream.Interface
        A piece to write, or with `read` a request for the next piece, which waits until the answer
        before has gone. `i.ready` comes from registers through one gate.
    o : stream.Interface
        Pieces read. Registered.
    o_word : stream.Interface
        Tape words of STREAM. Registered.
    tape, vector_a, vector_b, embedding, state : WritePort
    tape_read, vector_a_read, vector_b_read, embedding_read, state_read : ReadPort
        Data may take up to `READ_CLOCKS` from the address.

    Latency
        2 clocks from the last piece of a word to its write or to `o_word`, 7 from a request to its
        answer.

    Throughput
        A piece to write every 2 clocks, a piece read every 8.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        layouts = Layouts(config)
        self.words = {
            Memory.TAPE: (config.tape_words, layouts.word),
            Memory.VECTOR_A: (config.vector_a_words, layouts.vector),
            Memory.VECTOR_B: (config.vector_b_words, layouts.vector),
            Memory.EMBEDDING: (config.embedding_words, layouts.embedding_word),
            Memory.STATE: (config.slots * config.state_words, layouts.state),
        }
        if config.tape_words == 0:
            del self.words[Memory.TAPE]
        ports = {memory.name.lower(): word for memory, word in self.words.items()}
        super().__init__(
            {
                "memory": In(Memory),
                "address": In(ADDRESS_BITS),
                "set_position": In(1),
                "restart": In(1),
                "position": Out(ADDRESS_BITS),
                "i": In(stream.Signature(StructLayout({"read": 1, "data": PIECE}))),
                "o": Out(stream.Signature(PIECE)),
                "o_word": Out(stream.Signature(layouts.word)),
                **{name: Out(WritePort(*word)) for name, word in ports.items()},
                **{f"{name}_read": Out(ReadPort(*word)) for name, word in ports.items()},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        widths = {m_: Shape.cast(shape).width for m_, (_, shape) in self.words.items()}
        widths[Memory.STREAM] = self.config.word_bits
        pieces = {memory: -(-width // PIECE) for memory, width in widths.items()}
        longest = max(pieces.values()) * PIECE
        data = Signal(longest, reset_less=True)
        words = {
            memory: data[longest - n * PIECE :][: widths[memory]] for memory, n in pieces.items()
        }
        memory = Signal(Memory)
        piece = Signal(range(max(pieces.values()) + 1))
        last_piece = Signal()
        with m.Switch(memory):
            for option, count in pieces.items():
                with m.Case(option):
                    m.d.comb += last_piece.eq(piece == count - 1)

        # Clocks until the word asked for is there; it was addressed when the piece came.
        reading = Signal(range(READ_CLOCKS + 1))
        read_done = Signal()
        held, item = Signal(), Signal.like(self.i.payload)  # a piece taken, not yet dealt with
        take, answered = Signal(), (reading == 0) & ~self.o.valid
        m.d.comb += [
            self.i.ready.eq(~held & answered),
            take.eq(held & answered & ~self.o_word.valid),
            read_done.eq(reading == 1),
        ]
        with m.If(transfers(self.i)):
            m.d.sync += [held.eq(1), item.eq(self.i.payload)]
        writes = {option: Signal(name=f"write_{option.name.lower()}") for option in self.words}
        write_address = Signal(ADDRESS_BITS)
        m.d.sync += [write.eq(0) for write in writes.values()]
        with m.If(transfers(self.o_word)):
            m.d.sync += self.o_word.valid.eq(0)
        with m.If(reading != 0):
            m.d.sync += reading.eq(reading - 1)
        with m.If(take):
            m.d.sync += held.eq(0)
            with m.If(item.read):
                m.d.sync += reading.eq(READ_CLOCKS)
            with m.Else():
                m.d.sync += data.eq(Cat(data, item.data)[PIECE:])
                m.d.sync += write_address.eq(self.position)
                m.d.sync += [w.eq(last_piece & (memory == option)) for option, w in writes.items()]
                with m.If(memory == Memory.STREAM):
                    m.d.sync += self.o_word.valid.eq(last_piece)
        # A word that is read stays addressed until it is there.
        with m.If((take & ~item.read) | read_done):
            m.d.sync += piece.eq(Mux(last_piece, 0, piece + 1))
            m.d.sync += self.position.eq(self.position + last_piece)
        with m.If(self.set_position):
            m.d.sync += [memory.eq(self.memory), self.position.eq(self.address), piece.eq(0)]
        with m.If(self.restart):
            m.d.sync += self.o_word.valid.eq(0)
            with m.If(memory == Memory.STREAM):
                m.d.sync += [piece.eq(0), held.eq(0)]

        m.d.comb += self.o_word.payload.eq(words[Memory.STREAM])
        for option in self.words:
            port = getattr(self, option.name.lower())
            m.d.comb += [
                port.enable.eq(writes[option]),
                port.address.eq(write_address),
                Value.cast(port.data).eq(words[option]),
                getattr(self, f"{option.name.lower()}_read").address.eq(self.position),
            ]

        # The piece of each RAM's word, and then of the RAM that was asked for.
        found = {}
        for option in self.words:
            name = f"{option.name.lower()}_read"
            found[option] = Signal(PIECE, name=f"{name}_piece", reset_less=True)
            word = Value.cast(getattr(self, name).data)
            m.d.sync += found[option].eq(word.word_select(piece, PIECE))
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(read_done):
            m.d.sync += self.o.valid.eq(1)
            m.d.sync += self.o.payload.eq(0)
            with m.Switch(memory):
                for option in self.words:
                    with m.Case(option):
                        m.d.sync += self.o.payload.eq(found[option])
        return m
