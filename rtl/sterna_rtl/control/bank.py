"""Bank: a RAM that is far from what writes it."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, connect
from amaranth.utils import exact_log2

from sterna.spec.ram import LUTRAM_WORDS
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.ram import Ram

__all__ = ["Bank"]

_ROW = 16
"""Words of a LUTRAM, which has an enable of its own."""


class Bank(Component):
    """A `Ram` with registers at its write port.

    If it lies in LUTs, there is an enable for each of its rows of 16 words, decoded before the
    register: a row has as many as a quarter of its bits. And each row has a register of its own
    behind it, for the way of an address to all of a row takes most of a clock.

    Parameters
    ----------
    depth : int
        Words.
    shape : ShapeLike
        One word.
    form : type
        `Ram` or `BankedRam`. Rows in LUTs are made of the first alone.

    Attributes
    ----------
    read : ReadPort
    write : WritePort

    Latency
        1 clock from `read.address` to `read.data`, or those of a `BankedRam`. A word can be read 2
        clocks after its write.
    """

    def __init__(self, depth: int, shape: ShapeLike, form: type[Ram | BankedRam] = Ram) -> None:
        self.depth = depth
        self.shape = shape
        self.form = form
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        late = WritePort(self.depth, self.shape).create()
        m.d.sync += [
            late.enable.eq(self.write.enable),
            late.address.eq(self.write.address),
            Value.cast(late.data).eq(self.write.data),
        ]
        if self.depth > LUTRAM_WORDS or self.form is BankedRam:
            m.submodules.ram = ram = self.form(self.depth, self.shape)
            connect(m, late, ram.write)
            m.d.comb += [ram.read.address.eq(self.read.address), self.read.data.eq(ram.read.data)]
            return m

        row_bits = exact_log2(_ROW)
        words = []
        for number in range(-(-self.depth // _ROW)):
            enable = Signal(name=f"enable_{number}")
            written = self.write.address[row_bits:] == number
            m.d.sync += enable.eq(self.write.enable & written)
            m.submodules[f"row_{number}"] = row = Memory(
                shape=self.shape, depth=_ROW, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = row.write_port(), row.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(enable),
                write.addr.eq(late.address),
                write.data.eq(late.data),
                read.addr.eq(self.read.address),
            ]
            word = Signal(len(Value.cast(read.data)), name=f"word_{number}", reset_less=True)
            m.d.sync += word.eq(read.data)
            words.append(word)
        # Decoded before the register: each bit of a word is a gate behind its rows.
        shown = []
        for number, word in enumerate(words):
            here = Signal(name=f"here_{number}", reset_less=True)
            m.d.sync += here.eq(self.read.address[row_bits:] == number)
            shown.append(word & here.replicate(len(word)))
        m.d.comb += Value.cast(self.read.data).eq(reduce(or_, shown))
        return m
