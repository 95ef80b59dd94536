"""A small first-in first-out queue with streams on both sides."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import memory, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna_rtl.family.ice40 import is_ice40

from .stream import can_load, connect_stream, transfers

__all__ = ["BypassQueue", "Queue", "WideQueue"]


class Queue(Component):
    """Hold up to `depth` items in the order in which they came.

    The oldest item waits in the output register and the others in a LUTRAM behind it; an item
    that finds the queue empty goes straight to the output register.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items it holds, 1 to 128.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. `o.valid`, `o.payload` and `i.ready` come straight from registers, except
        `i.ready` with ``depth=1``: there it follows `o.ready`, so that one register is enough for
        an item on every clock.
    level : Signal, out
        Items held now.

    Latency
        1 clock through an empty queue.

    Throughput
        1 item per clock at every depth.

    Resources
        ``depth - 1`` rows of LUTRAM (read asynchronously, so never block RAM); none below 3. On
        iCE40 as many rows of flip-flops.
    """

    def __init__(self, shape, depth: int):
        if not isinstance(depth, int) or not 1 <= depth <= 128:
            raise ValueError(f"depth must be an integer from 1 to 128, not {depth!r}")
        self.shape = shape
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )
        self.more = Signal()  # items wait behind the output register

    def consistent(self) -> Value:
        """Return whether the registers agree, which they always do: a proof may begin anywhere."""
        room = (self.depth == 1) | (self.i.ready == (self.level != self.depth))
        valid = self.o.valid == (self.level != 0)
        return (self.level <= self.depth) & room & valid & (self.more == (self.level > 1))

    def elaborate(self, platform):
        m = Module()
        more = self.more
        comes, goes = transfers(self.i), transfers(self.o)
        m.d.sync += self.level.eq(self.level + comes - goes)
        # What the level says is known a clock before, so that what comes and goes, which is known
        # late in its clock, meets one table in front of each register.
        if self.depth == 1:
            m.d.comb += self.i.ready.eq(can_load(self.o))
        else:
            ready = Signal(init=1)
            m.d.comb += self.i.ready.eq(ready)
            with m.If(comes ^ goes):
                m.d.sync += ready.eq(goes | (self.level != self.depth - 1))
        if self.depth == 2:
            m.d.comb += more.eq(~self.i.ready)
        elif self.depth > 2:
            with m.If(comes ^ goes):
                m.d.sync += more.eq(Mux(more, comes | (self.level != 2), comes & self.o.valid))
        store = Signal()
        m.d.comb += store.eq(comes & (more | ~can_load(self.o)))

        oldest = self._rows(m, platform, store, more) if self.depth > 1 else self.i.payload
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += self.o.payload.eq(payload)
        with m.If(can_load(self.o)):
            m.d.sync += self.o.valid.eq(more | self.i.valid)
            with m.If(more):
                m.d.sync += payload.eq(oldest)
            with m.Else():
                m.d.sync += payload.eq(self.i.payload)
        return m

    def _rows(self, m: Module, platform, store: Signal, more: Signal):
        """Build the rows behind the output register; return the oldest of them.

        The next free row takes whatever comes, item or not; only `store` counts it. So neither
        `o.ready` nor `i.valid` has to reach as many enables as a row has bits.
        """
        if self.depth == 2:
            waiting = Signal(self.shape, reset_less=True)
            with m.If(self.i.ready):
                m.d.sync += waiting.eq(self.i.payload)
            return waiting
        if is_ice40(platform):
            return self._shifted_rows(m, more)

        # Rounded up to a power of two, so that the pointers wrap by themselves.
        bits = ceil_log2(self.depth - 1)
        m.submodules.rows = rows = memory.Memory(
            shape=self.shape, depth=1 << bits, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = rows.write_port(), rows.read_port(domain="comb")
        m.d.comb += [write.en.eq(self.i.ready), write.data.eq(self.i.payload)]
        m.d.sync += write.addr.eq(write.addr + store)
        m.d.sync += read.addr.eq(read.addr + (more & can_load(self.o)))
        return read.data

    def _shifted_rows(self, m: Module, more: Signal):
        """Build rows of flip-flops that move up, oldest first, where there is no LUTRAM.

        A table in front of each bit chooses between the row behind and what comes; addressed rows
        would need as many flip-flops and as many tables more to choose the oldest.
        """
        rows = [Signal(self.shape, name=f"row_{n}", reset_less=True) for n in range(self.depth - 1)]
        moves = more & can_load(self.o)
        for place, (row, behind) in enumerate(zip(rows, [*rows[1:], self.i.payload], strict=True)):
            with m.If(moves | (self.level <= place + 1)):
                m.d.sync += row.eq(Mux(self.level <= place + 2, self.i.payload, behind))
        return rows[0]


class BypassQueue(Component):
    """A `Queue` that an item passes on the same clock while it is empty.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items it holds, 2 to 128.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. `i.ready` comes from registers; `o` follows `i` while nothing waits.
    level : Signal, out
        Items held now.

    Latency
        None through an empty queue.

    Throughput
        1 item per clock.
    """

    def __init__(self, shape, depth: int) -> None:
        if depth == 1:
            raise ValueError("depth must be at least 2, not 1")
        self.queue = Queue(shape, depth)
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def consistent(self) -> Value:
        """Return what `Queue` says."""
        return self.queue.consistent()

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = self.queue
        waits = queue.o.valid
        m.d.comb += [
            self.i.ready.eq(queue.i.ready),
            queue.i.valid.eq(self.i.valid & (waits | ~self.o.ready)),
            queue.i.payload.eq(self.i.payload),
            queue.o.ready.eq(self.o.ready),
            self.o.valid.eq(waits | self.i.valid),
            self.o.payload.eq(Mux(waits, queue.o.payload, self.i.payload)),
            self.level.eq(queue.level),
        ]
        return m


class WideQueue(Component):
    """A `Queue` whose rows do not hear `o.ready`: what takes its items may lie far away.

    Two registers stand behind a `BypassQueue`; only these follow `o.ready`.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    depth : int
        Items in rows, 2 to 128; two more are held behind them.

    Attributes
    ----------
    i, o : stream.Interface
        Items in and out. `o.valid`, `o.payload` and `i.ready` come straight from registers.

    Latency
        1 clock through an empty queue.

    Throughput
        1 item per clock.
    """

    def __init__(self, shape, depth: int) -> None:
        self.rows, self.ends = BypassQueue(shape, depth), Queue(shape, 2)
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def consistent(self) -> Value:
        """Return what both queues say."""
        return self.rows.consistent() & self.ends.consistent()

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.rows, m.submodules.ends = rows, ends = self.rows, self.ends
        connect_stream(m, self.i, rows.i)
        connect_stream(m, rows.o, ends.i)
        connect_stream(m, ends.o, self.o)
        return m
