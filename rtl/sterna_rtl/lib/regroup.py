"""Regroup: R sums a beat to E sums a beat."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna_rtl.layouts import Layouts

from .queue import WideQueue
from .stream import can_load, connect_stream, transfers

__all__ = ["Regroup"]

_QUEUE_DEPTH = 17
"""Beats that wait where R < E: 16 rows of LUTRAM and a register, and two more behind them."""


class Regroup(Component):
    """Gather row sums of several beats into one, or split one into several, in order.

    A beat with `last` ends a segment. If R < E it goes out at once, zeros in the lanes that are
    missing; beats wait in a queue, so that what follows catches up at a beat a clock when it begins
    late. If R > E `last` stands on the final part of a beat; nothing is missing.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        `Layouts.sums`, R a beat. `i.ready` follows `o.ready`, but if R < E it comes from registers.
    o : stream.Interface
        `Layouts.element_sums`, E a beat. Registered, but if R = E the same as `i`.

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
        """Keep all parts but the last, with which they go into the queue."""
        m.submodules.queue = queue = WideQueue(self.o.payload.shape(), _QUEUE_DEPTH)
        connect_stream(m, queue.o, self.o)
        sums, last = Value.cast(self.i.payload.sums), self.i.payload.last
        part = Signal(range(parts))
        full = (part == parts - 1) | last
        beat = []
        for index in range(parts):
            kept = Signal(len(sums), name=f"kept_{index}", reset_less=True)
            with m.If(part == index):
                m.d.sync += kept.eq(sums)
            beat.append(Mux(part == index, sums, Mux(part > index, kept, 0)))
        m.d.comb += [
            self.i.ready.eq(queue.i.ready),
            queue.i.valid.eq(self.i.valid & full),
            Value.cast(queue.i.payload.sums).eq(Cat(beat)),
            queue.i.payload.last.eq(last),
        ]
        with m.If(transfers(self.i)):
            m.d.sync += part.eq(Mux(full, 0, part + 1))

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
