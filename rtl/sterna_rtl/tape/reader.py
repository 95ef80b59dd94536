"""TapeReader: the tape in on-chip RAM, given play by play."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.ram import BANK_WORDS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.tape.bank import TapeBank

__all__ = ["TapeReader"]


class TapeReader(Component):
    """Own the tape and give its words as plays say.

    A play goes on where the one before ended, from the last word to the first; one of several times
    goes back to its first word, so that each slot gets the words.

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
        `Layouts.play`, of one word or more and one time or more. Two are taken ahead.
    restart : Signal, in
        Go back to word 0 and drop what is in flight, even a word on `o` that waits.
    idle : Signal, in
        High: no word is read, and `read` has the RAM.
    read : ReadPort
        Any word, while `idle` is up and nothing has been read since `restart`; its data come
        `latency` clocks after the address.
    write : WritePort
        Loads the tape. A word must not be written while it may be read.
    o : stream.Interface
        Tape words. Registered.

    Latency
        From a play to its first word: 6 clocks, 7 if the tape has several banks.

    Throughput
        1 word per clock, also from play to play.

    Backpressure
        A word is read only if the queue has room for it and for all in flight, so that nothing
        behind the RAMs ever stops: `o.ready` goes no further than the queue.

    Resources
        5632 words of 430 bits are 132 block RAMs of ECP5, as many as the bits need. If there are
        several banks, a multiplexer and a register follow them. Three quarters of a bank after
        whole ones become two banks, a half and a quarter: as one they would be put together from
        block RAMs of a quarter, with a multiplexer before the register.
    """

    def __init__(self, config: ChipConfig, bank_words: int = BANK_WORDS) -> None:
        if bank_words < 4 or bank_words & (bank_words - 1):
            raise ValueError(f"bank_words must be a power of two, at least 4, not {bank_words}")
        self.config = config
        self.bank_words = bank_words
        depth, word = config.tape_words, Layouts(config).word
        super().__init__(
            {
                "length": In(range(depth + 1)),
                "i_play": In(stream.Signature(Layouts(config).play)),
                "idle": In(1),
                "restart": In(1),
                "read": In(ReadPort(depth, word)),
                "write": In(WritePort(depth, word)),
                "o": Out(stream.Signature(word)),
            }
        )

    @property
    def latency(self) -> int:
        """Clocks from an address to its word."""
        return TapeBank.latency + (self.config.tape_words > self.bank_words)

    def elaborate(self, platform) -> Module:
        m = Module()
        reads = Signal()  # a word is to be read
        depth = self.latency + 2  # in flight and in the queue, at a word a clock
        queue = ResetInserter(self.restart)(Queue(self.o.payload.shape(), depth))
        m.submodules.queue = queue
        connect_stream(m, queue.o, self.o)
        room, in_flight = Signal(range(depth + 1), init=depth), Signal(self.latency)
        m.d.sync += room.eq(room - reads + transfers(queue.o))
        m.d.sync += in_flight.eq(Cat(reads, in_flight))
        with m.If(self.restart):
            m.d.sync += [room.eq(depth), in_flight.eq(0)]

        address = self._addresses(m, reads, room != 0)
        place = Mux(self.idle, self.read.address, address)
        banks = self._banks(m, place)
        if len(banks) == 1:
            word = banks[0]
        else:
            number = [self._bank_number(place)]
            for stage in range(TapeBank.latency):
                number.append(Signal.like(number[0], name=f"bank_number_{stage}"))
                m.d.sync += number[-1].eq(number[-2])
            word = Signal.like(self.o.payload, reset_less=True)
            with m.Switch(number[-1]):
                for index, bank in enumerate(banks):
                    with m.Case(index):
                        m.d.sync += word.eq(bank)
        m.d.comb += [
            self.read.data.eq(word),
            queue.i.payload.eq(word),
            queue.i.valid.eq(in_flight[-1]),
        ]
        return m

    def _addresses(self, m: Module, reads: Signal, room: Value) -> Signal:
        """Follow the plays; return the address of the word to be read next."""
        plays = ResetInserter(self.restart)(Queue(Layouts(self.config).play, 2))
        m.submodules.plays = plays
        connect_stream(m, self.i_play, plays.i)
        play = plays.o.payload
        address, first = Signal.like(self.write.address), Signal.like(self.write.address)
        busy, left, again = Signal(), Signal.like(play.words), Signal.like(play.times)
        words = Signal.like(play.words)
        following, last = Signal.like(address), Signal.like(address)
        m.d.sync += last.eq(self.length - 1)
        m.d.comb += following.eq(Mux(address == last, 0, address + 1))
        ends = left == 1
        m.d.comb += [
            reads.eq(busy & ~self.idle & room),
            plays.o.ready.eq(~busy | (reads & ends & (again == 0))),
        ]
        with m.If(reads):
            m.d.sync += [address.eq(following), left.eq(left - 1)]
            with m.If(ends & (again != 0)):
                m.d.sync += [address.eq(first), left.eq(words), again.eq(again - 1)]
            with m.If(ends & (again == 0)):
                m.d.sync += busy.eq(0)
        with m.If(transfers(plays.o)):
            m.d.sync += [busy.eq(1), left.eq(play.words), words.eq(play.words)]
            m.d.sync += [again.eq(play.times - 1), first.eq(Mux(busy, following, address))]
        with m.If(self.restart):
            m.d.sync += [address.eq(0), busy.eq(0)]
        return address

    def _banks(self, m: Module, address: Value) -> list[Value]:
        """Build the banks; return the word of each."""
        words = []
        data = Signal.like(self.write.data, reset_less=True)
        m.d.sync += data.eq(self.write.data)
        number = self._bank_number(self.write.address)
        for index, depth in enumerate(self._depths()):
            m.submodules[f"bank_{index}"] = bank = TapeBank(depth, self.o.payload.shape())
            m.d.comb += [
                bank.write.enable.eq(self.write.enable & (number == index)),
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
