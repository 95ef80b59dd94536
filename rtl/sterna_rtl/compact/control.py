"""Control: the processor with its memories, and its ports to the compute part and the link."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.firmware.assembler import Assembly
from sterna.spec.compact import TAPE_WORDS, Place, Program, Shift
from sterna.spec.compact_chip import Read, Write
from sterna.spec.processor import DATA_WORDS, PROGRAM_WORDS, WORD_BITS
from sterna_rtl.compact.checksum import Checksum
from sterna_rtl.compact.compute import Compute
from sterna_rtl.compact.processor import Processor
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import transfers
from sterna_rtl.link.frames import DECODED

__all__ = ["Control"]


class Control(Component):
    """Execute firmware whose ports are those of `sterna.spec.compact_chip`.

    Parameters
    ----------
    firmware : Assembly
    divisor : int
        What `divisor` is until the firmware says another.

    Attributes
    ----------
    received : stream.Interface
        `DECODED`, what comes over the link.
    send : stream.Interface
        Bytes to the link.
    sent : Signal, in
        All of them have gone.
    divisor : Signal, out
        Clocks per bit of the link.
    restart : Signal, in
        Of `Processor`. What it has begun comes to its end.
    """

    def __init__(self, firmware: Assembly, divisor: int) -> None:
        self.firmware = firmware
        self.processor = Processor()
        self.checksum = Checksum()
        self.compute = Compute()
        super().__init__(
            {
                "received": In(stream.Signature(DECODED)),
                "send": Out(stream.Signature(8)),
                "sent": In(1),
                "divisor": Out(WORD_BITS, init=divisor),
                "restart": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # Clocks on which a peek is not there yet.
        self._peeks = Signal(3, name="peeks")
        m.submodules.processor = processor = self.processor
        m.submodules.checksum, m.submodules.compute = self.checksum, self.compute
        m.d.comb += processor.restart.eq(self.restart)
        for name, depth, words in (
            ("program", PROGRAM_WORDS, self.firmware.program),
            ("data", DATA_WORDS, self.firmware.data),
        ):
            ram = Ram(depth, unsigned(WORD_BITS), init=dict(enumerate(words)), block=True)
            m.submodules[name] = ram
            port = getattr(processor, name)
            m.d.comb += [ram.read.address.eq(port.address), port.data.eq(ram.read.data)]
            if name == "data":
                for part in ("enable", "address", "data"):
                    m.d.comb += getattr(ram.write, part).eq(getattr(processor.new_data, part))
        self._read(m, self._write(m))
        return m

    def _write(self, m: Module) -> Signal:
        """Take what the processor writes, when who gets it is free; return whether it waits."""
        compute, given = self.compute, self.processor.o
        # It waits in a register, so that who is free has not to be known on the processor's clock.
        waits, held, free = Signal(name="waits"), Signal.like(given.payload), Signal()
        port, data, moves = held.port, held.data, waits & free
        m.d.comb += given.ready.eq(~waits)
        with m.If(transfers(given)):
            m.d.sync += [held.eq(given.payload), waits.eq(1)]
        with m.Elif(moves):
            m.d.sync += waits.eq(0)
        first, last, program = compute.i.payload.first, compute.i.payload.last, compute.i.valid
        block, noise = compute.i_block, compute.i_noise
        place, shift = (port[4:] == base >> 4 for base in (Write.PLACE, Write.SHIFT))
        m.d.comb += compute.o.ready.eq(1)
        with m.If(transfers(compute.i)):
            m.d.sync += program.eq(0)
        for waiting in (compute.i_block, compute.i_noise):
            with m.If(transfers(waiting)):
                m.d.sync += waiting.valid.eq(0)

        def written(number: Write) -> Value:
            return moves & (port == number)

        with m.Switch(port):
            with m.Case(Write.LAST_ROW, Write.BLOCK, Write.SEEK, Write.TAPE_WORD):
                m.d.comb += free.eq(~block.valid)
            with m.Case(Write.NOISE, Write.PIECE):
                m.d.comb += free.eq(~noise.valid)
            with m.Case(Write.SUM, Write.SUM_MORE, Write.NIBBLE):
                m.d.comb += free.eq(~program & ~(block.valid & block.payload.ends))
            with m.Case(Write.SEND):
                m.d.comb += free.eq(self.send.ready)
            with m.Case(Write.CHECK, Write.CHECK_START):
                m.d.comb += free.eq(self.checksum.i.ready)
            with m.Case(Write.TAPE, Write.DIVISOR):
                m.d.comb += free.eq(1)
            with m.Default():
                m.d.comb += free.eq(~program)
        with m.If(moves):
            with m.Switch(port):
                with m.Case(Write.FIRST):
                    m.d.sync += first.eq(data)
                with m.Case(Write.LAST):
                    m.d.sync += last.eq(data)
                with m.Case(Write.PROGRAM):
                    m.d.sync += [compute.i.payload.program.eq(data), program.eq(1)]
                with m.Case(Write.PEEK):
                    m.d.sync += compute.i.payload.program.eq(Program.SHOW_VECTORS)
                with m.Case(Write.LAST_ROW):
                    m.d.sync += block.payload.last_row.eq(data)
                with m.Case(Write.BLOCK):
                    m.d.sync += Cat(block.payload.begins, block.payload.ends).eq(data)
                    m.d.sync += block.valid.eq(1)
                with m.Case(Write.NOISE):
                    m.d.sync += [noise.payload.eq(data), noise.valid.eq(1)]
                with m.Case(Write.DIVISOR):
                    m.d.sync += self.divisor.eq(data)

        # Sums: which two bits are above a word's.
        at, sums = Signal.like(compute.new_sums.address), compute.new_sums
        nibble = port == Write.NIBBLE
        signs = (nibble & data[3]).replicate(WORD_BITS - 4)
        with m.If(written(Write.SUM_AT)):
            m.d.sync += at.eq(data)
        with m.Elif(sums.enable):
            m.d.sync += at.eq(at + 1)
        m.d.comb += [
            sums.enable.eq(moves & ((port == Write.SUM) | (port == Write.SUM_MORE) | nibble)),
            sums.address.eq(at),
            sums.data.eq(
                Cat(
                    data[:4],
                    Mux(nibble, signs, data[4:]),
                    (port == Write.SUM_MORE) | signs[0],
                    signs[0],
                )
            ),
        ]
        for new, chosen, names in (
            (compute.new_place, place, Place),
            (compute.new_shift, shift, Shift),
        ):
            m.d.comb += [
                new.enable.eq(moves & chosen),
                new.address.eq(port[: (len(names) - 1).bit_length()]),
                new.data.eq(data),
            ]
        # A word of the vector memory is shown where a program that does not begin would read.
        with m.If(written(Write.PEEK)):
            m.d.comb += [
                compute.new_place.enable.eq(1),
                compute.new_place.address.eq(Place.STATE),
            ]
        m.d.sync += self._peeks.eq(Cat(written(Write.PEEK), self._peeks))

        # Tape: two pieces wait for the third one.
        pieces, seek = Signal(2 * WORD_BITS, reset_less=True), Signal(range(TAPE_WORDS))
        with m.If(written(Write.TAPE)):
            m.d.sync += pieces.eq(Cat(pieces[WORD_BITS:], data))
        with m.If(written(Write.SEEK)):
            m.d.sync += seek.eq(data)
        m.d.comb += [
            compute.seeks.eq(written(Write.SEEK)),
            compute.tape_address.eq(data),
            compute.new_tape.enable.eq(written(Write.TAPE_WORD)),
            compute.new_tape.address.eq(seek),
            compute.new_tape.data.eq(Cat(pieces, data)),
            compute.piece.eq(data),
            compute.loads.eq(written(Write.PIECE)),
            self.send.payload.eq(data),
            self.send.valid.eq(waits & (port == Write.SEND)),
            self.checksum.i.payload.eq(data),
            self.checksum.i.valid.eq(waits & (port == Write.CHECK)),
            self.checksum.starts.eq(written(Write.CHECK_START)),
        ]
        return waits

    def _read(self, m: Module, waits: Signal) -> None:
        """Show what the processor reads, when it is there and what was written has been taken."""
        compute, shown = self.compute, self.processor.i
        port, done = self.processor.port[: max(Read).bit_length()], compute.o.payload
        tape = compute.shows & ~compute.i_block.valid & ~compute.takes
        byte, received = self.received.payload, self.received
        words = {
            Read.RECEIVED: Mux(byte.end, Cat(byte.good, C(1 << 14, 15)), byte.data),
            Read.RESULT: done.result,
            Read.ELEMENT: done.element,
            Read.CLAMPED: done.clamped,
            Read.MORE: done.more,
            Read.PEEKED: compute.peeked,
            **_pieces(Read.TOTAL, done.total, 3),
            **_pieces(Read.REST, done.rest, 3),
            **_pieces(Read.TAPE, compute.word, 3),
            **_pieces(Read.CHECK, self.checksum.crc, 2),
        }
        with m.Switch(port):
            for number, word in words.items():
                with m.Case(number):
                    m.d.comb += shown.payload.eq(word)
        there = Signal()
        with m.Switch(port):
            with m.Case(Read.RECEIVED):
                m.d.comb += there.eq(received.valid)
            with m.Case(Read.SENT):
                m.d.comb += there.eq(self.sent)
            with m.Case(Read.NOISE):
                m.d.comb += there.eq(~compute.i_noise.valid)
            with m.Case(Read.PEEKED):
                m.d.comb += there.eq(~self._peeks.any())
            with m.Case(*(Read.TAPE + number for number in range(3))):
                m.d.comb += there.eq(tape)
            with m.Case(Read.CHECK, Read.CHECK + 1):
                m.d.comb += there.eq(self.checksum.i.ready)
            with m.Default():
                m.d.comb += there.eq(~compute.i.valid)
        takes = transfers(shown)
        m.d.comb += [
            shown.valid.eq(there & ~waits),
            received.ready.eq(shown.ready & (port == Read.RECEIVED) & ~waits),
        ]
        # A clock later, on which the word is not read again.
        m.d.sync += compute.takes.eq(takes & (port == Read.TAPE + 2))


def _pieces(first: int, value: Value, count: int) -> dict[int, Value]:
    """Return a value's words, lowest first, by their ports."""
    return {first + n: value[WORD_BITS * n : WORD_BITS * (n + 1)] for n in range(count)}
