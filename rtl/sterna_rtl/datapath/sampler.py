"""Sampler: from logits to a token, argmax or a draw at a temperature."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import LOG_PROBABILITY_BITS, LOG_SCALE_BITS, PRE_BITS, TEMPERATURE_BITS
from sterna.spec.tables import GUMBEL_FRACTION
from sterna_rtl.arith.gumbel import GUMBEL_BITS
from sterna_rtl.arith.largest import Largest
from sterna_rtl.arith.xorshift import next_draw
from sterna_rtl.datapath.best import Best
from sterna_rtl.datapath.choice import Choice
from sterna_rtl.datapath.log_probability import LogProbability
from sterna_rtl.datapath.noise import Noise
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream

__all__ = ["Sampler"]

_SCORE_BITS = GUMBEL_BITS + TEMPERATURE_BITS
_SCORE_LATENCY = 3
_FLAGS = StructLayout({"valid": 1, "first": 1, "last": 1})
_LOWEST = -1 << (_SCORE_BITS - 1)
"""Below every score."""


class Sampler(Component):
    """Find the largest score ``(logit << 12) + noise * temperature``, the first of equals.

    The noise is Gumbel's, so that the winner is a sample of the softmax; see
    `sterna.golden.sampler`. With temperature 0 it is the largest logit. No logit is kept: each is
    compared with the best so far as it comes.

    With `top_k` the largest score among so many of the largest logits wins, if the chip's
    configuration has them: `Best` finds these logits, `Choice` draws among them. `LogProbability`
    is a part that can be left out too.

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
    top_k : Signal, in
        Draw among so many; 0 among all. Held during a pass. Only if the configuration has it, as
        the next two.
    rank, ranked : in, out
        See `Choice`.
    target, scale : in
    o_log_probability : stream.Interface
        See `LogProbability`; only if the configuration has it.
    busy : Signal, out
        The largest logits are being found, maybe after the token has been given.
    o_token : stream.Interface
        One token for each pass.

    Latency
        From the last beat to the token: 5 clocks, one for each halving of the lanes and one for
        each part of a beat. With `top_k` 3 more, and 2 and one for each halving of the lanes for
        each of the candidates drawn among.

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
        among_best = {
            "top_k": In(range(config.top_k + 1)),
            "rank": In(range(max(config.top_k, 2))),
            "ranked": Out(self.layouts.ranked),
        }
        self.best = Best(config) if config.top_k else None
        self.choice = Choice(config) if config.top_k else None
        log_probability = {
            "target": In(self.layouts.target),
            "scale": In(LOG_SCALE_BITS),
            "o_log_probability": Out(stream.Signature(signed(LOG_PROBABILITY_BITS))),
        }
        self.log_probability = LogProbability(config) if config.log_probability else None
        super().__init__(
            {
                "i_logits": In(stream.Signature(self.layouts.logits)),
                **(among_best if config.top_k else {}),
                **(log_probability if config.log_probability else {}),
                "temperature": In(TEMPERATURE_BITS),
                "seed": In(64),
                "load_seed": In(1),
                "draw": In(1),
                "state": Out(64, init=1),
                "busy": Out(1),
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
        number = Signal(range(parts))
        final = number == parts - 1
        issue, load, done = Signal(), Signal(), Signal()
        ready = [Const(1)]  # of the units that take the parts too
        part = Signal(self.layouts.part)
        flags = Signal(_FLAGS)
        m.d.sync += load.eq(self.load_seed)
        for lane in range(lanes):
            elements = range(lane, self.elements, lanes)
            m.d.comb += [
                part.values[lane].eq(Array(beat.values[element] for element in elements)[number]),
                part.mask[lane].eq(Array(beat.mask[element] for element in elements)[number]),
            ]
        m.d.comb += [
            part.noise.eq(noise.o.payload),
            part.last.eq(beat.last & final),
            flags.valid.eq(issue),
            flags.first.eq(issue & beat.first & (number == 0)),
            flags.last.eq(issue & part.last),
            noise.o.ready.eq(issue),
            logits.o.ready.eq(issue & final),
        ]
        with m.If(issue):
            m.d.sync += number.eq(number + 1)

        m.submodules.largest = largest = Largest(signed(_SCORE_BITS), lanes)
        for lane, score in enumerate(self._scores(m, part)):
            m.d.comb += largest.values[lane].eq(score)
        finishing = done  # the last part is on its way, or its token has just been found
        for stage in range(_SCORE_LATENCY + largest.latency):
            delayed = Signal(_FLAGS, name=f"flags_{stage + 1}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
            finishing |= flags.last
        token = Signal(self.token_bits)
        self._keep_best(m, largest, token, flags, done)
        if self.best is None:
            self._give(m, token, done)
        else:
            self._among_best(m, part, issue, token, done)
            ready.append(self.best.i.ready)
        if self.log_probability is not None:
            m.submodules.log_probability = log_probability = self.log_probability
            connect_stream(m, log_probability.o, self.o_log_probability)
            m.d.comb += [
                log_probability.i.payload.eq(part),
                log_probability.i.valid.eq(issue),
                log_probability.target.eq(self.target),
                log_probability.scale.eq(self.scale),
            ]
            ready.append(log_probability.i.ready)
        m.d.comb += issue.eq(
            logits.o.valid
            & noise.o.valid
            & Cat(ready).all()
            & ~load
            & ~finishing
            & ~self.o_token.valid
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

    def _scores(self, m: Module, part) -> list[Signal]:
        """Scores of a part's elements, `_SCORE_LATENCY` clocks later: operands, product, sum."""
        scores = []
        for lane in range(self.lanes):
            logit = [Signal(signed(PRE_BITS), name=f"logit_{lane}_{n}") for n in (1, 2)]
            exists = [Signal(name=f"exists_{lane}_{n}") for n in (1, 2)]
            factor = Signal(signed(GUMBEL_BITS), name=f"factor_{lane}")
            product = Signal(signed(_SCORE_BITS), name=f"product_{lane}")
            score = Signal(signed(_SCORE_BITS), name=f"score_{lane}")
            m.d.sync += [
                logit[0].eq(part.values[lane]),
                exists[0].eq(part.mask[lane]),
                factor.eq(part.noise[lane]),
                logit[1].eq(logit[0]),
                exists[1].eq(exists[0]),
                product.eq(factor * self.temperature),
                score.eq(Mux(exists[1], (logit[1] << GUMBEL_FRACTION) + product, _LOWEST)),
            ]
            scores.append(score)
        return scores

    def _keep_best(self, m: Module, largest: Largest, token: Signal, flags, done: Signal) -> None:
        """Compare each part's best with that of the pass; `done` after the last part."""
        best = Signal.like(largest.value)
        count, position = Signal(self.token_bits), Signal(self.token_bits)
        m.d.comb += position.eq(Mux(flags.first, 0, count))
        m.d.sync += done.eq(flags.last)
        with m.If(flags.valid):
            m.d.sync += count.eq(position + 1)
            with m.If(flags.first | (largest.value > best)):
                m.d.sync += [best.eq(largest.value), token.eq(Cat(largest.number, position))]

    def _give(self, m: Module, token: Signal, found: Value) -> None:
        """Load the output."""
        with m.If(found):
            m.d.sync += [self.o_token.valid.eq(1), self.o_token.payload.eq(token)]
        with m.Elif(self.o_token.ready):
            m.d.sync += self.o_token.valid.eq(0)

    def _among_best(self, m: Module, part, issue: Signal, token: Signal, done: Signal) -> None:
        """Take the token from the largest logits if `top_k` says so."""
        m.submodules.best, m.submodules.choice = best, choice = self.best, self.choice
        connect_stream(m, best.o, choice.i)
        m.d.comb += [
            best.i.payload.eq(part),
            best.i.valid.eq(issue),
            choice.temperature.eq(self.temperature),
            choice.count.eq(self.top_k),
            choice.rank.eq(self.rank),
            self.ranked.eq(choice.ranked),
            self.busy.eq(~best.i.ready | best.o.valid),
            choice.o.ready.eq(~self.o_token.valid),
        ]
        chosen = choice.o.valid & choice.o.ready
        self._give(m, Mux(chosen, choice.o.payload, token), chosen | (done & (self.top_k == 0)))
