"""Axi4Memory: a memory behind AXI4, words of all its ports behind streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.axi4 import Axi4
from sterna_rtl.lib.stream import connect_stream, transfers

from .axi4 import Axi4Channels, ReadChannels, WriteChannels
from .axi4_reader import Axi4Reader
from .axi4_writer import Axi4Writer
from .bursts import Bursts, burst_layout
from .visits import request_layout

__all__ = ["Axi4Memory"]


class Axi4Memory(Component):
    """Read and write words that are spread over ports.

    Each burst goes to every port, to each as soon as it takes it; a word is there when each port
    has its part. A port that pauses holds up the others only when their queues are full.

    AXI4 keeps no order between reads and writes. So a write waits until all that was asked for has
    come, and a read until all writes have been answered.

    Parameters
    ----------
    memory : Axi4

    Attributes
    ----------
    i : stream.Interface
        `request_layout`. Done in order.
    i_word : stream.Interface
        Words to write.
    o : stream.Interface
        Words read, in the order of the requests. From registers.
    axi : array of Axi4Channels
        The ports.
    error : Signal, out
        One of the ports has met an error; see `Axi4Reader` and `Axi4Writer`.
    clear : Signal, in
        Drop `error` once all that has been asked for has come.

    Latency
        `latency` clocks more than the memory's from a request to its first word.

    Throughput
        A word read per clock as long as each port gives a beat per clock; a burst written in the
        time that the memory takes to answer it.
    """

    latency = 7
    """Bursts, the address register and the queue."""

    def __init__(self, memory: Axi4) -> None:
        self.memory = memory
        self.bursts = Bursts(memory)
        self.readers = [Axi4Reader(memory, port) for port in range(memory.ports)]
        self.writers = [Axi4Writer(memory, port) for port in range(memory.ports)]
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(memory))),
                "i_word": In(stream.Signature(memory.word_bits)),
                "o": Out(stream.Signature(memory.word_bits)),
                "axi": Out(Axi4Channels(memory)).array(memory.ports),
                "error": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.bursts = bursts = self.bursts
        connect_stream(m, self.i, bursts.i)
        for number, (reader, writer) in enumerate(zip(self.readers, self.writers, strict=True)):
            m.submodules[f"reader_{number}"] = reader
            m.submodules[f"writer_{number}"] = writer
            for unit, channels in ((reader, ReadChannels), (writer, WriteChannels)):
                _connect_channels(m, unit.axi, self.axi[number], channels(self.memory))
                m.d.comb += unit.clear.eq(self.clear)

        units = [*self.readers, *self.writers]
        reading, writing = (
            ~Cat(unit.idle for unit in side).all() for side in (self.readers, self.writers)
        )
        reads, writes = (stream.Signature(burst_layout(self.memory)).create() for _ in range(2))
        write = bursts.o.payload.write
        m.d.comb += [
            reads.payload.eq(bursts.o.payload),
            reads.valid.eq(bursts.o.valid & ~write & ~writing),
            writes.payload.eq(bursts.o.payload),
            writes.valid.eq(bursts.o.valid & write & ~reading),
            bursts.o.ready.eq(Mux(write, writes.valid & writes.ready, reads.valid & reads.ready)),
            self.error.eq(Cat(unit.error for unit in units).any()),
        ]
        _to_all(m, reads, [reader.i for reader in self.readers])
        _to_all(m, writes, [writer.i for writer in self.writers])
        beats = [writer.i_beat for writer in self.writers]
        _to_all(m, self.i_word, beats, self.memory.data_bits)

        m.d.comb += [
            self.o.payload.eq(Cat(reader.o.payload for reader in self.readers)),
            self.o.valid.eq(Cat(reader.o.valid for reader in self.readers).all()),
            *(reader.o.ready.eq(transfers(self.o)) for reader in self.readers),
        ]
        return m


def _to_all(m: Module, source: Any, sinks: Sequence[Any], part: int = 0) -> None:
    """Give each item of a stream to all sinks, to each once; with `part`, so many bits of it."""
    taken, have = Signal(len(sinks)), Signal(len(sinks))  # those that have the item; also now
    m.d.comb += have.eq(taken | Cat(sink.ready for sink in sinks))
    m.d.comb += source.ready.eq(have.all())
    with m.If(source.valid):
        m.d.sync += taken.eq(Mux(source.ready, 0, have))
    for number, sink in enumerate(sinks):
        payload = Value.cast(source.payload)
        given = payload.word_select(number, part) if part else payload
        m.d.comb += [
            Value.cast(sink.payload).eq(given),
            sink.valid.eq(source.valid & ~taken[number]),
        ]


def _connect_channels(m: Module, inner: Any, outer: Any, channels: Any) -> None:
    """Connect channels of a unit to a port of which they are a part."""
    for name, member in channels.members.items():
        a, b = getattr(inner, name), getattr(outer, name)
        m.d.comb += b.eq(a) if member.flow == Out else a.eq(b)
