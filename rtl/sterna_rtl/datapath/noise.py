"""Noise: the Gumbel noise of one draw after the other, ahead of the logits that need it."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.xorshift import UNIFORM_BITS
from sterna_rtl.arith.gumbel import GUMBEL_BITS, Gumbel
from sterna_rtl.arith.xorshift import leap
from sterna_rtl.lib.queue import WideQueue
from sterna_rtl.lib.stream import transfers

__all__ = ["Noise"]


class Noise(Component):
    """Noise of consecutive elements of a draw, the first of which has the generator's `state`.

    The sequence depends on `state` alone. It runs ahead until the queue is full, so that its
    latency is hidden while the weights of the layers pass.

    Parameters
    ----------
    lanes : int
        Elements a clock, a power of two.

    Attributes
    ----------
    state : Signal, in
        State of the first element.
    restart : Signal, in
        Drop all noise made so far and begin anew with the `state` that follows this clock.
    o : stream.Interface
        Noise of `lanes` elements. `restart` takes back an item that waits here.
    latency : int
        Clocks through the pipeline: 8, and one for each doubling of the lanes.

    Latency
        From `restart` to the first item at most three times `latency` and two clocks, as what is in
        the pipeline and in the queue is dropped first.

    Throughput
        1 item per clock.

    Backpressure
        Credits: a beat begins only if the queue has room for it and for all in flight.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.latency = exact_log2(lanes) + 1 + Gumbel.latency
        self.depth = self.latency + 4  # two clocks pass until the place of an item is free again
        self.shape = ArrayLayout(signed(GUMBEL_BITS), lanes)
        super().__init__(
            {"state": In(64), "restart": In(1), "o": Out(stream.Signature(self.shape))}
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = WideQueue(self.shape, self.depth)
        # Items in flight or in the queue, less the depth: negative is room. None at all is known a
        # clock later, and so is it when one has gone.
        used = Signal(range(-self.depth, 1), init=-self.depth)
        empty, gone = Signal(init=1), Signal()
        base = Signal(64)  # state of the next beat's first element
        running, begin = Signal(), Signal()
        m.d.comb += [
            begin.eq(running & used[-1]),
            self.o.payload.eq(queue.o.payload),
            self.o.valid.eq(queue.o.valid & running),
            queue.o.ready.eq(self.o.ready | ~running),
        ]
        m.d.sync += [
            gone.eq(transfers(queue.o)),
            used.eq(used + begin - gone),
            empty.eq(used == -self.depth),
        ]
        # The state comes from far away, and follows `restart` by a clock.
        state, restarts = Signal.like(self.state), Signal(init=1)
        m.d.sync += [state.eq(self.state), restarts.eq(self.restart)]
        # Nothing that is decided on this clock chooses between so many bits.
        with m.If(~running):
            m.d.sync += base.eq(state)
        with m.Elif(used[-1]):
            m.d.sync += base.eq(leap(base, self.lanes))
        with m.If(self.restart):
            m.d.sync += running.eq(0)
        with m.Elif(~running & empty & ~restarts):
            m.d.sync += running.eq(1)

        in_flight = Signal(self.latency)
        m.d.sync += in_flight.eq(Cat(begin, in_flight))
        m.d.comb += queue.i.valid.eq(in_flight[-1])
        for lane, state in enumerate(self._spread(m, base, Cat(begin, in_flight))):
            uniform = Signal(UNIFORM_BITS, name=f"uniform_{lane}", reset_less=True)
            m.d.sync += uniform.eq((state[:32] + state[32:])[32 - UNIFORM_BITS : 32])
            m.submodules[f"gumbel_{lane}"] = gumbel = Gumbel()
            m.d.comb += [gumbel.uniform.eq(uniform), queue.i.payload[lane].eq(gumbel.noise)]
        return m

    def _spread(self, m: Module, base: Signal, valid: Value) -> list[Value]:
        """States of all lanes, a stage for each doubling; `valid` of each stage's input."""
        states = [base]
        for stage in range(exact_log2(self.lanes)):
            span = self.lanes >> (stage + 1)
            steps = [step for state in states for step in (state, leap(state, span))]
            states = [
                Signal(64, name=f"state_{k * span}", reset_less=True) for k in range(len(steps))
            ]
            with m.If(valid[stage]):
                m.d.sync += [state.eq(step) for state, step in zip(states, steps, strict=True)]
        return states
