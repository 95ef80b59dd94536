"""Logit tap: hands logits on to the sampler and, if asked, one by one to the host."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["LogitTap"]


class LogitTap(Component):
    """Copy logits to the host.

    With `keep` up, a beat is taken only when all logits of the one before are with the host or in
    a queue of two, so that none is lost: the chip then runs as fast as the host reads.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i, o : stream.Interface
        Beats of E logits; combinational from one to the other. The ones of `mask` are in its lowest
        lanes.
    o_logit : stream.Interface
        Logits that exist, in order. Registered.
    keep : Signal, in
        May change only while no beat waits.

    Throughput
        A beat per clock without `keep`; with it, one in n + 1 clocks if it holds n logits.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.elements = config.elements
        logits = Layouts(config).logits
        super().__init__(
            {
                "i": In(stream.Signature(logits)),
                "o": Out(stream.Signature(logits)),
                "o_logit": Out(stream.Signature(signed(PRE_BITS))),
                "keep": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        values = Signal(self.elements * PRE_BITS, reset_less=True)
        left = Signal(self.elements)  # a one for each logit that is not in the queue
        m.submodules.queue = queue = Queue(self.o_logit.payload.shape(), 2)
        connect_stream(m, queue.o, self.o_logit)
        any_left = left[0]
        room = ~self.keep | ~any_left
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & room),
            self.i.ready.eq(self.o.ready & room),
            queue.i.valid.eq(any_left),
            queue.i.payload.eq(values[:PRE_BITS].as_signed()),
        ]
        with m.If(transfers(queue.i)):
            m.d.sync += [left.eq(left >> 1), values.eq(values >> PRE_BITS)]
        # Whether or not the beat passes on this clock: this keeps the register's input small.
        with m.If(~any_left):
            m.d.sync += values.eq(Value.cast(self.i.payload.values))
        with m.If(transfers(self.o) & self.keep):
            m.d.sync += left.eq(self.i.payload.mask)
        return m
