"""A first-in first-out queue of any length, in a RAM, with streams on both sides."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from .queue import Queue
from .ram import Ram
from .stream import connect_stream, transfers

__all__ = ["LongQueue"]

_AHEAD = 3
"""Words in flight from the RAM and in the queue behind it, at one a clock."""


class LongQueue(Component):
    """Hold up to `depth` items in the order in which they came.

    Items lie in a RAM; the oldest ones are read ahead into a short queue, as far as that has room
    for them and for the one in flight. So `o.ready` ends there.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items it holds.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. `i.ready` comes from a register through a comparison; `o` is registered.
    level : Signal, out
        Items held now.

    Latency
        3 clocks through an empty queue.

    Throughput
        1 item per clock, from a depth of 4 on.
    """

    def __init__(self, shape, depth: int) -> None:
        self.shape = shape
        self.depth = depth
        self.queue = Queue(shape, _AHEAD)
        self.in_flight = Signal()
        # Items that can be read from the RAM; room in the queue for them.
        self.ready = Signal(range(depth + 1))
        self.room = Signal(range(_AHEAD + 1), init=_AHEAD)
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        depth, ready, room, in_flight = self.depth, self.ready, self.room, self.in_flight
        m.submodules.words = words = Ram(depth, self.shape)
        m.submodules.queue = queue = self.queue
        connect_stream(m, queue.o, self.o)

        def following(place: Value) -> Value:
            return Mux(place == depth - 1, 0, place + 1)

        reads = Signal()
        m.d.comb += [
            self.i.ready.eq(self.level != depth),
            words.write.enable.eq(transfers(self.i)),
            words.write.data.eq(self.i.payload),
            reads.eq((ready != 0) & (room != 0)),
            queue.i.valid.eq(in_flight),
            queue.i.payload.eq(words.read.data),
        ]
        at = Signal.like(words.read.address)
        m.d.comb += words.read.address.eq(at)
        with m.If(transfers(self.i)):
            m.d.sync += words.write.address.eq(following(words.write.address))
        with m.If(reads):
            m.d.sync += at.eq(following(at))
        m.d.sync += [
            self.level.eq(self.level + transfers(self.i) - transfers(self.o)),
            ready.eq(ready + transfers(self.i) - reads),
            in_flight.eq(reads),
            room.eq(room - reads + transfers(self.o)),
        ]
        return m
