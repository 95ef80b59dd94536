"""Loader: assembles 32-bit pieces into RAM words, and reads words back the same way."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.memories import external
from sterna.spec.registers import Memory
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.stream import transfers
from sterna_rtl.memory.block_port import block_layout

__all__ = ["Loader"]

PIECE = 32
ADDRESS_BITS = 24

_QUAD = 4
"""Pieces of a word among which one is chosen in a clock."""

READ_CLOCKS = 5
"""Clocks from an address to its word, for the slowest RAMs: tape and embedding."""


class Loader(Component):
    """Write and read the words of any RAM piece by piece, or pass a tape on as it comes.

    The address counts up after the last piece of each word. Pieces are shifted through one register
    as wide as the widest word; in the last one, bits beyond the word's width are dropped. The words
    of STREAM go to `o_word`; read, they are zeros. So are those of a RAM that the chip lacks, and
    what is written to it is dropped.

    Words of EXTERNAL are blocks. They go to and come from `BlockPort` and take as long as they do:
    a block that is written holds up the next piece, one that is read its first piece.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    memory, address : Signal, in
        RAM and next word, taken with `set_position`; this also drops a word that is not complete.
        Only while `i.ready` is up, and not on a clock on which a piece comes.
    restart : Signal, in
        Drop a word of STREAM, even one that waits on `o_word`, and a piece that waits behind it.
    position : Signal, out
        Next word, while `i.ready` is up.
    i : stream.Interface
        A piece to write, or with `read` a request for the next piece, which waits until the answer
        before has gone. `i.ready` comes from a register.
    o : stream.Interface
        Pieces read. Registered.
    o_word : stream.Interface
        Tape words of STREAM. Registered.
    o_block : stream.Interface
        `block_layout`; with a memory. Registered.
    i_block : stream.Interface
        The block read; with a memory. It is taken when the position moves on.
    tape, vector_a, vector_b, embedding, state : WritePort
    tape_read, vector_a_read, vector_b_read, embedding_read, state_read : ReadPort
        Data may take up to `READ_CLOCKS` from the address.

    Latency
        3 clocks from the last piece of a word to its write or to `o_word`, 9 from a request to its
        answer.

    Throughput
        A piece to write every 3 clocks, a piece read every 11.
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
        # A chip has no RAM of no words.
        self.words = {memory: word for memory, word in self.words.items() if word[0]}
        part = external(config.memory) if config.memory else None
        blocks = (
            {
                "o_block": Out(stream.Signature(block_layout(part))),
                "i_block": In(stream.Signature(part.block_bits)),
            }
            if part
            else {}
        )
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
                **blocks,
                **{name: Out(WritePort(*word)) for name, word in ports.items()},
                **{f"{name}_read": Out(ReadPort(*word)) for name, word in ports.items()},
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        widths = {m_: Shape.cast(shape).width for m_, (_, shape) in self.words.items()}
        widths[Memory.STREAM] = self.config.word_bits
        if self.config.memory:
            widths[Memory.EXTERNAL] = len(self.i_block.payload)
        pieces = {memory: -(-width // PIECE) for memory, width in widths.items()}
        longest = max(pieces.values()) * PIECE
        data = Signal(longest, reset_less=True)
        words = {
            memory: data[longest - n * PIECE :][: widths[memory]] for memory, n in pieces.items()
        }
        memory = Signal(Memory)
        piece = Signal(range(max(pieces.values()) + 1))
        # A clock behind `memory` and `piece`, and there when these count for a piece.
        chosen = {option: Signal(name=f"chosen_{option.name.lower()}") for option in pieces}
        last_piece = Signal()
        m.d.sync += [signal.eq(memory == option) for option, signal in chosen.items()]
        m.d.sync += last_piece.eq(0)
        with m.Switch(memory):
            for option, count in pieces.items():
                with m.Case(option):
                    m.d.sync += last_piece.eq(piece == count - 1)

        held, item = Signal(), Signal.like(self.i.payload)  # a piece taken, not yet dealt with
        store, ask = Signal(), Signal()  # the one in `item` is written; a piece is asked for
        answering, room = Signal(), Signal()
        begin = ask  # the word that the piece is of stands still from now on
        reading = Signal(READ_CLOCKS + 1)  # bit k is up k + 1 clocks after `begin`
        read_done = reading[-1]
        due = held & ~self.o_word.valid
        if self.config.memory:
            due &= ~self.o_block.valid
        m.d.sync += [
            store.eq(due & ~item.read),
            ask.eq(due & item.read),
            room.eq(~held & ~ask & ~answering & ~transfers(self.i)),
        ]
        m.d.comb += self.i.ready.eq(room)
        with m.If(due):
            m.d.sync += held.eq(0)
        with m.If(transfers(self.i)):
            m.d.sync += held.eq(1)
        with m.If(room):  # whatever is there
            m.d.sync += item.eq(self.i.payload)
        writes = {option: Signal(name=f"write_{option.name.lower()}") for option in self.words}
        write_address = Signal(ADDRESS_BITS)
        m.d.sync += [write.eq(0) for write in writes.values()]
        with m.If(transfers(self.o_word)):
            m.d.sync += self.o_word.valid.eq(0)
        with m.If(ask):
            m.d.sync += answering.eq(1)
        with m.If(store):
            m.d.sync += data.eq(Cat(data, item.data)[PIECE:])
            m.d.sync += write_address.eq(self.position)
            m.d.sync += [write.eq(last_piece & chosen[option]) for option, write in writes.items()]
            with m.If(chosen[Memory.STREAM]):
                m.d.sync += self.o_word.valid.eq(last_piece)
        # A word that is read stays addressed until it is there.
        with m.If(store | read_done):
            m.d.sync += piece.eq(Mux(last_piece, 0, piece + 1))
            m.d.sync += self.position.eq(self.position + last_piece)
        with m.If(self.set_position):
            m.d.sync += [memory.eq(self.memory), self.position.eq(self.address), piece.eq(0)]
        with m.If(self.restart):
            m.d.sync += self.o_word.valid.eq(0)
            with m.If(chosen[Memory.STREAM]):
                m.d.sync += [piece.eq(0), held.eq(0), store.eq(0)]

        if self.config.memory:
            begin = self._blocks(m, ask, store, read_done, last_piece, chosen[Memory.EXTERNAL])
            with m.If(ask):
                m.d.sync += write_address.eq(self.position)
            m.d.comb += [
                self.o_block.payload.block.eq(write_address),
                self.o_block.payload.data.eq(words[Memory.EXTERNAL]),
            ]
        m.d.sync += reading.eq(Cat(begin, reading))
        if platform == "formal":
            # A proof may begin anywhere: what is asked for is in one place, and nothing is held.
            asked = Cat(ask, reading, self.o.valid)
            m.d.comb += [
                Assert((asked & (asked - 1)) == 0),
                Assert(answering == asked[1:].any()),
                Assert(~held | ~(asked.any() | room)),
                Assert(~room | ~asked.any()),
            ]

        m.d.comb += self.o_word.payload.eq(words[Memory.STREAM])
        for option in self.words:
            port = getattr(self, option.name.lower())
            m.d.comb += [
                port.enable.eq(writes[option]),
                port.address.eq(write_address),
                Value.cast(port.data).eq(words[option]),
            ]
            # A register for each RAM, as they are far from one another.
            m.d.sync += getattr(self, f"{option.name.lower()}_read").address.eq(self.position)

        # Each memory's word, one piece of each quad of its pieces, the others cleared, then OR.
        read = {o: Value.cast(getattr(self, f"{o.name.lower()}_read").data) for o in self.words}
        if self.config.memory:
            read[Memory.EXTERNAL] = self.i_block.payload
        found = []
        for option, there in read.items():
            name = f"{option.name.lower()}_read"
            word = there
            if option not in (Memory.VECTOR_A, Memory.VECTOR_B):  # these have a register already
                word = Signal(widths[option], name=f"{name}_word", reset_less=True)
                m.d.sync += word.eq(there)
            for quad in range(-(-pieces[option] // _QUAD)):
                # One of them is up, or none: beside the word, for `piece` is far from most of them.
                here = Signal(_QUAD, name=f"{name}_here_{quad}")
                part = Signal(PIECE, name=f"{name}_piece_{quad}", reset_less=True)
                mine = chosen[option] & (piece // _QUAD == quad)
                m.d.sync += here.eq(Mux(mine, 1 << piece % _QUAD, 0))
                rest = word[quad * _QUAD * PIECE :]
                shown = [
                    rest.word_select(number, PIECE) & here[number].replicate(PIECE)
                    for number in range(_QUAD)
                ]
                m.d.sync += part.eq(reduce(or_, shown))
                found.append(part)
        with m.If(transfers(self.o)):
            m.d.sync += [self.o.valid.eq(0), answering.eq(0)]
        with m.If(read_done):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(reduce(or_, found))]
        return m

    def _blocks(
        self,
        m: Module,
        ask: Signal,
        store: Signal,
        read_done: Value,
        last_piece: Signal,
        external: Signal,
    ) -> Value:
        """Ask for blocks and give them away; return when the word that a piece is of is there."""
        waits = Signal()  # for the block that a piece is asked of
        there = self.i_block.valid
        m.d.comb += self.i_block.ready.eq(((store | read_done) & last_piece) | self.set_position)
        with m.If(transfers(self.o_block)):
            m.d.sync += self.o_block.valid.eq(0)
        with m.If(external & ((ask & ~there) | (store & last_piece))):
            m.d.sync += [self.o_block.valid.eq(1), self.o_block.payload.write.eq(store)]
        with m.If(ask & external):
            m.d.sync += waits.eq(1)
        with m.If(waits & there):
            m.d.sync += waits.eq(0)
        return (ask & ~external) | (waits & there)
