"""Axi4Writer: the write channels of one AXI4 port."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.axi4 import BEATS, Axi4, Burst, Response
from sterna_rtl.lib.stream import transfers

from .axi4 import WriteChannels
from .bursts import burst_layout

__all__ = ["Axi4Writer"]


class Axi4Writer(Component):
    """Write one burst at a time.

    A model is loaded once, by a link that is slower than any memory: what counts is that it is
    simple. A burst that could not be written (BRESP), or a response to none, raises `error`; bursts
    that follow are written all the same.

    Parameters
    ----------
    memory : Axi4
    port : int
        Number of the port, which says where it begins.

    Attributes
    ----------
    i : stream.Interface
        `burst_layout`; `write` is not looked at.
    i_beat : stream.Interface
        Beats of the bursts.
    axi : WriteChannels
        The address comes from registers; W follows `i_beat`.
    error : Signal, out
        Stays up until `clear`.
    clear : Signal, in
        Drop `error`.
    idle : Signal, out
        All bursts have been written.

    Latency
        1 clock from a burst to AWVALID and to its first beat.

    Throughput
        A burst in its beats, the time of the memory's response, and a clock.

    Backpressure
        `i_beat.ready` follows WREADY.
    """

    def __init__(self, memory: Axi4, port: int = 0) -> None:
        self.memory = memory
        self.port = port
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(memory))),
                "i_beat": In(stream.Signature(memory.data_bits)),
                "axi": Out(WriteChannels(memory)),
                "error": Out(1),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        memory, axi, burst = self.memory, self.axi, self.i.payload
        busy, left = Signal(), Signal(range(BEATS + 1))  # beats to give
        m.d.comb += [
            self.idle.eq(~busy),
            self.i.ready.eq(~busy),
            axi.awsize.eq(exact_log2(memory.beat_bytes)),
            axi.awburst.eq(Burst.INCR),
            axi.wdata.eq(self.i_beat.payload),
            axi.wstrb.eq(-1),
            axi.wlast.eq(left == 1),
            axi.wvalid.eq(self.i_beat.valid & (left != 0)),
            self.i_beat.ready.eq(axi.wready & (left != 0)),
            axi.bready.eq(1),
        ]
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(transfers(self.i_beat)):
            m.d.sync += left.eq(left - 1)
        with m.If(axi.bvalid):
            m.d.sync += busy.eq(0)
        with m.If(transfers(self.i)):
            within = Cat(C(0, exact_log2(memory.beat_bytes)), burst.word)
            m.d.sync += [
                busy.eq(1),
                left.eq(burst.more + 1),
                axi.awvalid.eq(1),
                axi.awaddr.eq(self.port * memory.spacing | within),
                axi.awlen.eq(burst.more),
            ]
        with m.If(self.clear):
            m.d.sync += self.error.eq(0)
        with m.If(axi.bvalid & (axi.bresp.matches(Response.SLVERR, Response.DECERR) | ~busy)):
            m.d.sync += self.error.eq(1)
        return m
