"""A RAM with one read and one write port, in block RAM or, if it is small, in LUTs."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In

from sterna.spec.ram import LUTRAM_WORDS

from .memory import ReadPort, WritePort

__all__ = ["STARTS_ANYHOW", "Ram"]

STARTS_ANYHOW = "starts_anyhow"
"""Attribute of a register whose first value is of no account."""


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
    init : dict
        Words that are there from the start, by their address.
    block : bool
        In block RAM even if it is small.

    Attributes
    ----------
    read : ReadPort
    write : WritePort

    Latency
        1 clock from `read.address` to `read.data`. A word can be read on the clock after its write.
    """

    def __init__(
        self,
        depth: int,
        shape: ShapeLike,
        init: Mapping[int, int] | None = None,
        block: bool = False,
    ) -> None:
        self.depth = depth
        self.shape = shape
        self.init = init or {}
        self.block = block
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
        if self.block:
            attrs["ram_style"] = "block"
        elif self.depth <= LUTRAM_WORDS:
            attrs["ram_style"] = "distributed"
        init = [self.init.get(word, 0) for word in range(max(self.init, default=-1) + 1)]
        m.submodules.words = words = Memory(
            shape=self.shape, depth=max(self.depth, 2), init=init, attrs=attrs
        )
        write, read = words.write_port(), words.read_port(domain="comb")
        # Nothing is read before the first clock. A block RAM of iCE40 shows no value of ours then,
        # and a table for each bit would make up for it: who maps to iCE40 takes this one's away.
        data = Signal(self.shape, reset_less=True, attrs={STARTS_ANYHOW: 1})
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.addr.eq(self.read.address),
            self.read.data.eq(data),
        ]
        m.d.sync += data.eq(read.data)
        return m
