"""Sampler: from logits to a token, argmax or a draw at a temperature."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout, View
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import LOG_PROBABILITY_BITS, LOG_SCALE_BITS, PRE_BITS, TEMPERATURE_BITS
from sterna.spec.tables import GUMBEL_FRACTION
from sterna_rtl.arith.gumbel import GUMBEL_BITS
from sterna_rtl.arith.largest import Largest
from sterna_rtl.arith.xorshift import leap, next_draw
from sterna_rtl.datapath.best import Best
from sterna_rtl.datapath.choice import Choice
from sterna_rtl.datapath.log_probability import LogProbability
from sterna_rtl.datapath.noise import Noise
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot, read_of_slot
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Sampler"]

_SCORE_BITS = GUMBEL_BITS + TEMPERATURE_BITS
_SCORE_LATENCY = 3
_LOWEST = -1 << (_SCORE_BITS - 1)
"""Below every score."""


class Sampler(Component):
    """Find the largest score ``(logit << 12) + noise * temperature``, the first of equals.

    The noise is Gumbel's, so that the winner is a sample of the softmax; see
    `sterna.golden.sampler`. With temperature 0 it is the largest logit. No logit is kept: each is
    compared with the best so far as it comes.

    Each slot has a draw generator, a place in its noise and a best score of its own, so that slots
    may take turns within a vocabulary whose matrix is cut.

    Two parts are there only if the configuration says so, which has one slot then. With `top_k` the
    largest score among so many of the largest logits wins: `Best` finds these, `Choice` draws among
    them. `LogProbability` works beside.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_job : stream.Interface
        `Layouts.sampler_job`, for each segment of logits.
    i_logits : stream.Interface
        The logits of segment after segment.
    temperature : Signal, in
        For each slot: temperature times 2**(fraction bits of the logits); held during a pass.
    seed : Signal, in
        Not 0; taken on the clock after `load_seed`.
    load_seed : Signal, in
        Strobe for each slot: its `state` becomes `seed`. A draw that has begun keeps its noise.
    draw : Signal, in
        For each slot, held during a pass: the draw generator steps at its end. The token comes in
        any case.
    state : View, out
        Each slot's state of the draw generator.
    top_k : Signal, in
        Draw among so many; 0 among all. Held during a pass. Only if the configuration has it, as
        the next two.
    rank, ranked : in, out
        See `Choice`.
    busy : Signal, out
        The largest logits are being found, maybe after the token has been given.
    target, scale : in
    o_log_probability : stream.Interface
        See `LogProbability`; only if the configuration has it.
    o_token : stream.Interface
        One token for each slot of a pass, and its slot.

    Latency
        From the last beat to the token: 5 clocks, one for each halving of the lanes and one for
        each part of a beat. With `top_k` 3 more, and 2 and one for each halving of the lanes for
        each of the candidates drawn among.

    Throughput
        ``min(R, E)`` elements per clock, which is what the engine gives: a beat of E is taken in
        parts.

    Backpressure
        A segment waits until the token before it has been taken and the noise has begun anew.

    Resources
        Three multipliers for each of ``min(R, E)`` lanes.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.layouts = Layouts(config)
        self.elements = config.elements
        self.lanes = min(config.rows, config.elements)
        self.token_bits = config.token_bits
        self.slots = config.slots
        slot = self.layouts.slot
        self.token = StructLayout({"token": self.layouts.token, "slot": slot})
        self.flags = StructLayout({"valid": 1, "first": 1, "last": 1, "end": 1, "slot": slot})
        self.best = Best(config) if config.top_k else None
        self.choice = Choice(config) if config.top_k else None
        among_best = {
            "top_k": In(range(config.top_k + 1)),
            "rank": In(range(max(config.top_k, 2))),
            "ranked": Out(self.layouts.ranked),
        }
        self.log_probability = LogProbability(config) if config.log_probability else None
        log_probability = {
            "target": In(self.layouts.target),
            "scale": In(LOG_SCALE_BITS),
            "o_log_probability": Out(stream.Signature(signed(LOG_PROBABILITY_BITS))),
        }
        super().__init__(
            {
                **(among_best if config.top_k else {}),
                **(log_probability if config.log_probability else {}),
                "busy": Out(1),
                "i_job": In(stream.Signature(self.layouts.sampler_job)),
                "i_logits": In(stream.Signature(self.layouts.logits)),
                "temperature": In(ArrayLayout(TEMPERATURE_BITS, self.slots)),
                "seed": In(64),
                "load_seed": In(self.slots),
                "draw": In(self.slots),
                "state": Out(ArrayLayout(64, self.slots), init=[1] * self.slots),
                "o_token": Out(stream.Signature(self.token)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        lanes, parts = self.lanes, self.elements // self.lanes
        m.submodules.logits = logits = Queue(self.layouts.logits, 2)
        m.submodules.noise = noise = Noise(lanes)
        connect_stream(m, self.i_logits, logits.i)
        beat = logits.o.payload
        self._loaded = Signal(self.slots)  # seeds are taken on this clock
        self._gives = Signal()  # the output is loaded on this clock

        # A part of a beat goes on its way together with its noise.
        number = Signal(range(parts))
        final = number == parts - 1
        part = Signal(self.layouts.part)
        for lane in range(lanes):
            elements = range(lane, self.elements, lanes)
            m.d.comb += [
                part.values[lane].eq(Array(beat.values[element] for element in elements)[number]),
                part.mask[lane].eq(Array(beat.mask[element] for element in elements)[number]),
            ]
        issue, done = Signal(), Signal()
        slot, working = self._segments(m, noise, issue, done)
        flags, ends = Signal(self.flags), Signal()
        m.d.comb += [
            ends.eq(issue & beat.end & final),
            flags.valid.eq(issue),
            part.noise.eq(noise.o.payload),
            part.last.eq(beat.last & final),
            flags.first.eq(issue & beat.first & (number == 0)),
            flags.last.eq(ends & beat.last),
            flags.end.eq(ends),
            flags.slot.eq(slot),
            noise.o.ready.eq(issue),
            logits.o.ready.eq(issue & final),
        ]
        with m.If(issue):
            m.d.sync += number.eq(number + 1)

        m.submodules.largest = largest = Largest(signed(_SCORE_BITS), lanes)
        for lane, score in enumerate(self._scores(m, part, of_slot(self.temperature, slot))):
            m.d.comb += largest.values[lane].eq(score)
        finishing = done | flags.end  # the last part goes or is on its way, or was just compared
        for stage in range(_SCORE_LATENCY + largest.latency):
            delayed = Signal(self.flags, name=f"flags_{stage + 1}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
            finishing |= flags.end
        token, ended = self._keep_best(m, largest, flags, done)
        ready = [Const(1)]  # of the units that take the parts too
        if self.best is None:
            self._give(m, token, ended)
        else:
            self._among_best(m, part, issue, token, ended)
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
        # What says no for many clocks is looked at a clock before: `issue` has wide loads.
        may = Signal()
        m.d.sync += may.eq(working & ~finishing & ~self.o_token.valid & ~self._gives)
        m.d.comb += issue.eq(may & logits.o.valid & noise.o.valid & Cat(ready).all())
        return m

    def _segments(self, m: Module, noise: Noise, issue: Signal, done: Signal):
        """Follow the jobs: whose logits come, and at which element the noise begins.

        Return the slot and whether its noise is that of `state`, on this clock and the next.
        """
        slot, working, begun = Signal(self.layouts.slot), Signal(), Signal()
        load = self._loaded
        loads = of_slot(load, slot)
        places = Signal(ArrayLayout(64, self.slots))  # state of the slot's next element
        m.d.sync += load.eq(self.load_seed)
        m.d.comb += self.i_job.ready.eq(~working)
        # A segment that is not the first goes on where the slot's noise was.
        starts = Signal()  # the slot's draw begins with this clock's state
        m.d.sync += starts.eq(0)
        with m.If(transfers(self.i_job)):
            m.d.sync += [
                slot.eq(self.i_job.payload.slot),
                working.eq(1),
                begun.eq(~self.i_job.payload.first),
                starts.eq(self.i_job.payload.first),
            ]
        with m.If(loads & working & ~begun & ~issue):
            m.d.sync += starts.eq(1)
        place = read_of_slot(m, places, slot, "place")
        state = read_of_slot(m, self.state, slot, "slot_state")
        with m.If(issue):
            m.d.sync += [begun.eq(1), of_slot(places, slot).eq(leap(place, self.lanes))]
        with m.If(starts):
            m.d.sync += of_slot(places, slot).eq(leap(state, 1))
        m.d.comb += [
            noise.state.eq(place),
            noise.restart.eq(starts | transfers(self.i_job)),
        ]
        with m.If(done):
            m.d.sync += working.eq(0)
        will_load = of_slot(self.load_seed, slot)
        return slot, working & ~starts & ~((loads | will_load) & ~begun)

    def _scores(self, m: Module, part, temperature: Value) -> list[Signal]:
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
            m.d.sync += [
                logit[0].eq(part.values[lane]),
                exists[0].eq(part.mask[lane]),
                factor.eq(part.noise[lane]),
                logit[1].eq(logit[0]),
                exists[1].eq(exists[0]),
                product.eq(factor * temperature),
                score.eq(Mux(exists[1], (logit[1] << GUMBEL_FRACTION) + product, _LOWEST)),
            ]
            scores.append(score)
        return scores

    def _keep_best(self, m: Module, largest: Largest, flags, done: Signal) -> tuple[View, Signal]:
        """Compare each part's best with that of the slot.

        Return the slot's token, and whether that was its last part.
        """
        score = largest.value
        position_bits = max(self.token_bits - exact_log2(self.lanes), 1)
        lead = StructLayout(
            {"score": signed(_SCORE_BITS), "token": self.token_bits, "count": position_bits}
        )
        leads = Signal(ArrayLayout(lead, self.slots))
        best, position = of_slot(leads, flags.slot), Signal(position_bits)
        ended, slot = Signal(), Signal(self.layouts.slot)
        m.d.comb += position.eq(Mux(flags.first, 0, best.count))
        m.d.sync += [done.eq(flags.end), ended.eq(flags.last), slot.eq(flags.slot)]
        with m.If(flags.valid):
            m.d.sync += best.count.eq(position + 1)
            with m.If(flags.first | (score > best.score)):
                m.d.sync += [best.score.eq(score), best.token.eq(Cat(largest.number, position))]
        token = Signal(self.token)
        m.d.comb += [token.token.eq(of_slot(leads, slot).token), token.slot.eq(slot)]
        for number, state in enumerate(self.state):
            with m.If(self._loaded[number]):
                m.d.sync += state.eq(self.seed)
            with m.Elif(ended & (slot == number) & self.draw[number]):
                m.d.sync += state.eq(next_draw(state))
        return token, ended

    def _give(self, m: Module, token: View, found: Value) -> None:
        """Load the output."""
        m.d.comb += self._gives.eq(found)
        with m.If(found):
            m.d.sync += [self.o_token.valid.eq(1), self.o_token.payload.eq(token)]
        with m.Elif(self.o_token.ready):
            m.d.sync += self.o_token.valid.eq(0)

    def _among_best(self, m: Module, part, issue: Signal, token: View, ended: Signal) -> None:
        """Take the token from the largest logits if `top_k` says so."""
        m.submodules.best, m.submodules.choice = best, choice = self.best, self.choice
        connect_stream(m, best.o, choice.i)
        m.d.comb += [
            best.i.payload.eq(part),
            best.i.valid.eq(issue),
            choice.temperature.eq(self.temperature[0]),
            choice.count.eq(self.top_k),
            choice.rank.eq(self.rank),
            self.ranked.eq(choice.ranked),
            self.busy.eq(~best.i.ready | best.o.valid),
            choice.o.ready.eq(~self.o_token.valid),
        ]
        chosen, given = transfers(choice.o), Signal(self.token)
        m.d.comb += given.token.eq(Mux(chosen, choice.o.payload, token.token))
        self._give(m, given, chosen | (ended & (self.top_k == 0)))
