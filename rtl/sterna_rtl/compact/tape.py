"""Tape: words in the order of their addresses, from single-port RAMs."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna_rtl.family.ice40 import Spram, is_ice40
from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import transfers

__all__ = ["Tape"]


class Tape(Component):
    """Show a word, and when it has been taken the next one.

    Parameters
    ----------
    words : int
        Words of the tape.
    bits : int
        Bits of a word.

    Attributes
    ----------
    o : stream.Interface
        Words.
    seeks, address : Signal, in
        Go on from this address; on that clock no word may be taken.
    write : WritePort

    Latency
        The word of an address is shown on the clock after it was given, or after the one before was
        taken; after a write it is shown a clock later.

    Throughput
        1 word per clock.

    Backpressure
        A word waits; none is read ahead.
    """

    def __init__(self, words: int, bits: int) -> None:
        self.words, self.bits = words, bits
        write = WritePort(words, bits)
        super().__init__(
            {
                "o": Out(stream.Signature(bits)),
                "seeks": In(1),
                "address": In(range(words)),
                "write": In(write),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = ram = (Spram if is_ice40(platform) else Ram)(self.words, self.bits)
        at, following = Signal(range(self.words)), Signal(range(self.words))
        m.d.comb += [
            following.eq(Mux(self.seeks, self.address, at + transfers(self.o))),
            ram.read.address.eq(following),
            ram.write.enable.eq(self.write.enable),
            ram.write.address.eq(self.write.address),
            ram.write.data.eq(self.write.data),
            self.o.payload.eq(ram.read.data),
        ]
        m.d.sync += [at.eq(following), self.o.valid.eq(~self.write.enable)]
        return m
