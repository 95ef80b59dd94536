"""Sampler: from logits to a token, argmax or a draw at a temperature."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS
from sterna.spec.tables import GUMBEL_FRACTION
from sterna_rtl.arith.gumbel import GUMBEL_BITS
from sterna_rtl.arith.xorshift import next_draw
from sterna_rtl.datapath.noise import Noise
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream

__all__ = ["Sampler"]

_TEMPERATURE_BITS = 16
_SCORE_BITS = GUMBEL_BITS + _TEMPERATURE_BITS
_SCORE_LATENCY = 3
_FLAGS = StructLayout({"valid": 1, "first": 1, "last": 1})
_LOWEST = -1 << (_SCORE_BITS - 1)
"""Below every score."""


class Sampler(Component):
    """Find the largest score ``(logit << 12) + noise * temperature``, the first of equals.

    The noise is Gumbel's, so that the winner is a sample of the softmax; see
    `sterna.golden.sampler`. With temperature 0 it is the largest logit. No logit is kept: each is
    compared with the best so far as it comes.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_logits : stream.Interface
        The logits of a pass, in order.
    temperature : Signal, in
        Temperature times 2**(fraction bits of the logits); held during a pass.
    seed : Signal, in
        Not 0; taken on the clock after `load_seed`.
    load_seed : Signal, in
        Strobe: `state` becomes `seed`. A pass that has begun keeps its noise.
    draw : Signal, in
        Held during a pass: the draw generator steps at its end. The token comes in any case.
    state : Signal, out
        State of the draw generator.
    o_token : stream.Interface
        One token for each pass.

    Latency
        From the last beat to the token: 5 clocks, one for each halving of the lanes and one for
        each part of a beat.

    Throughput
        ``min(R, E)`` elements per clock, which is what the engine gives: a beat of E is taken in
        parts.

    Backpressure
        A pass waits until the token before it has been taken and the noise has begun anew.

    Resources
        Three multipliers for each of ``min(R, E)`` lanes.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.layouts = Layouts(config)
        self.elements = config.elements
        self.lanes = min(config.rows, config.elements)
        self.token_bits = config.token_bits
        super().__init__(
            {
                "i_logits": In(stream.Signature(self.layouts.logits)),
                "temperature": In(_TEMPERATURE_BITS),
                "seed": In(64),
                "load_seed": In(1),
                "draw": In(1),
                "state": Out(64, init=1),
                "o_token": Out(stream.Signature(self.layouts.token)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        lanes, parts = self.lanes, self.elements // self.lanes
        m.submodules.logits = logits = Queue(self.layouts.logits, 2)
        m.submodules.noise = noise = Noise(lanes)
        connect_stream(m, self.i_logits, logits.i)
        beat = logits.o.payload

        # A part of a beat goes on its way together with its noise.
        part = Signal(range(parts))
        final_part = part == parts - 1
        issue, load, done = Signal(), Signal(), Signal()
        flags = Signal(_FLAGS)
        m.d.sync += load.eq(self.load_seed)
        m.d.comb += [
            flags.valid.eq(issue),
            flags.first.eq(issue & beat.first & (part == 0)),
            flags.last.eq(issue & beat.last & final_part),
            noise.o.ready.eq(issue),
            logits.o.ready.eq(issue & final_part),
        ]
        with m.If(issue):
            m.d.sync += part.eq(part + 1)

        scores = self._scores(m, beat, part, noise.o.payload)
        score, lane = _largest(m, scores)
        finishing = done  # the last part is on its way, or its token has just been found
        for stage in range(_SCORE_LATENCY + exact_log2(lanes)):
            delayed = Signal(_FLAGS, name=f"flags_{stage + 1}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
            finishing |= flags.last
        self._keep_best(m, score, lane, flags, done)
        m.d.comb += issue.eq(
            logits.o.valid & noise.o.valid & ~load & ~finishing & ~self.o_token.valid
        )

        # The noise of a pass that has begun must stay.
        begun = Signal()
        with m.If(issue | done):
            m.d.sync += begun.eq(issue)
        m.d.comb += [
            noise.state.eq(self.state),
            noise.restart.eq(done | (load & ~begun)),
        ]
        with m.If(load):
            m.d.sync += self.state.eq(self.seed)
        with m.Elif(done & self.draw):
            m.d.sync += self.state.eq(next_draw(self.state))
        return m

    def _scores(self, m: Module, beat, part: Signal, noise) -> list[Signal]:
        """Scores of a part's elements, `_SCORE_LATENCY` clocks later: operands, product, sum."""
        scores = []
        for lane in range(self.lanes):

            def data(shape, name: str, lane: int = lane) -> Signal:
                return Signal(shape, name=f"{name}_{lane}", reset_less=True)

            logit = [data(signed(PRE_BITS), f"logit_{n}") for n in (1, 2)]
            exists = [data(1, f"exists_{n}") for n in (1, 2)]
            factor = data(signed(GUMBEL_BITS), "factor")
            product = data(signed(_SCORE_BITS), "product")
            score = data(signed(_SCORE_BITS), "score")
            elements = range(lane, self.elements, self.lanes)
            m.d.sync += [
                logit[0].eq(Array(beat.values[element] for element in elements)[part]),
                exists[0].eq(Array(beat.mask[element] for element in elements)[part]),
                factor.eq(noise[lane]),
                logit[1].eq(logit[0]),
                exists[1].eq(exists[0]),
                product.eq(factor * self.temperature),
                score.eq(Mux(exists[1], (logit[1] << GUMBEL_FRACTION) + product, _LOWEST)),
            ]
            scores.append(score)
        return scores

    def _keep_best(self, m: Module, score, lane, flags, done: Signal) -> None:
        """Compare each part's best with that of the pass; give the token after the last part."""
        best = Signal.like(score, reset_less=True)
        token = Signal(self.token_bits, reset_less=True)
        count, position = Signal(self.token_bits), Signal(self.token_bits)
        m.d.comb += position.eq(Mux(flags.first, 0, count))
        m.d.sync += done.eq(flags.last)
        with m.If(flags.valid):
            m.d.sync += count.eq(position + 1)
            with m.If(flags.first | (score > best)):
                m.d.sync += [best.eq(score), token.eq(Cat(lane, position))]
        with m.If(done):
            m.d.sync += [self.o_token.valid.eq(1), self.o_token.payload.eq(token)]
        with m.Elif(self.o_token.ready):
            m.d.sync += self.o_token.valid.eq(0)


def _largest(m: Module, scores: list[Signal]) -> tuple[Signal, Value]:
    """Find the largest score, the first of equals, and its number: one clock for each halving."""
    candidates: list[tuple[Signal, Value]] = [(score, Const(0, 0)) for score in scores]
    while len(candidates) > 1:
        winners = []
        for (left, left_number), (right, right_number) in zip(
            candidates[::2], candidates[1::2], strict=True
        ):
            number = Signal(len(left_number) + 1, reset_less=True)
            score = Signal.like(left, reset_less=True)
            greater = right > left
            m.d.sync += [
                score.eq(Mux(greater, right, left)),
                number.eq(Cat(Mux(greater, right_number, left_number), greater)),
            ]
            winners.append((score, number))
        candidates = winners
    return candidates[0]
