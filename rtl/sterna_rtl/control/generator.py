"""Generator: decides which token the chip steps next, the host's or its own."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.registers import STOPS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Generator"]

_QUEUE = 16


class Generator(Component):
    """Feed prompt tokens and then, without the host, the tokens that the chip draws.

    A token with `draw` begins a generation: the token drawn after its pass is given to the host and
    stepped in its turn, and so on, until `count` tokens have been drawn, one of them is a stop
    token, or `abort` has been seen. The last one is marked and not stepped.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_token : stream.Interface
        Tokens from the host, 16 of them wait here. The tokens drawn after those without `draw` are
        dropped.
    count : Signal, in
        Tokens to draw, taken when the token with `draw` is; 0 counts as 1.
    stop : View, in
        Stop tokens.
    abort : Signal, in
        Strobe: the generation in progress, or the first one that waits behind prompt tokens, ends
        with its next token. Nothing if the generator is not busy.
    o_token : stream.Interface
        Tokens to step.
    i_sampled : stream.Interface
        One token for each pass, at its end.
    draw : Signal, out
        High during passes whose token counts, from `o_token` to `i_sampled`.
    target : View, out
        Held during each pass: what came with its token; none with tokens of the chip's own. Only
        if the configuration has log-probabilities.
    o_generated : stream.Interface
        Tokens drawn; 16 wait here, and the next pass does not begin if there are more.
    busy : Signal, out
        A pass is in progress or a token waits to be stepped.
    tokens : Signal, out
        High for one clock after each pass.

    Latency
        From `i_sampled` to `o_token` 2 clocks, to `o_generated` 2 clocks; from `i_token` to
        `o_token` 2 clocks.
    """

    def __init__(self, config: ChipConfig) -> None:
        layouts = Layouts(config)
        self.token, self.prompt = layouts.token, layouts.prompt
        self.targets = config.log_probability
        self.generated = StructLayout({"token": self.token, "last": 1})
        stop = StructLayout({"token": self.token, "valid": 1})
        super().__init__(
            {
                "i_token": In(stream.Signature(self.prompt)),
                "count": In(16),
                "stop": In(ArrayLayout(stop, STOPS)),
                "abort": In(1),
                "o_token": Out(stream.Signature(self.token)),
                "i_sampled": In(stream.Signature(self.token)),
                "draw": Out(1),
                **({"target": Out(layouts.target)} if self.targets else {}),
                "o_generated": Out(stream.Signature(self.generated)),
                "busy": Out(1),
                "tokens": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.prompt = prompt = Queue(self.prompt, _QUEUE)
        m.submodules.generated = generated = Queue(self.generated, _QUEUE)
        connect_stream(m, self.i_token, prompt.i)
        connect_stream(m, generated.o, self.o_generated)

        token = Signal(self.token)  # the token that is stepped, then the one drawn
        left = Signal(16)  # tokens to draw, the next one included
        aborted = Signal()
        m.d.comb += self.o_token.payload.eq(token)
        m.d.sync += self.tokens.eq(transfers(self.i_sampled))

        result = generated.i.payload
        stopped = Cat(stop.valid & (stop.token == token) for stop in self.stop).any()
        m.d.comb += result.token.eq(token)
        m.d.comb += result.last.eq((left <= 1) | stopped | aborted | self.abort)

        idle = Signal()
        with m.FSM(name="generator"):
            with m.State("IDLE"):
                m.d.comb += [idle.eq(1), prompt.o.ready.eq(1)]
                with m.If(prompt.o.valid):
                    m.d.sync += [
                        token.eq(prompt.o.payload.token),
                        self.draw.eq(prompt.o.payload.draw),
                        left.eq(self.count),
                    ]
                    if self.targets:
                        m.d.sync += self.target.eq(prompt.o.payload.target)
                    m.next = "FEED"
            with m.State("FEED"):
                m.d.comb += self.o_token.valid.eq(1)
                with m.If(self.o_token.ready):
                    m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += self.i_sampled.ready.eq(1)
                with m.If(self.i_sampled.valid):
                    if self.targets:
                        m.d.sync += self.target.valid.eq(0)
                    with m.If(self.draw):
                        m.d.sync += token.eq(self.i_sampled.payload)
                        m.next = "DRAWN"
                    with m.Else():
                        m.next = "IDLE"
            with m.State("DRAWN"):
                m.d.comb += generated.i.valid.eq(1)
                with m.If(generated.i.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(result.last):
                        m.d.sync += self.draw.eq(0)
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "FEED"

        m.d.comb += self.busy.eq(~idle | prompt.o.valid)
        ended = transfers(generated.i) & result.last
        m.d.sync += aborted.eq((aborted | self.abort) & self.busy & ~ended)
        return m
