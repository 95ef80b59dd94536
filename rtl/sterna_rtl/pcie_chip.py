"""PcieChip: the chip behind a PCIe block."""

from __future__ import annotations

from typing import Any

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.chip import Chip, connect_memory, memory_ports
from sterna_rtl.lib.stream import connect_stream
from sterna_rtl.pcie.access import RegisterAccess
from sterna_rtl.pcie.block import cc_beat, cq_beat, rc_beat, rq_beat
from sterna_rtl.pcie.dma_tape import DmaTape

__all__ = ["PcieChip"]

_FIELDS = ("data", "keep", "last", "user")


class PcieChip(Component):
    """A whole accelerator whose registers are in BAR 0, see `sterna.spec.pcie`.

    A chip with a ring and no memory can read its tape from the host's memory, see
    `sterna.spec.dma`.

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
    s_axis_rq_*, m_axis_rc_*, cfg_max_read_req : Signal
        Only of a chip with DMA.
    """

    def __init__(self, config: ChipConfig, width: int, clock_hz: int) -> None:
        self.config = config
        self.width = width
        self.chip = Chip(config, clock_hz=clock_hz)
        self.access = RegisterAccess(width)
        given, taken = {"m_axis_cq": cq_beat(width)}, {"s_axis_cc": cc_beat(width)}
        self.dma = DmaTape(config, width) if config.ring_words and not config.memory else None
        if self.dma:
            given["m_axis_rc"], taken["s_axis_rq"] = rc_beat(width), rq_beat(width)
        ports: dict[str, Any] = {"cfg_max_read_req": In(3)} if self.dma else {}
        if config.memory:
            ports |= memory_ports(config)
        for beats, to, fro in ((given, In, Out), (taken, Out, In)):
            for name, beat in beats.items():
                ports |= {f"{name}_t{field}": to(beat[field].width) for field in _FIELDS}
                ports |= {f"{name}_tvalid": to(1), f"{name}_tready": fro(1)}
        super().__init__(ports)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.chip = chip = self.chip
        m.submodules.access = access = self.access
        self._give(m, "m_axis_cq", access.cq)
        self._take(m, "s_axis_cc", access.cc)
        m.d.comb += chip.clear.eq(access.clear)
        if self.dma is None:
            connect_stream(m, access.o, chip.i)
            connect_stream(m, chip.o, access.i)
            m.d.comb += access.refused.eq(chip.refused)
            if self.config.memory:
                connect_memory(m, chip, self)
            return m
        m.submodules.dma = dma = self.dma
        connect_stream(m, access.o, dma.i)
        connect_stream(m, dma.o, access.i)
        connect_stream(m, dma.o_request, chip.i)
        connect_stream(m, chip.o, dma.i_answer)
        connect_stream(m, dma.o_word, chip.i_tape)
        self._take(m, "s_axis_rq", dma.rq)
        self._give(m, "m_axis_rc", dma.rc)
        m.d.comb += [
            access.refused.eq(dma.refused),
            dma.i_refused.eq(chip.refused),
            dma.clear.eq(access.clear),
            dma.length.eq(chip.tape_length),
            dma.space.eq(chip.space),
            dma.restart.eq(chip.restart),
            dma.longest.eq(self.cfg_max_read_req),
        ]
        return m

    def _give(self, m: Module, prefix: str, stream: Any) -> None:
        """Connect a stream of the block."""
        ports = {name: getattr(self, f"{prefix}_t{name}") for name in ("valid", "ready", *_FIELDS)}
        m.d.comb += [stream.valid.eq(ports["valid"]), ports["ready"].eq(stream.ready)]
        for name in _FIELDS:
            m.d.comb += Value.cast(stream.payload[name]).eq(ports[name])

    def _take(self, m: Module, prefix: str, stream: Any) -> None:
        """Connect a stream to the block."""
        ports = {name: getattr(self, f"{prefix}_t{name}") for name in ("valid", "ready", *_FIELDS)}
        m.d.comb += [ports["valid"].eq(stream.valid), stream.ready.eq(ports["ready"])]
        for name in _FIELDS:
            m.d.comb += ports[name].eq(stream.payload[name])
