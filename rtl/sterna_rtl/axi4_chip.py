"""Axi4Chip: the chip as a part of somebody's design, registers at AXI4-Lite and memory at AXI4."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.axi4 import AXI4
from sterna.spec.chip import ChipConfig
from sterna_rtl.chip import Chip
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.link.axi_lite import ADDRESS_BITS, AxiLite
from sterna_rtl.memory.axi4 import Axi4Channels
from sterna_rtl.pcie.window import RegisterWindow

__all__ = ["Axi4Chip"]

_REGISTERS = {
    "awaddr": In(ADDRESS_BITS),
    "awprot": In(3),
    "awvalid": In(1),
    "awready": Out(1),
    "wdata": In(32),
    "wstrb": In(4),
    "wvalid": In(1),
    "wready": Out(1),
    "bresp": Out(2),
    "bvalid": Out(1),
    "bready": In(1),
    "araddr": In(ADDRESS_BITS),
    "arprot": In(3),
    "arvalid": In(1),
    "arready": Out(1),
    "rdata": Out(32),
    "rresp": Out(2),
    "rvalid": Out(1),
    "rready": In(1),
}
"""Signals of the slave."""


class Axi4Chip(Component):
    """A whole accelerator with a memory behind AXI4; its registers lie as in BAR 0 of a card.

    Parameters
    ----------
    config : ChipConfig
        With a memory of `AXI4`.
    clock_hz : int
        Frequency of `aclk`.

    Attributes
    ----------
    aclk, aresetn : Signal
        Clock of all ports, and their reset: what lies behind the ports is to be reset with it.
    s_axil_* : Signal
        AXI4-Lite, see `AxiLite`; what is done with accesses says `sterna.spec.pcie`.
    m_axi_N_* : Signal
        `Axi4Channels` of port N of the memory.
    """

    def __init__(self, config: ChipConfig, clock_hz: int) -> None:
        self.chip = Chip(config, clock_hz=clock_hz)
        self.slave = AxiLite()
        self.window = RegisterWindow()
        self.memory = memory = AXI4[config.memory]
        channels = Axi4Channels(memory).members
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                **{f"s_axil_{name}": member for name, member in _REGISTERS.items()},
                **{
                    f"m_axi_{number}_{name}": member
                    for number in range(memory.ports)
                    for name, member in channels.items()
                },
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(self.aclk), sync.rst.eq(~self.aresetn)]
        m.submodules.chip = chip = self.chip
        m.submodules.slave = slave = self.slave
        m.submodules.window = window = self.window
        connect_stream(m, slave.o, window.i)
        connect_stream(m, window.o, slave.i)
        connect_stream(m, window.o_request, chip.i)
        connect_stream(m, chip.o, window.i_answer)
        m.d.comb += [window.refused.eq(chip.refused), chip.clear.eq(window.clear)]
        for name in ("aw", "w", "b", "ar", "r"):
            channel = getattr(slave, name)
            self._handshake(m, channel, f"s_axil_{name}", name in ("b", "r"))
        m.d.comb += [
            slave.aw.payload.eq(self.s_axil_awaddr),
            slave.w.payload.data.eq(self.s_axil_wdata),
            slave.w.payload.strobes.eq(self.s_axil_wstrb),
            slave.ar.payload.eq(self.s_axil_araddr),
            self.s_axil_bresp.eq(slave.b.payload),
            self.s_axil_rdata.eq(slave.r.payload.data),
            self.s_axil_rresp.eq(slave.r.payload.response),
        ]
        for number, port in enumerate(chip.axi):
            for name, member in Axi4Channels(self.memory).members.items():
                inner, outer = getattr(port, name), getattr(self, f"m_axi_{number}_{name}")
                m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
        return m

    def _handshake(self, m: Module, channel, name: str, out: bool) -> None:
        """Bring `valid` and `ready` of a channel to ports."""
        valid, ready = getattr(self, f"{name}valid"), getattr(self, f"{name}ready")
        if out:
            m.d.comb += [valid.eq(channel.valid), channel.ready.eq(ready)]
        else:
            m.d.comb += [channel.valid.eq(valid), ready.eq(channel.ready)]
