"""The pads of an SDR SDRAM: a register in each, and the memory's clock."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import io

__all__ = ["connect_sdram"]

_OUTPUTS = ("clk_en", "cs", "ras", "cas", "we", "ba", "a", "dqm")


def connect_sdram(m: Module, platform, pins) -> None:
    """Connect a chip's `Pins` to the board's resource `sdram`.

    Commands and words leave the pads' flip-flops, and words read are taken by them, so that no wire
    of the FPGA adds to their times. The memory's clock is the chip's, inverted by a pad of the same
    kind: it rises in the middle of each command. A word read must come through within the half
    clock and the whole one that follow the rise from which the memory counts its access time; see
    docs/architecture.md.
    """
    names = ("clk", "dq", *_OUTPUTS)
    ports = platform.request("sdram", dir=dict.fromkeys(names, "-"))
    m.submodules.sdram_clk = clock = io.DDRBuffer("o", ports.clk)
    m.d.comb += [clock.o[0].eq(0), clock.o[1].eq(1)]
    # The board's resource has RAS#, CAS#, WE# and CS# as signals that are low when they are on.
    levels = {
        "clk_en": pins.cke,
        "cs": ~pins.cs_n,
        "ras": ~pins.command[2],
        "cas": ~pins.command[1],
        "we": ~pins.command[0],
        "ba": pins.bank,
        "a": pins.address,
        "dqm": pins.mask,
    }
    for name in _OUTPUTS:
        buffer = io.FFBuffer("o", getattr(ports, name))
        m.submodules[f"sdram_{name}"] = buffer
        m.d.comb += buffer.o.eq(levels[name])
    m.submodules.sdram_dq = data = io.FFBuffer("io", ports.dq)
    m.d.comb += [data.o.eq(pins.data.o), data.oe.eq(pins.data.oe), pins.data.i.eq(data.i)]
