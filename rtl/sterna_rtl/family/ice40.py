"""iCE40 UltraPlus: its large RAMs, which have one port and no contents at the start."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib.wiring import Component, In

from sterna_rtl.lib.memory import ReadPort, WritePort

__all__ = ["ICE40", "SPRAM_BITS", "SPRAM_WORDS", "Spram", "is_ice40"]

ICE40 = "ice40"
"""Platform to elaborate for where there is no board."""

SPRAM_WORDS, SPRAM_BITS = 1 << 14, 16
"""Of one SB_SPRAM256KA."""

_MASKED_BITS = 4
"""Bits that are written or not together."""


def is_ice40(platform) -> bool:
    """Whether a unit is being elaborated for an iCE40 UltraPlus."""
    return platform == ICE40 or getattr(platform, "device", "") == "iCE40UP5K"


class Spram(Component):
    """A `Ram` in single-port RAMs, side by side for wide words; narrow words share one's word.

    Parameters
    ----------
    depth : int
        Words, as many at most as one RAM has.
    shape : ShapeLike
        One word; of a narrow one the bits are 4 or 8.

    Attributes
    ----------
    read : ReadPort
    write : WritePort
        A clock that writes reads nothing.

    Latency
        1 clock from `read.address` to `read.data`. A word can be read on the clock after its write.
    """

    def __init__(self, depth: int, shape: ShapeLike) -> None:
        self.bits = Shape.cast(shape).width
        self.shared = max(SPRAM_BITS // self.bits, 1)  # words in one of the RAM's
        if self.shared > 1 and self.bits not in (_MASKED_BITS, 2 * _MASKED_BITS):
            raise ValueError(f"words must have 4, 8 or more than 8 bits, not {self.bits}")
        if depth > SPRAM_WORDS * self.shared:
            most = SPRAM_WORDS * self.shared
            raise ValueError(f"depth must be at most {most} for {self.bits} bits, not {depth}")
        super().__init__({"read": In(ReadPort(depth, shape)), "write": In(WritePort(depth, shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        writes, place_bits = self.write.enable, self.shared.bit_length() - 1
        address = Mux(writes, self.write.address, self.read.address)
        row = Signal(range(SPRAM_WORDS))
        m.d.comb += row.eq(address[place_bits:])
        place = Signal(place_bits)
        m.d.sync += place.eq(self.read.address[:place_bits])

        data = Value.cast(self.write.data).replicate(self.shared)
        mask = Signal(SPRAM_BITS // _MASKED_BITS)
        written = Const(-1, len(mask) // self.shared)
        m.d.comb += mask.word_select(self.write.address[:place_bits], len(written)).eq(written)
        words = []
        for start in range(0, len(data), SPRAM_BITS):
            words.append(Signal(SPRAM_BITS, name=f"word_{start // SPRAM_BITS}"))
            m.submodules[f"ram_{start // SPRAM_BITS}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=row,
                i_DATAIN=Cat(data[start : start + SPRAM_BITS], C(0, SPRAM_BITS))[:SPRAM_BITS],
                i_MASKWREN=mask,
                i_WREN=writes,
                i_CHIPSELECT=Const(1),
                i_STANDBY=Const(0),
                i_SLEEP=Const(0),
                i_POWEROFF=Const(1),  # active low
                o_DATAOUT=words[-1],
            )
        m.d.comb += Value.cast(self.read.data).eq(Cat(words).word_select(place, self.bits))
        return m
