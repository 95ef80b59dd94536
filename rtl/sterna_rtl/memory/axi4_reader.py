"""Axi4Reader: the read channels of one AXI4 port."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.axi4 import BEATS, Axi4, Burst, Response
from sterna_rtl.lib.long_queue import LongQueue
from sterna_rtl.lib.stream import connect_stream, transfers

from .axi4 import ReadChannels
from .bursts import burst_layout

__all__ = ["Axi4Reader"]


class Axi4Reader(Component):
    """Ask for bursts and give their beats in order.

    A burst is asked for only if the queue has room for a full one beside all that is on its way. So
    RREADY never falls, and the port never holds up the memory.

    A beat that the memory could not read (RRESP), or that nobody asked for, raises `error`. From
    then on no burst is asked for. Those on their way come to their end and their beats are given,
    whatever they hold, so that whoever counts them stays in step.

    Parameters
    ----------
    memory : Axi4
    port : int
        Number of the port, which says where it begins.

    Attributes
    ----------
    i : stream.Interface
        `burst_layout`; `write` is not looked at.
    o : stream.Interface
        Beats. Registered.
    axi : ReadChannels
        The address comes from registers; data go straight to the queue.
    error : Signal, out
        Stays up until `clear`.
    clear : Signal, in
        Drop `error` once all that has been asked for has come.
    idle : Signal, out
        Nothing is on its way.

    Latency
        1 clock from a burst to ARVALID, 3 from RVALID to `o`.

    Throughput
        A beat per clock if ``outstanding * BEATS`` clocks are as long as `round_trip`; otherwise
        that part of them.

    Backpressure
        `i.ready` follows ARREADY.
    """

    def __init__(self, memory: Axi4, port: int = 0) -> None:
        self.memory = memory
        self.port = port
        depth = memory.outstanding * BEATS
        self.queue = LongQueue(memory.data_bits, depth)
        # Beats that the queue has room for beside those asked for; those that have not come.
        self.free = Signal(range(depth + 1), init=depth)
        self.asked = Signal(range(depth + 1))
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(memory))),
                "o": Out(stream.Signature(memory.data_bits)),
                "axi": Out(ReadChannels(memory)),
                "error": Out(1),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    @staticmethod
    def round_trip(latency: int) -> int:
        """Clocks from asking for a burst until its room is there again, all of it.

        `latency` is the memory's, from an address that it takes to the first beat.
        """
        # The address register, the queue, and the count of what is free.
        return latency + BEATS + 4

    def elaborate(self, platform) -> Module:
        m = Module()
        memory, axi, burst = self.memory, self.axi, self.i.payload
        free, asked = self.free, self.asked
        m.submodules.queue = queue = self.queue
        connect_stream(m, queue.o, self.o)

        beats = Mux(transfers(self.i), burst.more + 1, 0)
        comes = axi.rvalid & (asked != 0)
        m.d.sync += [
            free.eq(free + transfers(self.o) - beats),
            asked.eq(asked + beats - comes),
        ]
        m.d.comb += [
            self.idle.eq(asked == 0),
            self.i.ready.eq((~axi.arvalid | axi.arready) & (free >= BEATS) & ~self.error),
            axi.rready.eq(1),
            queue.i.valid.eq(comes),
            queue.i.payload.eq(axi.rdata),
        ]

        m.d.comb += [
            axi.arsize.eq(exact_log2(memory.beat_bytes)),
            axi.arburst.eq(Burst.INCR),
        ]
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        with m.If(transfers(self.i)):
            within = Cat(C(0, exact_log2(memory.beat_bytes)), burst.word)
            m.d.sync += [
                axi.arvalid.eq(1),
                axi.araddr.eq(self.port * memory.spacing | within),
                axi.arlen.eq(burst.more),
            ]

        clearing = Signal()
        with m.If(self.idle):
            m.d.sync += clearing.eq(0)
            with m.If(clearing):
                m.d.sync += self.error.eq(0)
        with m.If(self.clear & self.error):
            m.d.sync += clearing.eq(1)
        with m.If(axi.rvalid & (axi.rresp.matches(Response.SLVERR, Response.DECERR) | ~comes)):
            m.d.sync += self.error.eq(1)
        return m
