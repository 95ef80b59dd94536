"""Epilogue: row sums to results, E elements a clock, and the banks' writer."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op
from sterna_rtl.arith.lane import CONTROL, Lane
from sterna_rtl.datapath.segment import SegmentControl
from sterna_rtl.layouts import Layouts, first_word
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Epilogue"]


class Epilogue(Component):
    """Finish the row sums of each segment as its operation says; the arithmetic is in `Lane`.

    A segment takes ``ceil(rows / E)`` beats of sums and drops what follows up to `last`; EMBED
    takes beats of the embedding instead, with the row's scale. It begins when the one before has
    been written, so that nothing is read before it is written. Elements beyond `rows` in the last
    word come as zero sums and are written as zeros.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_job : stream.Interface
        One job a segment.
    i_scale : stream.Interface
        One scale a segment, but none for EMBED.
    i_sums, i_embedding : stream.Interface
        Beats.
    residual_read, residual_write, scratch_read, scratch_write, state_read, state_write : interface
        Ports of the banks.
    vector_read : interface
        Port of side RAM A: lower bounds, `side_clocks` after their address.
    vector_reads : Signal, out
        A segment with lower bounds is in flight: `vector_read` needs its RAM.
    o_results : stream.Interface
        What gathering operations write, on the clock on which they write it. Must be always ready:
        the pipeline can't wait, and what isn't accepted at once is lost.
    o_logits : stream.Interface
        May stall.
    segment : Signal, out
        Up for a clock when a matrix has been written (a cut one: its last segment).
    saturations : Signal, out
        Elements clamped, of y and of results; two clocks behind them.
    busy : Signal, out
        From the first beat of a segment to its last write.

    Latency
        From a beat to its write and result: EMBED, RESIDUAL 7 clocks; PRODUCT 10; GATE 14;
        SILU 16; STATE 19; LOGITS 6 to `o_logits`. One more if row sums are wider than 18 bits.
        From the last write to the first beat of the next segment: 2, if its job and scale wait.

    Throughput
        One beat per clock.

    Backpressure
        `o_logits` only: a beat is accepted if the output queue has room for all that is in flight.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        self.lanes = [Lane(config) for _ in range(config.elements)]
        self.reads, self.writes = self.lanes[0].reads, self.lanes[0].writes
        self.control = SegmentControl(config, self.writes)
        residual = (config.slots * config.residual_words, layouts.residual)
        scratch = (config.slots * config.scratch_words, layouts.scratch)
        state = (config.slots * config.state_words, layouts.state)
        super().__init__(
            {
                "i_job": In(stream.Signature(layouts.epilogue_job)),
                "i_scale": In(stream.Signature(layouts.scale)),
                "i_sums": In(stream.Signature(layouts.element_sums)),
                "i_embedding": In(stream.Signature(layouts.embedding)),
                "residual_read": Out(ReadPort(*residual)),
                "residual_write": Out(WritePort(*residual)),
                "scratch_read": Out(ReadPort(*scratch)),
                "scratch_write": Out(WritePort(*scratch)),
                "state_read": Out(ReadPort(*state)),
                "state_write": Out(WritePort(*state)),
                "vector_read": Out(ReadPort(config.vector_a_words, layouts.vector)),
                "vector_reads": Out(1),
                "o_norms": Out(stream.Signature(layouts.norms)),
                "o_results": Out(stream.Signature(layouts.results)),
                "o_logits": Out(stream.Signature(layouts.logits)),
                "segment": Out(1),
                "saturations": Out(range(2 * config.elements + 1)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.control = self.control
        for index, lane in enumerate(self.lanes):
            m.submodules[f"lane_{index}"] = lane
        self._beats(m, room=self._logits(m))
        self._lanes(m)
        self._reads(m)
        self._writes(m)
        self._results(m)
        self._count(m)
        return m

    def _beats(self, m: Module, room: Value) -> None:
        """Let the segment's beats in."""
        control, sums, embedding = self.control, self.i_sums, self.i_embedding
        connect_stream(m, self.i_job, control.i_job)
        connect_stream(m, self.i_scale, control.i_scale)
        embed = control.operation.embed
        takes_sums = control.accepts & ~embed & (room | ~control.operation.logits)
        m.d.comb += [
            sums.ready.eq(takes_sums | control.drops),
            embedding.ready.eq(control.accepts & embed),
            control.beat.eq((transfers(sums) & control.accepts) | transfers(embedding)),
            control.sums_end.eq(transfers(sums) & sums.payload.last),
        ]

    def _lanes(self, m: Module) -> None:
        """Connect the lanes to beats and banks."""
        embed, embedding = self.control.operation.embed, self.i_embedding.payload
        control = Signal(CONTROL)
        m.d.comb += [
            control.operation.eq(self.control.operation),
            control.shift.eq(self.control.shift),
        ]
        for name in ("bounded", "sigmoid_shift", "out_shift", "residual_shift"):
            m.d.comb += control[name].eq(self.control.job[name])
        for index, lane in enumerate(self.lanes):
            sums = self.i_sums.payload.sums[index]
            m.d.comb += [
                lane.sum.eq(Mux(embed, embedding.elements[index], sums)),
                lane.mantissa.eq(Mux(embed, embedding.scale, self.control.mantissa)),
                lane.control.eq(control),
                lane.residual.eq(self.residual_read.data[index]),
                lane.scratch.eq(self.scratch_read.data[index]),
                lane.state.eq(self.state_read.data[index]),
                lane.bound.eq(self.vector_read.data[index]),
                self.residual_write.data[index].eq(lane.new_residual),
                self.scratch_write.data[index].eq(lane.new_scratch),
                self.state_write.data[index].eq(lane.new_state),
            ]

    def _count_words(self, m: Module, address: Signal, start: Value, passes: Value) -> None:
        """Let an address follow the segment's words through a vector that begins at `start`."""
        with m.If(passes):  # an enable: what says so comes late, and need not go through the sum
            m.d.sync += address.eq(address + 1)
        with m.If(self.control.prepares):
            first_word = self.control.job.row >> exact_log2(self.config.elements)
            m.d.sync += address.eq(start + first_word)

    def _reads(self, m: Module) -> None:
        """Show each bank the next word's address some clocks before the lanes want the word."""
        control, job = self.control, self.control.job
        # The recurrence goes on from the state of the slot before, if that has the position before.
        state_slot = Mux(control.operation.state, job.source, job.slot)
        for port, name, start, clocks in (
            (self.residual_read, "residual", first_word(self.config, "residual", job.slot), 1),
            (self.scratch_read, "scratch", first_word(self.config, "scratch", job.slot), 1),
            (self.state_read, "state", first_word(self.config, "state", state_slot) + job.state, 1),
            (self.vector_read, "bound", job.vector_a, self.config.side_clocks),
        ):
            taken = control.at(control.valid, self.reads[name], -clocks)
            self._count_words(m, port.address, start, taken)

    def _writes(self, m: Module) -> None:
        """Write to the banks."""
        control, job = self.control, self.control.job
        for port, ops, start in (
            (
                self.residual_write,
                (Op.EMBED, Op.RESIDUAL),
                first_word(self.config, "residual", job.slot),
            ),
            (
                self.scratch_write,
                (Op.SILU, Op.GATE, Op.PRODUCT),
                first_word(self.config, "scratch", job.slot),
            ),
            (self.state_write, (Op.STATE,), first_word(self.config, "state", job.slot) + job.state),
        ):
            clocks = {op: self.writes[op] for op in ops}
            m.d.sync += port.enable.eq(control.at(control.valid, clocks, -1))
            self._count_words(m, port.address, start, port.enable)

    def _results(self, m: Module) -> None:
        """Show the quantizer what is written and what it will need with it."""
        control, job, operation = self.control, self.control.job, self.control.operation
        valid, payload = self.o_results.valid, self.o_results.payload
        norms = self.o_norms
        clocks = {op: clock for op, clock in self.writes.items() if op.gathers}
        # A result enters its product a clock later, when its weights are there.
        ahead = self.config.side_clocks - 1
        later = Signal(ahead - 1)
        m.d.sync += norms.valid.eq(control.at(control.valid, clocks, -1 - ahead))
        m.d.sync += Cat(later, valid).eq(Cat(norms.valid, later))
        m.d.sync += payload.last.eq(control.at(control.ended, clocks, -1) & ~job.more)
        self._count_words(m, norms.payload.vector_a, job.vector_a, norms.valid)
        self._count_words(m, norms.payload.vector_b, job.vector_b, norms.valid)
        m.d.comb += [payload.first.eq(control.first), payload.unit.eq(operation.product)]
        m.d.comb += payload.slot.eq(job.slot)
        # A choice behind the lanes' registers: one more register would cost each barrier a clock.
        # It is made by copies of the operation, a clock late: results come later than that.
        gates, products = Signal(), Signal()
        m.d.sync += [gates.eq(operation.gate), products.eq(operation.product)]
        for index, lane in enumerate(self.lanes):
            value, second = payload.values[index], payload.second[index]
            m.d.comb += [value.eq(lane.new_residual), second.eq(lane.new_residual)]
            with m.If(gates):
                m.d.comb += [value.eq(lane.new_scratch), second.eq(lane.y_late)]
            with m.If(products):
                m.d.comb += [value.eq(lane.new_scratch), second.eq(0)]

    def _logits(self, m: Module) -> Value:
        """Queue the logits; return whether there is room for one more beat on its way."""
        control, clock = self.control, self.writes[Op.LOGITS]
        # For a beat on every clock: its way to the output, and a clock to give the room back.
        depth = clock + 2
        m.submodules.logits = queue = Queue(self.layouts.logits, depth)
        connect_stream(m, queue.o, self.o_logits)
        room, some = Signal(range(depth + 1), init=depth), Signal(init=1)
        takes, gives = control.beat & control.operation.logits, transfers(self.o_logits)
        m.d.sync += room.eq(room - takes + gives)
        m.d.sync += some.eq(gives | Mux(takes, room != 1, room != 0))

        rest = control.job.rows[: exact_log2(self.config.elements)]
        ended, payload = control.ended[clock], queue.i.payload
        m.d.comb += [
            queue.i.valid.eq(control.operation.logits & control.valid[clock]),
            payload.first.eq(control.first),
            payload.last.eq(ended & ~control.job.more),
            payload.end.eq(ended),
        ]
        for index, lane in enumerate(self.lanes):
            m.d.comb += payload.values[index].eq(lane.y)
            m.d.comb += payload.mask[index].eq(~ended | (rest == 0) | (index < rest))
        return some

    def _count(self, m: Module) -> None:
        """Events for the counters, and who reads side RAM A."""
        control = self.control
        m.d.sync += self.segment.eq(control.written & ~control.job.more)
        with m.If(control.begin):
            m.d.sync += self.vector_reads.eq(control.operation.state & control.job.bounded)
        with m.If(control.beat):
            m.d.sync += self.busy.eq(1)
        with m.If(control.written):
            m.d.sync += [self.busy.eq(0), self.vector_reads.eq(0)]

        y_valid = control.valid[self.lanes[0].y_latency]
        of_y, of_results = Signal(len(self.lanes)), Signal(len(self.lanes))
        for index, lane in enumerate(self.lanes):
            m.d.sync += of_y[index].eq(lane.y_clamped & y_valid)
            m.d.sync += of_results[index].eq(
                (lane.residual_clamped & self.residual_write.enable)
                | (lane.scratch_clamped & self.scratch_write.enable)
                | (lane.state_clamped & self.state_write.enable)
            )
        m.d.sync += self.saturations.eq(_ones(of_y) + _ones(of_results))


def _ones(bits: Value) -> Value:
    """Count the bits that are set."""
    half = len(bits) // 2
    return _ones(bits[:half]) + _ones(bits[half:]) if half else bits
