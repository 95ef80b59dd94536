"""Regroup: R sums a beat to E sums a beat."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.layouts import Layouts

from .queue import BypassQueue
from .stream import can_load, connect_stream, transfers

__all__ = ["Regroup"]

_WAITING = 17
"""Beats that wait where R < E: 16 rows of LUTRAM and a register."""


class Regroup(Component):
    """Gather row sums of several beats into one, or split one into several, in order.

    A beat with `last` ends a segment. If R < E it goes out at once, zeros in the lanes that are
    missing; beats that are not taken wait in a queue, so that what follows catches up at a beat a
    clock when it begins late. If R > E `last` stands on the final part of a beat; nothing is
    missing.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        `Layouts.sums`, R a beat. `i.ready` follows `o.ready`, but if R < E it comes from registers.
    o : stream.Interface
        `Layouts.element_sums`, E a beat. If R = E the same as `i`.

    Latency
        1 clock from the last beat of a group; none if R = E.

    Throughput
        One beat in per clock if R <= E, one beat out per clock if R >= E.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.sums)),
                "o": Out(stream.Signature(layouts.element_sums)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        rows, elements = self.config.rows, self.config.elements
        if rows == elements:
            connect_stream(m, self.i, self.o)
        elif rows < elements:
            self._gather(m, elements // rows)
        else:
            self._split(m, rows // elements)
        return m

    def _gather(self, m: Module, parts: int) -> None:
        """Fill a register part by part."""
        m.submodules.queue = queue = BypassQueue(self.o.payload.shape(), _WAITING)
        connect_stream(m, queue.o, self.o)
        rows = self.config.rows
        part = Signal(range(parts))
        beat = Signal(self.o.payload.shape(), reset_less=True)
        full = (part == parts - 1) | self.i.payload.last
        m.d.comb += [self.i.ready.eq(can_load(queue.i)), queue.i.payload.eq(beat)]
        with m.If(self.i.ready):
            m.d.sync += queue.i.valid.eq(self.i.valid & full)
        with m.If(transfers(self.i)):
            m.d.sync += [part.eq(Mux(full, 0, part + 1)), beat.last.eq(self.i.payload.last)]
            with m.If(part == 0):
                m.d.sync += beat.sums.eq(0)
            for index in range(parts):
                with m.If(part == index):
                    m.d.sync += [
                        beat.sums[index * rows + row].eq(self.i.payload.sums[row])
                        for row in range(rows)
                    ]

    def _split(self, m: Module, parts: int) -> None:
        """Take the input's parts one by one; it waits until the final one."""
        part = Signal(range(parts))
        beat = Signal(self.o.payload.shape(), reset_less=True)
        final = part == parts - 1
        sums = Value.cast(self.i.payload.sums)
        m.d.comb += [self.i.ready.eq(can_load(self.o) & final), self.o.payload.eq(beat)]
        with m.If(can_load(self.o)):
            m.d.sync += [
                self.o.valid.eq(self.i.valid),
                beat.sums.eq(sums.word_select(part, len(sums) // parts)),
                beat.last.eq(self.i.payload.last & final),
            ]
            with m.If(self.i.valid):
                m.d.sync += part.eq(part + 1)
