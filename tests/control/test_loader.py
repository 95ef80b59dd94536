"""Loader: words of every RAM in pieces, read back, a tape passed on, and the stream contract."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.registers import Memory
from sterna.spec.sdram import PARTS
from sterna.spec.trits import Packing
from sterna_rtl.control.loader import ADDRESS_BITS, PIECE, READ_CLOCKS, Loader
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from sterna_sim.kit import Memory as Beside
from sterna_sim.kit.ports import Codec
from tests.control.chips import chip
from tests.control.wrap import join

COMMAND = StructLayout(
    {"set": 1, "restart": 1, "memory": Memory, "address": ADDRESS_BITS, "read": 1, "data": PIECE}
)
NAMES = tuple(
    memory.name.lower() for memory in Memory if memory not in (Memory.STREAM, Memory.EXTERNAL)
)
BLOCKS = 8


class Blocks(Component):
    """In place of the memory beside the chip: some blocks, one in 12 clocks."""

    def __init__(self, loader: Loader) -> None:
        members = loader.signature.members
        super().__init__({"i": members["o_block"].flip(), "o": members["i_block"].flip()})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.blocks = blocks = Ram(BLOCKS, self.o.payload.shape())
        left, reads, request = Signal(4), Signal(), self.i.payload
        m.d.comb += [
            self.i.ready.eq((left == 0) & ~self.o.valid),
            blocks.read.address.eq(request.block),
            blocks.write.enable.eq(transfers(self.i) & request.write),
            blocks.write.address.eq(request.block),
            blocks.write.data.eq(request.data),
        ]
        with m.If(transfers(self.o)):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), self.o.valid.eq((left == 1) & reads)]
        with m.If(left == 12):
            m.d.sync += self.o.payload.eq(blocks.read.data)
        with m.If(transfers(self.i)):
            m.d.sync += [left.eq(12), reads.eq(~request.write)]
        return m


class Commanded(Component):
    """The loader with its positions and its pieces in one stream, as the registers give them."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        members = loader.signature.members
        rest = {name: members[name] for name in members if name.startswith((*NAMES, "position"))}
        super().__init__(
            {
                "command": In(stream.Signature(COMMAND)),
                "o": Out(stream.Signature(PIECE)),
                "o_word": members["o_word"],
                **rest,
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.loader = loader = self.loader
        if loader.config.memory:
            m.submodules.blocks = blocks = Blocks(loader)
            connect_stream(m, loader.o_block, blocks.i)
            connect_stream(m, blocks.o, loader.i_block)
        command = self.command.payload
        # A restart would drop a word that waits.
        ready = loader.i.ready & ~(command.restart & loader.o_word.valid)
        taken = self.command.valid & ready
        m.d.comb += [
            loader.set_position.eq(taken & command.set),
            loader.restart.eq(taken & command.restart),
            loader.memory.eq(command.memory),
            loader.address.eq(command.address),
            loader.i.valid.eq(self.command.valid & ~command.set & ~command.restart),
            loader.i.payload.read.eq(command.read),
            loader.i.payload.data.eq(command.data),
            self.command.ready.eq(ready),
        ]
        join(m, self, loader)
        return m


def broken(old, new):
    return lambda config: Commanded(edited(Loader, old, new)(config))


def pieces(word, width):
    """Split a word, lowest piece first."""
    return [word >> start & (1 << PIECE) - 1 for start in range(0, width, PIECE)]


class Host:
    """Gives commands and knows what the RAMs hold after them and what is read.

    Parameters
    ----------
    loader : Loader
    rng : numpy.random.Generator
    """

    def __init__(self, loader, rng):
        self.rng = rng
        self.codecs = {memory: Codec(shape) for memory, (_, shape) in loader.words.items()}
        self.codecs[Memory.STREAM] = Codec(Layouts(loader.config).word)
        self.rams = {memory: [0] * depth for memory, (depth, _) in loader.words.items()}
        if loader.config.memory:
            self.codecs[Memory.EXTERNAL] = Codec(unsigned(PARTS[loader.config.memory].block_bits))
            self.rams[Memory.EXTERNAL] = [0] * BLOCKS
        self.commands, self.answers, self.streamed = [], [], []
        self.memory, self.position = Memory.TAPE, 0

    def _give(self, **command):
        # What a command does not need is anything.
        rest = {
            "set": 0,
            "restart": 0,
            "memory": int(self.rng.integers(len(Memory))),
            "address": int(self.rng.integers(1 << ADDRESS_BITS)),
            "read": int(self.rng.integers(2)),
            "data": int(self.rng.integers(1 << PIECE)),
        }
        self.commands.append({**rest, **command})

    def go_to(self, memory, position):
        self._give(set=1, memory=memory, address=position)
        self.memory, self.position = memory, position

    def write(self, word, count=None):
        """Write the first `count` pieces of a word; bits beyond its width are anything."""
        width = self.codecs[self.memory].width
        parts = pieces(word | int(self.rng.integers(1 << PIECE)) << width, width)
        for part in parts[:count]:
            self._give(read=0, data=part)
        if count is None:
            if self.memory is Memory.STREAM:
                self.streamed.append(word)
            else:
                self.rams[self.memory][self.position] = word
            self.position += 1

    def restart(self):
        self._give(restart=1)

    def write_words(self, count):
        width = self.codecs[self.memory].width
        for _ in range(count):
            self.write(int.from_bytes(self.rng.bytes(-(-width // 8)), "little") & (1 << width) - 1)

    def read_word(self, count=None):
        """Read the first `count` pieces of a word."""
        word = 0 if self.memory is Memory.STREAM else self.rams[self.memory][self.position]
        for part in pieces(word, self.codecs[self.memory].width)[:count]:
            self._give(read=1)
            self.answers.append(part)
        self.position += count is None

    def no_ram(self, memory, position):
        """Write and read pieces of a RAM that the chip lacks: nothing comes of it but zeros."""
        self._give(set=1, memory=memory, address=position)
        for _ in range(5):
            self._give(read=0)
            self._give(read=1)
            self.answers.append(0)
        self.position = position

    def case(self, name, clocks=None):
        """What the commands so far must lead to; forgets them."""
        memories = []
        for memory, words in self.rams.items():
            if memory is Memory.EXTERNAL:  # in the unit under test; what it holds is read back
                continue
            port = memory.name.lower()
            items = [self.codecs[memory].unpack(word) for word in words]
            memories.append(
                Beside(
                    [self.codecs[memory].unpack(0)] * len(words),
                    reads=[(f"{port}_read__address", f"{port}_read__data")],
                    latency=READ_CLOCKS,
                    writes=[tuple(f"{port}__{part}" for part in ("enable", "address", "data"))],
                    expected=items,
                    name=port,
                )
            )
        case = Case(
            {"command": self.commands},
            {"o": self.answers, "o_word": self.streamed},
            finals={"position": self.position},
            memories=memories,
            clocks=clocks,
            name=name,
        )
        self.commands, self.answers, self.streamed = [], [], []
        for memory, words in self.rams.items():
            if memory is not Memory.EXTERNAL:
                words[:] = [0] * len(words)
        return case


class LoaderBench(UnitBench):
    """Whole RAMs, then words here and there with positions in between."""

    name = "loader"
    configs = {
        # Tape words of 430, 10, 40, 32 and 5 bits; words of the embedding of 64, 8, 16, 32, 4.
        "R-4-C-64-E-8": chip(rows=4, columns=64, elements=8),
        "E-1": chip(columns=5, elements=1, packing=Packing.TWO_BITS),
        "E-4": chip(rows=2, columns=12, elements=4, embedding_bits=4),
        "two-pieces": chip(rows=1, columns=16, elements=4, packing=Packing.TWO_BITS),
        "R-2-E-1": chip(rows=2, columns=1, elements=1, embedding_bits=4),
        "2-slots": chip(elements=2, slots=2),
        "ring-3-slots": chip(columns=12, elements=4, slots=3, ring=True),
        "memory": chip(columns=12, elements=4, memory="ULX3S"),
        "memory-wide-words": chip(rows=2, columns=48, elements=4, memory="ULX3S"),
    }
    cocotb_configs = ("E-4", "memory")
    bug_configs = ("memory-wide-words", "2-slots", *configs)
    bugs = {
        "pieces from the top": broken(
            "Cat(data, item.data)[PIECE:]", "Cat(item.data, data)[:longest]"
        ),
        "part of a word survives a new position": broken(", piece.eq(0)]", "]"),
        "written one word too far": broken(
            "port.address.eq(write_address)", "port.address.eq(write_address + 1)"
        ),
        "a word of the new RAM": broken(
            "port.enable.eq(writes[option])",
            "port.enable.eq(Cat(writes.values()).any() & "
            "(Mux(self.set_position, self.memory, memory) == option))",
        ),
        "reads the piece after": broken("1 << piece % _QUAD", "1 << (piece + 1) % _QUAD"),
        "answer not held": broken("with m.If(transfers(self.o)):", "with m.If(self.o.valid):"),
        "reads before the answer has gone": broken("& ~ask & ~answering", "& ~ask"),
        "a piece of another RAM too": broken("chosen[option] & (piece //", "(piece //"),
        "a piece of another quad too": broken(" & (piece // _QUAD == quad)", ""),
        "a read fills the word": broken("due & ~item.read", "due"),
        "one piece too many": broken("piece == count - 1", "piece == count"),
        "word of the tape not held": broken(" & ~self.o_word.valid", ""),
        "word read too early": broken("reading[-1]", "reading[-2]"),
        "part of a tape word survives a restart": broken("piece.eq(0), held", "held"),
        "position not counted": broken("self.position + last_piece", "self.position"),
        "a block of the position before": broken(
            "last_piece) | self.set_position)", "last_piece))"
        ),
        "block not waited for": broken("return (ask & ~external) | (waits & there)", "return ask"),
        "block that waits is overwritten": broken("due &= ~self.o_block.valid", "pass"),
        "block written with its first piece": broken("| (store & last_piece)", "| store"),
        "all blocks written": broken("payload.write.eq(store)", "payload.write.eq(1)"),
        "state of slot 0 alone": broken(
            "(config.slots * config.state_words", "(config.state_words"
        ),
        "a tape's word as wide as another RAM's": broken(
            "widths[Memory.STREAM] = self.config.word_bits",
            "widths[Memory.STREAM] = widths[Memory.STATE]",
        ),
    }

    def dut(self, config):
        return Commanded(Loader(config))

    def cases(self, config, rng):
        loader = Loader(config)
        host = Host(loader, rng)
        rams = tuple(host.rams)
        for memory in rams:
            host.go_to(memory, 0)
            host.write_words(len(host.rams[memory]))
        # A piece every third clock, a position between.
        slow = 12 * BLOCKS if config.memory else 0
        yield host.case("all", clocks=3 * len(host.commands) - len(rams) + slow)

        host.go_to(Memory.STREAM, 0)
        host.write_words(3)
        host.write(0, len(pieces(0, host.codecs[Memory.STREAM].width)) - 1)
        host.restart()
        host.write_words(12)
        yield host.case("a tape as it comes")

        if config.memory:
            for _ in range(3):
                for block in range(BLOCKS):
                    if host.position == BLOCKS or rng.integers(3) == 0:
                        host.go_to(Memory.EXTERNAL, block)
                    host.read_word()
                host.go_to(Memory.EXTERNAL, int(rng.integers(BLOCKS)))
                host.read_word(int(rng.integers(1, 4)))  # a part, then another block
                host.go_to(Memory.EXTERNAL, int(rng.integers(BLOCKS)))
                host.read_word()
                host.go_to(Memory.EXTERNAL, 0)
                host.write_words(int(rng.integers(1, BLOCKS)))
                host.go_to(Memory.EXTERNAL, 0)
            yield host.case("blocks")

        if config.ring_words:
            if config.memory:
                host.no_ram(Memory.EMBEDDING, 3)
            host.no_ram(Memory.TAPE, 3)
            yield host.case("no tape on the chip")

        # The answer to a read comes nine clocks after it, and the next read two clocks later.
        host.go_to(Memory.STATE, 1)
        host.write_words(6)
        written = len(host.commands)
        host.go_to(Memory.STATE, 1)
        for _ in range(6):
            host.read_word()
        yield host.case("state", clocks=3 * written + 11 * len(host.answers))

        for memory in rams:
            host.go_to(memory, 1)
            host.write_words(1)
            host.go_to(memory, 1)
            host.read_word()
        yield host.case("a word of each RAM")

        for _ in range(30):
            memory = rams[rng.integers(len(rams))]
            words = len(host.rams[memory])
            host.go_to(memory, int(rng.integers(words)))
            host.write_words(int(rng.integers(1, min(3, words - host.position) + 1)))
            size = len(pieces(0, host.codecs[memory].width))
            begun = host.position < words and int(rng.integers(size))
            if begun:
                host.write(0, begun)
            if not begun:
                host.go_to(memory, int(rng.integers(words)))
                host.read_word()
                if host.position < words and size > 1:
                    host.read_word(int(rng.integers(1, size)))
        host.go_to(Memory.STATE, 0)
        host.read_word()
        yield host.case("here and there")


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LoaderBench())


def test_contract():
    """One answer for each read at most, and held, whatever the position does meanwhile."""
    config = chip(columns=4, elements=4)
    free = ("memory", "address", *(f"{name}_read__data" for name in NAMES))
    held = "with m.If(transfers(self.o)):", "with m.If(self.o.valid):"
    bugs = {"answer not held": lambda: edited(Loader, *held)(config)}
    # A read takes 11 clocks, and its stages may hold anything at first.
    contract = StreamContract(items_in=1, free=free, depth=24, induction=10)
    check_contract(lambda: Loader(config), contract, bugs)
