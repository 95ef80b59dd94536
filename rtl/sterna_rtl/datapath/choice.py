"""Choice: draws a token among the largest logits, and keeps these for the host."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import TEMPERATURE_BITS
from sterna.spec.tables import GUMBEL_FRACTION
from sterna_rtl.arith.gumbel import GUMBEL_BITS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import transfers

__all__ = ["Choice"]

_SCORE_BITS = GUMBEL_BITS + TEMPERATURE_BITS


class Choice(Component):
    """Find the largest score ``(logit << 12) + noise * temperature`` among the first candidates.

    Of equal scores the lowest token wins, as it does among all logits.

    Parameters
    ----------
    config : ChipConfig
        With `top_k` of 1 or more.

    Attributes
    ----------
    i : stream.Interface
        `top_k` candidates for each pass, from the largest logit on.
    temperature : Signal, in
    count : Signal, in
        Candidates to draw among. 0: no token is given. Both are held during a pass.
    o : stream.Interface
        A token for each pass.
    rank, ranked : in, out
        A place, 0 for the largest, and the candidate of the last pass there, on the same clock.

    Latency
        4 clocks from the last of the first `count` candidates to the token.

    Throughput
        1 candidate per clock.

    Backpressure
        The candidates of the next pass wait until the token has been taken.

    Resources
        A multiplier; alone, for 4 candidates on ECP5: 49 LUT4, 33 CCU2C, 7 DPR16X4, 158 FF.
    """

    def __init__(self, config: ChipConfig) -> None:
        layouts = Layouts(config)
        self.length = config.top_k
        self.token, self.ranked_shape = layouts.token, layouts.ranked
        super().__init__(
            {
                "i": In(stream.Signature(layouts.candidate)),
                "temperature": In(TEMPERATURE_BITS),
                "count": In(range(self.length + 1)),
                "o": Out(stream.Signature(self.token)),
                "rank": In(range(max(self.length, 2))),
                "ranked": Out(self.ranked_shape),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        candidate = self.i.payload
        place = Signal(range(self.length))
        deciding = Signal()  # the last pass's token is on its way or waits
        m.d.comb += self.i.ready.eq((place != 0) | ~deciding)
        with m.If(transfers(self.i)):
            m.d.sync += place.eq(Mux(candidate.last, 0, place + 1))
        self._keep(m, candidate, place)

        flags = Signal(StructLayout({"first": 1, "considered": 1, "decides": 1}))
        with m.If(transfers(self.i)):
            m.d.comb += [
                flags.first.eq(place == 0),
                flags.considered.eq(candidate.exists & (place < self.count)),
                flags.decides.eq((place + 1 == self.count) & (self.count != 0)),
            ]

        # Product, sum, comparison.
        product = Signal(signed(_SCORE_BITS))
        score, best = Signal.like(product), Signal.like(product)
        logits = [Signal.like(candidate.logit, name="logit_1")]
        tokens = [Signal(self.token, name=f"token_{stage}") for stage in (1, 2)]
        stages = [flags, Signal.like(flags, name="flags_1"), Signal.like(flags, name="flags_2")]
        m.d.sync += [
            product.eq(candidate.noise * self.temperature),
            logits[0].eq(candidate.logit),
            score.eq((logits[0] << GUMBEL_FRACTION) + product),
            tokens[0].eq(candidate.token),
            tokens[1].eq(tokens[0]),
            stages[1].eq(stages[0]),
            stages[2].eq(stages[1]),
        ]
        found = Signal()
        lower = (score == best) & (tokens[1] < self.o.payload)
        m.d.sync += found.eq(stages[2].decides)
        m.d.comb += deciding.eq(stages[1].decides | stages[2].decides | found | self.o.valid)
        with m.If(stages[2].considered & (stages[2].first | (score > best) | lower)):
            m.d.sync += [best.eq(score), self.o.payload.eq(tokens[1])]
        with m.If(found):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

    def _keep(self, m: Module, candidate, place: Signal) -> None:
        """What the host can read."""
        m.submodules.kept = kept = Memory(shape=self.ranked_shape, depth=self.length, init=[])
        write, read = kept.write_port(), kept.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(transfers(self.i)),
            write.addr.eq(place),
            *(write.data[name].eq(candidate[name]) for name in ("token", "logit", "exists")),
            read.addr.eq(self.rank),
            self.ranked.eq(read.data),
        ]
