"""Core: the compact arithmetic with its memories."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import STARTS
from sterna.spec.compact_chip import SETTINGS
from sterna_rtl.compact.arithmetic import MEMORIES, Arithmetic
from sterna_rtl.family.ice40 import Spram, is_ice40
from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream

__all__ = ["Core"]

_SET = "sums", "place", "shift"
"""Memories that others write."""


class Core(Component):
    """Everything between row sums and activations, for who gives commands.

    There is one way in, the row sums, and besides vectors one way out, the last result: all else
    that has to be brought to a memory or seen there is moved by programs (`SET_FACTORS` and those
    behind it).

    Attributes
    ----------
    i, o : stream.Interface
        Commands, and what they leave, of `Arithmetic`.
    new_sums : WritePort
        Row sums by the number of the row, or what is to be moved. Those of a row may be written
        until the first pass of a program reads it.
    new_place, new_shift : WritePort
        What a segment sets, by `Place` and `Shift`; not while a program that uses it is executed.
    activation : WritePort
        Activations for the engine, by their number.
    peeked : Signal, out
        The word of the vector memory at the place of a program that is shown at `i` and does not
        begin, from three clocks after both have been set.

    Latency, throughput, backpressure
        As of `Arithmetic`.
    """

    def __init__(self) -> None:
        self.arithmetic = Arithmetic()
        members = self.arithmetic.signature.members
        super().__init__(
            {
                **{name: members[name] for name in ("i", "o", "activation")},
                **{f"new_{name}": In(WritePort(*MEMORIES[name])) for name in _SET},
                "peeked": Out(MEMORIES["vector"][1]),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.arithmetic = unit = self.arithmetic
        connect_stream(m, self.i, unit.i)
        connect_stream(m, unit.o, self.o)
        for name, (depth, shape) in MEMORIES.items():
            if name == "vector" and is_ice40(platform):
                ram = Spram(depth, shape)
            else:
                ram = Ram(depth, shape, init=(STARTS | SETTINGS).get(name), block=True)
            m.submodules[name] = ram
            read, write = getattr(unit, name), self if name in _SET else unit
            new = getattr(write, f"new_{name}")
            m.d.comb += [
                ram.read.address.eq(read.address),
                read.data.eq(ram.read.data),
                ram.write.enable.eq(new.enable),
                ram.write.address.eq(new.address),
                ram.write.data.eq(new.data),
            ]
        m.d.comb += self.peeked.eq(unit.vector.data)
        for part in ("enable", "address", "data"):
            m.d.comb += getattr(self.activation, part).eq(getattr(unit.activation, part))
        return m
