"""TapeReader: the tape in on-chip RAM, given play by play."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.ram import BANK_WORDS
from sterna_rtl.family.ice40 import is_ice40
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.tape.bank import TapeBank
from sterna_rtl.tape.walk import Walk

__all__ = ["TapeReader"]


class TapeReader(Component):
    """Own the tape and give its words as plays say.

    A chip whose tape comes from the host has the reader too: it gives each word that comes instead
    of one that it reads.

    Parameters
    ----------
    config : ChipConfig
    bank_words : int
        Words of a bank, a power of two and at least 4.

    Attributes
    ----------
    length : Signal, in
        Words in use, 1 to `tape_words`. May change while `restart` is up or nothing has been read.
    i_play : stream.Interface
        `Layouts.play`, see `Walk`.
    restart : Signal, in
        Go back to word 0 and drop what is in flight, even a word on `o` that waits.
    idle : Signal, in
        High: no word is read, `read` has the RAM, and plays are given what comes on `i`. May change
        with `restart`.
    i : stream.Interface
        Words while `idle` is up, as often as the plays want them.
    read : ReadPort
        Any word, while `idle` is up and no word comes on `i`; its data come `latency` clocks after
        the address.
    write : WritePort
        Loads the tape. A word must not be written while it may be read.
    o : stream.Interface
        `Layouts.tape_word`. Registered.

    Latency
        From a play to its first word: 7 clocks, 8 if the tape has more than two banks.

    Throughput
        1 word per clock, also from play to play; from `i` one in some ten clocks.

    Backpressure
        A word is read only if the queue has room for it and for all in flight, so that nothing
        behind the RAMs ever stops: `o.ready` goes no further than the queue.

    Resources
        5632 words of 430 bits are 132 block RAMs of ECP5, as many as the bits need. A register
        follows the choice among them, two if there are more than two: first one bank of each pair,
        which parts the way across the chip. Three quarters of a bank after whole ones become two
        banks, a half and a quarter: as one they would be put together from block RAMs of a
        quarter, with a multiplexer before the register. On iCE40 the tape is one bank of
        single-port RAMs, with the latency that several would have.
    """

    def __init__(self, config: ChipConfig, bank_words: int = BANK_WORDS) -> None:
        if bank_words < 4 or bank_words & (bank_words - 1):
            raise ValueError(f"bank_words must be a power of two, at least 4, not {bank_words}")
        self.config = config
        self.bank_words = bank_words
        self.layouts = layouts = Layouts(config)
        depth, word = config.tape_words, layouts.word
        super().__init__(
            {
                "length": In(range(depth + 1)),
                "i_play": In(stream.Signature(layouts.play)),
                "idle": In(1),
                "restart": In(1),
                "i": In(stream.Signature(word)),
                "read": In(ReadPort(depth, word)),
                "write": In(WritePort(depth, word)),
                "o": Out(stream.Signature(layouts.tape_word)),
            }
        )

    @property
    def latency(self) -> int:
        """Clocks from an address to its word."""
        return TapeBank.latency + 1 + (len(self._depths()) > 2)

    def elaborate(self, platform) -> Module:
        m = Module()
        depth = self.latency + 2  # in flight and in the queue, at a word a clock
        queue = ResetInserter(self.restart)(Queue(self.o.payload.shape(), depth))
        walk = ResetInserter(self.restart)(Walk(self.config, self.config.tape_words))
        m.submodules.queue, m.submodules.walk = queue, walk
        connect_stream(m, queue.o, self.o)
        connect_stream(m, self.i_play, walk.i)
        m.d.sync += walk.last.eq(self.length - 1)

        room = Signal(range(-1, depth), init=depth - 1)  # less one
        offered = Signal()  # there is a word for the next place
        m.d.comb += walk.o.ready.eq(offered & ~room[-1])
        m.d.sync += room.eq(room - transfers(walk.o) + transfers(queue.o))
        _, *in_flight = delay_line(m, transfers(walk.o), self.latency, "in_flight")
        tags = delay_line(m, walk.o.payload.tag, self.latency, "tag")

        place = Mux(self.idle, self.read.address, walk.o.payload.address)
        word = self._read_whole(m, place) if is_ice40(platform) else self._read(m, place)
        m.d.comb += [
            self.read.data.eq(word),
            queue.i.payload.word.eq(word),
            queue.i.payload.tag.eq(tags[-1]),
            queue.i.valid.eq(in_flight[-1]),
        ]
        # A word that comes waits until it is given in place of the one from the banks.
        m.d.sync += self.i.ready.eq(self.idle & in_flight[-3])
        m.d.sync += offered.eq(~self.idle | (self.i.valid & ~offered & ~Cat(in_flight).any()))
        with m.If(self.i.ready):
            m.d.sync += word.eq(self.i.payload)
        with m.If(self.restart):
            m.d.sync += [room.eq(depth - 1), offered.eq(0), self.i.ready.eq(0)]
            m.d.sync += [valid.eq(0) for valid in in_flight]
        return m

    def _read(self, m: Module, address: Value) -> Value:
        """Read the banks; return the word, `latency` clocks after its address."""
        numbers = delay_line(m, self._bank_number(address), self.latency - 1, "bank_number")
        words, number = self._banks(m, address, self._depths()), numbers[-1]
        if len(words) > 2:
            pairs, number = _of_pairs(words, numbers[-2][0]), number[1:]
            words = [
                Signal.like(pair, name=f"pair_{index}", reset_less=True)
                for index, pair in enumerate(pairs)
            ]
            m.d.sync += [word.eq(pair) for word, pair in zip(words, pairs, strict=True)]
        for bit in number:
            words = _of_pairs(words, bit)
        word = Signal(self.layouts.word, reset_less=True)
        m.d.sync += word.eq(words[0])
        return word

    def _read_whole(self, m: Module, address: Value) -> Value:
        """Read the one bank that holds all; return the word, `latency` clocks after its address."""
        (word,) = self._banks(m, address, [self.config.tape_words])
        return delay_line(m, word, self.latency - TapeBank.latency, "word", reset_less=True)[-1]

    def _banks(self, m: Module, address: Value, depths: list[int]) -> list[Value]:
        """Build the banks; return the word of each."""
        words = []
        data = Signal.like(self.write.data, reset_less=True)
        m.d.sync += data.eq(self.write.data)
        number = self._bank_number(self.write.address)
        for index, depth in enumerate(depths):
            mine = (number == index) | (len(depths) == 1)
            m.submodules[f"bank_{index}"] = bank = TapeBank(depth, self.layouts.word)
            m.d.comb += [
                bank.write.enable.eq(self.write.enable & mine),
                bank.write.address.eq(self.write.address),
                bank.write.data.eq(data),
                bank.read.address.eq(address),
            ]
            words.append(bank.read.data)
        return words

    def _depths(self) -> list[int]:
        """Return the words of each bank."""
        whole, rest = divmod(self.config.tape_words, self.bank_words)
        half = self.bank_words // 2
        if whole and half < rest <= half * 3 // 2:
            return [self.bank_words] * whole + [half, rest - half]
        return [self.bank_words] * whole + [rest] * (rest > 0)

    def _bank_number(self, address: Value) -> Value:
        """Return the bank of an address; within it, the address's low bits count."""
        bits = exact_log2(self.bank_words)
        number = address[bits:]
        depths = self._depths()
        if self.bank_words // 2 in depths[:-1]:
            number += (number == len(depths) - 2) & address[bits - 1]
        return number


def _of_pairs(words: list[Value], odd: Value) -> list[Value]:
    """Choose between the words of each pair; one that is left over stays."""
    pairs = [words[start : start + 2] for start in range(0, len(words), 2)]
    return [Mux(odd, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
