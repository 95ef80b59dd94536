"""Two registers between far units, neither of which hears what takes its items."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from .stream import transfers

__all__ = ["Turns"]


class Turns(Component):
    """Hold up to two items in the order in which they came, in registers that take turns.

    A `Queue` moves its items on, so that the enable of each bit waits for `o.ready`. Here an item
    stays where it is and `o` turns to the next: a late `o.ready` reaches three flip-flops.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. All of it comes from registers through one gate.

    Latency
        1 clock through an empty one.

    Throughput
        1 item per clock.
    """

    def __init__(self, shape) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})
        self.full = Signal(2)
        self.next_in, self.next_out = Signal(), Signal()

    def consistent(self) -> Value:
        """Return whether the registers agree, which they always do: a proof may begin anywhere."""
        one = self.full.xor()
        where = Mux(self.next_out, self.full[1], self.full[0])
        return (one == (self.next_in ^ self.next_out)) & (~one | where)

    def elaborate(self, platform) -> Module:
        m = Module()
        full = self.full
        rows = [Signal(self.shape, name=f"row_{n}", reset_less=True) for n in range(2)]
        m.d.comb += [
            self.i.ready.eq(~full.all()),
            self.o.valid.eq(full.any()),
            self.o.payload.eq(Mux(self.next_out, Value.cast(rows[1]), Value.cast(rows[0]))),
        ]
        # A free one takes whatever comes, item or not.
        for number, row in enumerate(rows):
            with m.If(~full[number]):
                m.d.sync += row.eq(self.i.payload)
        with m.If(transfers(self.i)):
            m.d.sync += [full.bit_select(self.next_in, 1).eq(1), self.next_in.eq(~self.next_in)]
        with m.If(transfers(self.o)):
            m.d.sync += [full.bit_select(self.next_out, 1).eq(0), self.next_out.eq(~self.next_out)]
        return m
