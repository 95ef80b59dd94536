"""PcieChip: the chip behind the completer side of a PCIe block."""

from __future__ import annotations

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.chip import Chip, connect_memory, memory_ports
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie.access import RegisterAccess
from sterna_rtl.pcie.block import cc_beat, cq_beat

__all__ = ["PcieChip"]


class PcieChip(Component):
    """A whole accelerator whose registers are in BAR 0, see `sterna.spec.pcie`.

    All of it runs on the block's user clock, and is reset by its user reset.

    Parameters
    ----------
    config : ChipConfig
    width : int
        Bits of a beat, one of `BEAT_BITS`.
    clock_hz : int
        Frequency of the user clock.

    Attributes
    ----------
    m_axis_cq_*, s_axis_cc_* : Signal
        The block's streams, by the names that they have there. `pcie_cq_np_req` is to be 1.
    axi, pins
        Only of a chip with a memory, see `Chip`.
    """

    def __init__(self, config: ChipConfig, width: int, clock_hz: int) -> None:
        self.config = config
        self.chip = Chip(config, clock_hz=clock_hz)
        self.access = RegisterAccess(width)
        super().__init__(
            {
                **{f"m_axis_cq_t{name}": In(field.width) for name, field in cq_beat(width)},
                **{f"s_axis_cc_t{name}": Out(field.width) for name, field in cc_beat(width)},
                "m_axis_cq_tvalid": In(1),
                "m_axis_cq_tready": Out(1),
                "s_axis_cc_tvalid": Out(1),
                "s_axis_cc_tready": In(1),
                **(memory_ports(config) if config.memory else {}),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.chip = chip = self.chip
        m.submodules.access = access = self.access
        connect_stream(m, access.o, chip.i)
        connect_stream(m, chip.o, access.i)
        m.d.comb += [
            access.refused.eq(chip.refused),
            chip.clear.eq(access.clear),
            access.cq.valid.eq(self.m_axis_cq_tvalid),
            self.m_axis_cq_tready.eq(access.cq.ready),
            self.s_axis_cc_tvalid.eq(access.cc.valid),
            access.cc.ready.eq(self.s_axis_cc_tready),
        ]
        if self.config.memory:
            connect_memory(m, chip, self)
        for name in ("data", "keep", "last", "user"):
            given, wanted = access.cq.payload[name], access.cc.payload[name]
            m.d.comb += [
                Value.cast(given).eq(getattr(self, f"m_axis_cq_t{name}")),
                getattr(self, f"s_axis_cc_t{name}").eq(wanted),
            ]
        return m
