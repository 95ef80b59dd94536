"""A RAM with one read and one write port, in block RAM or, if it is small, in LUTs."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In

from sterna.spec.ram import LUTRAM_WORDS

from .memory import ReadPort, WritePort

__all__ = ["Ram"]


class Ram(Component):
    """Words behind a synchronous read port and a write port.

    A word that is read and written on the same clock must not be used: in simulation it is the old
    one, in an FPGA it may be anything. Without this licence Yosys builds forwarding logic around
    the block RAMs of ECP5 (one table and two flip-flops per bit).

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
        1 clock from `read.address` to `read.data`. A word can be read on the clock after its write.
    """

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        self.depth = depth
        self.shape = shape
        super().__init__(
            {
                "read": In(ReadPort(depth, shape)),
                "write": In(WritePort(depth, shape)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        # Yosys honours the attribute where it merges a register into an asynchronous port; to
        # Amaranth's own synchronous port it would give the old word on a collision, at any cost.
        attrs: dict[str, int | str] = {"no_rw_check": 1}
        if self.depth <= LUTRAM_WORDS:
            attrs["ram_style"] = "distributed"
        m.submodules.words = words = Memory(
            shape=self.shape, depth=max(self.depth, 2), init=[], attrs=attrs
        )
        write, read = words.write_port(), words.read_port(domain="comb")
        data = Signal(self.shape, reset_less=True)
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.addr.eq(self.read.address),
            self.read.data.eq(data),
        ]
        m.d.sync += data.eq(read.data)
        return m
