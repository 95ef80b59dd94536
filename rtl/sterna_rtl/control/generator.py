"""Generator: decides which tokens the chip steps next, the host's or its own."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.registers import STOPS
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Generator"]

_QUEUE = 16


class Generator(Component):
    """Feed prompt tokens and then, without the host, the tokens that the chip draws.

    A pass steps one token in each slot that takes part. Those are the slots that generate, and the
    next tokens from the host up to one without `more`, once all of these are there and their first
    one's slot doesn't generate; the host sees to it that the slots of one pass differ.

    A token with `draw` begins a generation: the token drawn after its pass is given to the host and
    stepped in its turn, and so on, until `count` tokens have been drawn, one of them is a stop
    token, or `abort` has been seen. The last one is marked and not stepped.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_token : stream.Interface
        Tokens from the host, 16 of them wait here: the slot, the slot whose state it goes on from,
        and if the pass has `more`. The tokens drawn after those without `draw` are dropped.
    count : Signal, in
        For each slot: tokens to draw, taken when the token with `draw` is; 0 counts as 1.
    stop : View, in
        Stop tokens.
    abort : Signal, in
        Strobe for each slot: its generation, or its first one that waits behind prompt tokens, ends
        with its next token. Nothing if the generator is not busy.
    o_pass : stream.Interface
        `Layouts.pass_`, one for each pass; with one slot always the same and always valid. Sources
        of slots that take no part are anything.
    o_token : stream.Interface
        Tokens to step, those of a pass in the order of their slots. Registered.
    i_sampled : stream.Interface
        One token for each slot of a pass, at its end.
    draw : Signal, out
        For each slot: high during passes whose token counts, from `o_token` to `i_sampled`.
    target : View, out
        Held during each pass: what came with its token; none with tokens of the chip's own. Only
        if the configuration has log-probabilities.
    o_generated : stream.Interface
        Tokens drawn; 16 wait here, and the next pass does not begin if there are more.
    busy : Signal, out
        A pass is in progress or a token waits to be stepped.
    tokens : Signal, out
        High for one clock after each token stepped.

    Latency
        From a pass's last `i_sampled` to `o_token` 3 clocks, to `o_generated` 2 clocks; from
        `i_token` to `o_token` 5 clocks, and two more for each further token of the pass.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.slots = config.slots
        self.layouts = layouts = Layouts(config)
        self.token = layouts.token
        self.prompt = layouts.prompt
        self.targets = config.log_probability
        self.generated = StructLayout({"token": self.token, "slot": layouts.slot, "last": 1})
        self.sampled = StructLayout({"token": self.token, "slot": layouts.slot})
        stop = StructLayout({"token": self.token, "valid": 1})
        super().__init__(
            {
                "i_token": In(stream.Signature(self.prompt)),
                "count": In(ArrayLayout(16, self.slots)),
                "stop": In(ArrayLayout(stop, STOPS)),
                "abort": In(self.slots),
                "o_pass": Out(stream.Signature(layouts.pass_)),
                "o_token": Out(stream.Signature(self.token)),
                "i_sampled": In(stream.Signature(self.sampled)),
                "draw": Out(self.slots),
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
        entry = prompt.o.payload

        # Tokens that are stepped, then those drawn; tokens to draw, the next one included.
        tokens = Signal(ArrayLayout(self.token, self.slots))
        left = Signal(ArrayLayout(16, self.slots))
        aborted, members, todo = (
            Signal(self.slots, name=n) for n in ("aborted", "members", "todo")
        )
        slot, lowest = Signal(self.layouts.slot), Signal(self.layouts.slot)
        for number in reversed(range(self.slots)):
            with m.If(todo[number]):
                m.d.comb += lowest.eq(number)
        m.d.sync += self.tokens.eq(transfers(self.i_sampled))

        # Whole groups of tokens of one pass that wait; a group is being taken.
        groups, joining = Signal(range(_QUEUE + 1)), Signal()
        pushed = Signal()  # on the clock before
        m.d.sync += pushed.eq(transfers(prompt.i) & ~prompt.i.payload.more)
        popped = transfers(prompt.o) & ~entry.more
        m.d.sync += groups.eq(groups + pushed - popped)
        drawing, ended = Signal(self.slots), Signal(self.slots)  # draw after this clock
        m.d.comb += drawing.eq(self.draw & ~ended)
        waits = groups != 0
        joins = waits & ~of_slot(self.draw, entry.slot)

        result = generated.i.payload
        sampled = self.i_sampled.payload
        stops = Cat(stop.valid & (stop.token == sampled.token) for stop in self.stop).any()
        final = Signal()  # the token drawn is the last one, unless it is aborted anyway
        aborts = of_slot(aborted | self.abort, slot)
        m.d.comb += [
            result.token.eq(of_slot(tokens, slot)),
            result.slot.eq(slot),
            result.last.eq(final | aborts),
        ]

        idle, told = Signal(), Signal()  # told: the pass has been announced
        m.d.comb += self.o_pass.payload.active.eq(members)
        with m.If(self.o_token.ready):
            m.d.sync += self.o_token.valid.eq(0)
        with m.FSM(name="generator"):
            with m.State("IDLE"):
                m.d.comb += idle.eq(~self.draw.any() & ~joining)
                m.d.comb += prompt.o.ready.eq(joins | joining)
                with m.If(transfers(prompt.o)):
                    m.d.sync += [
                        of_slot(tokens, entry.slot).eq(entry.token),
                        of_slot(left, entry.slot).eq(of_slot(self.count, entry.slot)),
                        of_slot(self.o_pass.payload.sources, entry.slot).eq(entry.source),
                        of_slot(self.draw, entry.slot).eq(entry.draw),
                        of_slot(members, entry.slot).eq(1),
                        of_slot(todo, entry.slot).eq(1),
                        joining.eq(entry.more),
                    ]
                    if self.targets:
                        m.d.sync += self.target.eq(entry.target)
                with m.If(Mux(joins | joining, popped, self.draw.any())):
                    m.next = "FEED"
            with m.State("FEED"):
                # `ready` goes no further than `valid`.
                others = todo & (todo - 1)
                with m.If(~self.o_token.valid):
                    m.d.sync += self.o_token.payload.eq(of_slot(tokens, lowest))
                    m.d.sync += [self.o_token.valid.eq(todo.any()), todo.eq(others)]
                m.d.comb += self.o_pass.valid.eq(~told)
                m.d.sync += told.eq(told | self.o_pass.ready)
                fed = ~Mux(self.o_token.valid, todo, others).any()
                with m.If((told | self.o_pass.ready | (self.slots == 1)) & fed):
                    m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += self.i_sampled.ready.eq(~self.o_token.valid)
                m.d.sync += told.eq(0)
                m.d.sync += slot.eq(sampled.slot)
                m.d.sync += final.eq((of_slot(left, sampled.slot) <= 1) | stops)
                with m.If(transfers(self.i_sampled)):
                    if self.targets:
                        m.d.sync += self.target.valid.eq(0)
                    m.d.sync += of_slot(members, sampled.slot).eq(0)
                    with m.If(of_slot(self.draw, sampled.slot)):
                        m.d.sync += of_slot(tokens, sampled.slot).eq(sampled.token)
                        m.next = "DRAWN"
                    with m.Elif(~(members & (members - 1)).any()):
                        m.d.sync += [members.eq(self.draw), todo.eq(self.draw)]
                        m.next = "IDLE"
            with m.State("DRAWN"):
                m.d.comb += generated.i.valid.eq(1)
                with m.If(generated.i.ready):
                    m.d.sync += of_slot(left, slot).eq(of_slot(left, slot) - 1)
                    m.d.sync += of_slot(self.o_pass.payload.sources, slot).eq(slot)
                    m.d.comb += of_slot(ended, slot).eq(result.last)
                    m.d.sync += self.draw.eq(drawing)
                    m.next = "PASS"
                    with m.If(~members.any()):
                        m.d.sync += [members.eq(drawing), todo.eq(drawing)]
                        m.next = "IDLE"
                        with m.If(drawing.any() & ~(waits & ~of_slot(drawing, entry.slot))):
                            m.next = "FEED"

        if self.slots == 1:
            # All passes are alike: the sequencer need not wait for one to begin, nor we for it.
            m.d.comb += [self.o_pass.payload.active.eq(1), self.o_pass.valid.eq(1)]
        m.d.comb += self.busy.eq(~idle | prompt.o.valid)
        m.d.sync += aborted.eq((aborted | self.abort) & self.busy.replicate(self.slots) & ~ended)
        return m
