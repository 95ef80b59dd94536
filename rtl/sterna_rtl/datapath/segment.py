"""The epilogue's control: one segment after the other through a pipeline without stalls."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import SCALE_BITS
from sterna.spec.program import Op
from sterna_rtl.arith.lane import OPERATION
from sterna_rtl.layouts import Layouts

__all__ = ["SegmentControl"]


class SegmentControl(Component):
    """Take job and scale of a segment, let its beats in, drop the rest, wait for the last write.

    Parameters
    ----------
    config : ChipConfig
    writes : dict
        Clocks from a beat to its write, by operation.

    Attributes
    ----------
    i_job, i_scale : stream.Interface
        A scale for each segment but EMBED.
    job : View, out
        The segment's. It keeps still while the segment is in flight, like `operation`, `mantissa`
        and `shift`.
    operation : View, out
        `OPERATION`.
    mantissa, shift : Signal, out
        Scale; EMBED: only the shift.
    prepares : Signal, out
        The segment has its job and has not begun. From a register.
    begin : Signal, out
        Up on the clock before the segment's first beat may come.
    accepts : Signal, out
        Beats may come. From a register.
    beat : Signal, in
        A beat goes into the pipeline; only while `accepts` is up.
    drops : Signal, out
        The segment has its beats; what follows up to `last` is to be dropped. From a register.
    sums_end : Signal, in
        The beat with `last` passes.
    valid, ended : Signal, out
        Bit k is up k clocks after a beat; `ended`: after the segment's last one.
    written : Signal, out
        The segment's last word is being written.
    first : Signal, out
        The word that is being written or will be next is the vector's first.
    """

    def __init__(self, config: ChipConfig, writes: Mapping[Op, int]) -> None:
        self.elements = config.elements
        self.writes = writes
        layouts = Layouts(config)
        stages = max(writes.values()) + 1
        super().__init__(
            {
                "i_job": In(stream.Signature(layouts.epilogue_job)),
                "i_scale": In(stream.Signature(layouts.scale)),
                "job": Out(layouts.epilogue_job),
                "operation": Out(OPERATION),
                "mantissa": Out(SCALE_BITS),
                "shift": Out(6),
                "prepares": Out(1),
                "begin": Out(1),
                "accepts": Out(1),
                "beat": In(1),
                "drops": Out(1),
                "sums_end": In(1),
                "valid": Out(stages),
                "ended": Out(stages),
                "written": Out(1),
                "first": Out(1),
            }
        )

    def at(self, stages: Value, clocks: Mapping[Op, int], offset: int = 0) -> Value:
        """Return the bit of `valid` or `ended` at the operation's clock; 0 if it has none."""
        return Cat(
            self.operation[op.name.lower()] & stages[clock + offset] for op, clock in clocks.items()
        ).any()

    def elaborate(self, platform) -> Module:
        m = Module()
        job, scale, embed = self.job, self.i_scale, self.operation.embed
        words_left = Signal(16)
        last_beat = self.beat & (words_left == 1)
        m.d.sync += words_left.eq(words_left - self.beat)
        # `last` of the sums has passed; the last word is written on the next clock, on which the
        # next job can be taken.
        ends, ends_seen = Signal(2), Signal(2)
        ending = self.at(self.ended, self.writes, -1)
        m.d.comb += ends.eq(ends_seen | Cat(self.sums_end, ending))
        m.d.sync += ends_seen.eq(ends)

        # The state "JOB" once more, as a register that can lie among what it enables.
        takes = Signal(init=1)
        m.d.comb += self.i_job.ready.eq(takes)
        with m.If(takes):
            m.d.sync += job.eq(self.i_job.payload)
            for op in Op:
                m.d.sync += self.operation[op.name.lower()].eq(self.i_job.payload.op == op)

        with m.FSM(name="segment"):
            with m.State("JOB"):
                with m.If(self.i_job.valid):
                    m.d.sync += [takes.eq(0), self.prepares.eq(1)]
                    m.next = "SCALE"
            with m.State("SCALE"):
                m.d.comb += scale.ready.eq(~embed)
                m.d.comb += self.begin.eq(embed | scale.valid)
                m.d.sync += self.mantissa.eq(scale.payload.mantissa)
                m.d.sync += self.shift.eq(Mux(embed, -job.scale_exponent, scale.payload.shift))
                m.d.sync += words_left.eq(
                    (job.rows + (self.elements - 1)) >> exact_log2(self.elements)
                )
                m.d.sync += ends_seen.eq(Cat(embed, C(0)))
                with m.If(self.begin):
                    m.d.sync += [self.prepares.eq(0), self.accepts.eq(1)]
                    m.next = "BEATS"
            with m.State("BEATS"):
                with m.If(last_beat):
                    m.d.sync += [self.accepts.eq(0), self.drops.eq(~ends[0])]
                    m.next = "END"
            with m.State("END"):
                m.d.sync += self.drops.eq(~ends[0])
                with m.If(ends.all()):
                    m.d.sync += takes.eq(1)
                    m.next = "JOB"

        self._stages(m, last_beat)
        return m

    def _stages(self, m: Module, last_beat: Value) -> None:
        """Follow the beats through the pipeline."""
        valid, ended = Signal(len(self.valid) - 1), Signal(len(self.ended) - 1)
        m.d.comb += self.valid.eq(Cat(self.beat, valid))
        m.d.comb += self.ended.eq(Cat(last_beat, ended))
        m.d.sync += [valid.eq(self.valid), ended.eq(self.ended)]
        m.d.comb += self.written.eq(self.at(self.ended, self.writes))
        with m.If(self.written):
            # Stages beyond this operation's write are of no use to it but would be to the next one.
            m.d.sync += [valid.eq(0), ended.eq(0)]

        with m.If(self.begin):
            m.d.sync += self.first.eq(self.job.row == 0)
        with m.Elif(self.at(self.valid, self.writes)):
            m.d.sync += self.first.eq(0)
