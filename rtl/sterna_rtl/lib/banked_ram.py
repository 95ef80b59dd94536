"""A deep RAM: banks with registers of their own."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.wiring import Component, In
from amaranth.utils import exact_log2

from sterna.spec.ram import BANK_WORDS, BANKED_CLOCKS
from sterna_rtl.family.ice40 import Spram, is_ice40

from .delay import delay_line
from .memory import ReadPort, WritePort
from .ram import Ram

__all__ = ["BankedRam"]


class BankedRam(Component):
    """Words behind a synchronous read port and a write port, in banks of 2048.

    Each bank has registers of its own, for the address because the banks are spread over the chip,
    and behind it because a block RAM's output is late in its clock. On iCE40 it is one bank, in a
    single-port RAM.

    Parameters
    ----------
    depth : int
        Words.
    shape : ShapeLike
        One word.

    Attributes
    ----------
    read : ReadPort
    write : WritePort

    Latency
        `latency` clocks from `read.address` to `read.data`. A word must not be written on the clock
        that reads it, which is the one after that of its address.
    """

    latency = BANKED_CLOCKS

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        self.depth = depth
        self.shape = shape
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        word, write = self.read.address, self.write
        form, bank_bits = Ram, exact_log2(BANK_WORDS)
        if is_ice40(platform):
            form, bank_bits = Spram, len(word)
        numbers = delay_line(m, word[bank_bits:], self.latency - 2, "bank_number")
        banks = []
        for index, first in enumerate(range(0, self.depth, 1 << bank_bits)):
            depth = min(1 << bank_bits, self.depth - first)
            m.submodules[f"bank_{index}"] = ram = form(depth, self.shape)
            address = Signal.like(ram.read.address, name=f"address_{index}", reset_less=True)
            data = Signal.like(Value.cast(ram.read.data), name=f"data_{index}", reset_less=True)
            m.d.comb += [
                ram.read.address.eq(address),
                ram.write.enable.eq(write.enable & (write.address[bank_bits:] == index)),
                ram.write.address.eq(write.address),
                ram.write.data.eq(write.data),
            ]
            m.d.sync += address.eq(word)
            # The register of a bank that was not read is cleared, which costs an FPGA nothing.
            m.d.sync += data.eq(Mux(numbers[-1] == index, ram.read.data, 0))
            banks.append(data)
        found = Signal(self.shape, reset_less=True)
        m.d.sync += Value.cast(found).eq(reduce(or_, banks))
        m.d.comb += self.read.data.eq(found)
        return m
