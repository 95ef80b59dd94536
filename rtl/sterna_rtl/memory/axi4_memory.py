"""Axi4Memory: a memory behind AXI4, words of all its ports behind streams."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from sterna.spec.axi4 import Axi4
from sterna_rtl.lib.stream import connect_stream, transfers

from .axi4 import ReadChannels
from .axi4_reader import Axi4Reader
from .bursts import Bursts
from .visits import request_layout

__all__ = ["Axi4Memory"]


class Axi4Memory(Component):
    """Read words that are spread over ports.

    Each burst goes to every port, to each as soon as it takes it; a word is there when each port
    has its part. A port that pauses holds up the others only when their queues are full.

    Parameters
    ----------
    memory : Axi4

    Attributes
    ----------
    i : stream.Interface
        `request_layout`. Done in order.
    o : stream.Interface
        Words read, in the order of the requests. From registers.
    axi : array of ReadChannels
        The ports.
    error : Signal, out
        One of the ports has met an error; see `Axi4Reader`.
    clear : Signal, in
        Drop `error` once all that has been asked for has come.

    Latency
        `latency` clocks more than the memory's from a request to its first word.

    Throughput
        A word per clock as long as each port gives a beat per clock.
    """

    latency = 7
    """Bursts, the address register and the queue."""

    def __init__(self, memory: Axi4) -> None:
        self.memory = memory
        self.bursts = Bursts(memory)
        self.readers = [Axi4Reader(memory, port) for port in range(memory.ports)]
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(memory))),
                "o": Out(stream.Signature(memory.word_bits)),
                "axi": Out(ReadChannels(memory)).array(memory.ports),
                "error": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        connect_stream(m, self.i, bursts.i)
        taken = Signal(self.memory.ports)  # ports that have the burst
        takes, there, errors = [], [], []
        for port, reader in enumerate(self.readers):
            m.submodules[f"reader_{port}"] = reader
            connect(m, reader.axi, flipped(self.axi[port]))
            m.d.comb += [
                reader.i.payload.eq(bursts.o.payload),
                reader.i.valid.eq(bursts.o.valid & ~taken[port]),
                reader.o.ready.eq(transfers(self.o)),
                reader.clear.eq(self.clear),
            ]
            takes.append(transfers(reader.i))
            there.append(reader.o.valid)
            errors.append(reader.error)
        m.d.comb += [
            bursts.o.ready.eq((taken | Cat(takes)).all()),
            self.o.payload.eq(Cat(reader.o.payload for reader in self.readers)),
            self.o.valid.eq(Cat(there).all()),
            self.error.eq(Cat(errors).any()),
        ]
        m.d.sync += taken.eq(Mux(bursts.o.ready, 0, taken | Cat(takes)))
        return m
