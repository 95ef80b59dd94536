"""Sequencer: reads headers off the tape, hands out jobs, passes weight words on."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.hdl import Assert
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Stats
from sterna.spec.tape import (
    HEADER_BITS,
    HEADER_MAGIC,
    header_words,
    headers_in_word,
    sum_turn,
)
from sterna_rtl.layouts import HEADER, Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["FAULTS", "Sequencer"]

FAULTS = StructLayout({"header": 1, "checksum": 1})
"""A header whose words do not sum up to the magic, or with an unknown operation; words that do not
match their checksum."""

_PASSED = StructLayout({"word": 1, "end": 1, "header": 1, "final": 1})
"""Whether a word passed, the last one of a time, a header's, the last one of the last time."""

_CHECK = StructLayout({"checksum": 32, "number": 16})
"""What the words of a segment must fold to, and the segment's number in its pass."""


class Sequencer(Component):
    """Walk the tape.

    Headers run one segment ahead of their words (see `sterna.spec.tape`): while the words of one
    segment pass, the jobs of the next already wait in each unit's queue. Each slot of the pass gets
    a job of its own, one after the other in the order of their numbers, and then the words, which
    pass as often. What a word is stands in its tag, for it comes as it was asked for: so nothing
    here decides about a word on the clock on which it passes. A header waits until the one before
    has been checked and handed out and what follows it has been asked for, six clocks and one for
    each slot more than the first; EMBED, without words, five. One that shares a word with the one
    before moves to its place then, once the words of the segment before that have passed.

    Words that should be a header and are not one stop the sequencer, after the words of the segment
    before them, until it is reset: nothing that follows can be trusted. No unit gets a job from
    them. A wrong checksum of other words is noted and the pass goes on.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i, o : stream.Interface
        `Layouts.tape_word` in, weight words out. Combinational: the reader before and the engine
        after it have registers.
    o_play : stream.Interface
        Which words are to come next on `i`, and how often (`Layouts.play`): asked for at least a
        segment ahead.
    i_pass : stream.Interface
        `Layouts.pass_`: taken when EMBED's jobs are given out.
    o_quantizer, o_engine, o_epilogue, o_embedding, o_sampler : stream.Interface
        Jobs, in tape order. EMBED goes to epilogue and embedding, all else to all but embedding,
        LOGITS to the sampler too.
    faults : View, out
        `FAULTS`, sticky.
    fault_segment : Signal, out
        Number in its pass of the segment in which the first fault was seen.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.tape_word)),
                "o": Out(stream.Signature(layouts.word)),
                "o_play": Out(stream.Signature(layouts.play)),
                "i_pass": In(stream.Signature(layouts.pass_)),
                "o_quantizer": Out(stream.Signature(layouts.quantizer_job)),
                "o_engine": Out(stream.Signature(layouts.engine_job)),
                "o_epilogue": Out(stream.Signature(layouts.epilogue_job)),
                "o_embedding": Out(stream.Signature(layouts.embedding_job)),
                "o_sampler": Out(stream.Signature(layouts.sampler_job)),
                "faults": Out(FAULTS),
                "fault_segment": Out(16),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        width = self.config.word_bits
        count, shared = header_words(width), headers_in_word(width)
        raw = Signal(count * width if shared == 1 else shared * HEADER_BITS, reset_less=True)
        header = HEADER(raw[: HEADER.as_shape().width])
        full = Signal()  # the header in `raw` has not been handed out yet
        good, new = Signal(), Signal()  # ... and is one; the first clock of that
        active = Signal(self.config.slots)

        # Whether a header may come is known a clock before, as it is what the tape waits for.
        tag, free = self.i.payload.tag, Signal()
        takes = self.i.valid & tag.header & free
        m.d.sync += free.eq(~full & ~self.o_play.valid & ~(takes & tag.end))
        m.d.comb += [
            self.i.ready.eq(Mux(tag.header, free, self.o.ready)),
            self.o.valid.eq(self.i.valid & ~tag.header),
            self.o.payload.eq(self.i.payload.word),
        ]
        with m.If(takes):
            m.d.sync += full.eq(tag.end)
        # A header of one word is what came last while there was room: so wide an enable hears
        # nothing of what comes.
        with m.If(free if count == 1 else takes):
            m.d.sync += raw.eq(Cat(raw, self.i.payload.word)[min(width, len(raw)) :])

        more, moved = Signal(), Signal()  # the word has a next header; that one is in its place
        came = self._check(m, header, good, new, moved)
        self._ask(m, header, new, more, active)
        done = self._hand_out(m, platform, header, good, active)
        with m.If(done):
            m.d.sync += [full.eq(more), good.eq(0)]
        if shared > 1:
            moves = self._share(m, header.last, shared, done, more)
            m.d.sync += moved.eq(moves)
            with m.If(moves):
                m.d.sync += raw.eq(raw >> HEADER_BITS)
        if platform == "formal":
            idle = ~self.o_play.valid
            m.d.comb += Assert(~came | (full & ~good & idle), "a header before there is room")
            m.d.comb += Assert(~new | (good & idle), "words of two headers at a time")
            m.d.comb += Assert(~good | full)
        return m

    def _share(self, m: Module, last: Value, shared: int, done: Value, more: Signal) -> Value:
        """Return whether the word's next header moves to the place of the one that is done with.

        As all headers run one segment ahead, the words of the segment before must have passed.
        """
        place, waits = Signal(range(shared)), Signal()
        m.d.comb += more.eq((place != shared - 1) & ~last)
        moves = waits & ~self.o_play.valid & m.submodules.checks.i.ready
        with m.If(done):
            m.d.sync += [waits.eq(more), place.eq(Mux(more, place + 1, 0))]
        with m.If(moves):
            m.d.sync += waits.eq(0)
        return moves

    def _ask(self, m: Module, header, new: Signal, more: Signal, active: Signal) -> None:
        """Ask for the header after the one that has come, and for the words of that one.

        Words follow the next header, if that has not come with this one; those of the last segment
        have none before them.
        """
        # Always at work, so that it can be the multiplier's own register.
        words = Signal(24, reset_less=True)
        m.d.sync += words.eq(header.groups * header.blocks)
        times = Signal.like(self.o_play.payload.times)
        for_header, for_words, last = Signal(init=1), Signal(), Signal()
        with m.If(new):
            m.d.sync += [
                times.eq(_ones(active)),
                for_header.eq(~more),
                for_words.eq(header.blocks != 0),
                last.eq(header.last),
            ]
        play = self.o_play.payload
        words_now = for_words & (last | ~for_header)
        m.d.comb += [
            self.o_play.valid.eq(for_header | for_words),
            play.words.eq(Mux(words_now, words, header_words(self.config.word_bits))),
            play.times.eq(Mux(words_now, times, 1)),
            play.header.eq(~words_now),
        ]
        with m.If(transfers(self.o_play)):
            m.d.sync += for_words.eq(for_words & ~words_now)
            m.d.sync += for_header.eq(for_header & words_now)

    def _hand_out(self, m: Module, platform, header, good: Signal, active: Signal) -> Value:
        """Give the header's fields to every unit that takes part, for one slot after the other.

        Returns whether the last slot's jobs are given on this clock. A job waits until all units
        have room. Each queue holds a segment's jobs and one more, so that the words of one slot
        never wait for the jobs of the next.
        """
        embeds, layouts = header.op == Op.EMBED, self.layouts
        ports = {
            "quantizer": (self.o_quantizer, layouts.quantizer_job, ~embeds),
            "engine": (self.o_engine, layouts.engine_job, ~embeds),
            "epilogue": (self.o_epilogue, layouts.epilogue_job, Const(1)),
            "embedding": (self.o_embedding, layouts.embedding_job, embeds),
            "sampler": (self.o_sampler, layouts.sampler_job, header.op == Op.LOGITS),
        }
        queues = {}
        for name, (port, layout, _) in ports.items():
            m.submodules[f"{name}_jobs"] = queues[name] = Queue(layout, self.config.slots + 1)
            connect_stream(m, queues[name].o, port)
        # Known a clock before, from far queues. What came on that clock may have been the last.
        room = Signal()
        left = Cat(
            queue.i.ready & ~(queue.i.valid & (queue.level == queue.depth - 1))
            for queue in queues.values()
        )
        m.d.sync += room.eq(left.all())

        begun, rest = Signal(), Signal.like(active)  # slots after the one whose job is given out
        sources = Signal.like(self.i_pass.payload.sources)
        slot, give = Signal(layouts.slot), Signal()
        todo = Mux(begun, rest, Mux(embeds, self.i_pass.payload.active, active))
        for number in reversed(range(self.config.slots)):
            with m.If(todo[number]):
                m.d.comb += slot.eq(number)
        m.d.comb += give.eq(good & room & (begun | ~embeds | self.i_pass.valid))
        m.d.comb += self.i_pass.ready.eq(give & embeds & ~begun)
        others = {"slot": slot, "source": of_slot(sources, slot), "first": header.row == 0}
        for name, (_, layout, takes_part) in ports.items():
            job = queues[name].i
            m.d.comb += job.valid.eq(give & takes_part)
            for field in layout.members:
                value = others[field] if field in others else header[field]
                m.d.comb += job.payload[field].eq(value)
        with m.If(transfers(self.i_pass)):
            m.d.sync += [active.eq(self.i_pass.payload.active)]
            m.d.sync += [sources.eq(self.i_pass.payload.sources)]
        with m.If(give):
            m.d.sync += [rest.eq(todo & (todo - 1)), begun.eq(1)]
        done = give & ~(todo & (todo - 1)).any()
        with m.If(done):
            m.d.sync += begun.eq(0)
        if platform == "formal":
            ready = Cat(queue.i.ready for queue in queues.values()).all()
            m.d.comb += Assert(~room | ready, "no room for a job")
        return done

    def _check(self, m: Module, header, good: Signal, new: Signal, moved: Signal) -> Value:
        """Checksum of each header's and each segment's words, behind them, and the fault register.

        Returns whether a header came: two clocks after its last word, or one that shared it has
        `moved` to its place. All words are added to the same sum, for a header's come between those
        of segments.
        """
        m.submodules.checks = checks = Queue(_CHECK, 2)
        number = Signal(16)
        m.d.comb += [
            checks.i.valid.eq(new & (header.blocks != 0)),
            checks.i.payload.checksum.eq(header.checksum),
            checks.i.payload.number.eq(number),
        ]
        with m.If(new):
            m.d.sync += number.eq(Mux(header.last, 0, number + 1))

        word = self.i.payload.word
        pieces = [word[start : start + 32] for start in range(0, len(word), 32)]
        turned = [Cat(p, C(0, 32 - len(p))).rotate_left(k % 32) for k, p in enumerate(pieces)]
        # A table's inputs at a time, for the words come from all over the chip.
        parts = []
        for start in range(0, len(turned), 4):
            parts.append(Signal(32, name=f"part_{start}", reset_less=True))
            m.d.sync += parts[-1].eq(reduce(xor, turned[start : start + 4]))
        # One chain of all would be 128 gates long in a wide word.
        groups = [reduce(xor, parts[start::16]) for start in range(min(16, len(parts)))]
        folded, total = Signal(32, reset_less=True), Signal(32)
        tag, tags = self.i.payload.tag, Signal(_PASSED)
        passed = Signal(_PASSED)
        m.d.sync += [
            folded.eq(reduce(xor, groups)),
            tags.word.eq(transfers(self.i)),
            tags.end.eq(transfers(self.i) & tag.end),
            tags.header.eq(tag.header),
            tags.final.eq(transfers(self.o) & tag.end & tag.final),
            passed.eq(tags),
        ]
        m.d.comb += checks.o.ready.eq(passed.final)
        ended, of_header = passed.end, passed.header
        expected = checks.o.payload
        sum_of_all = total.rotate_left(sum_turn(len(word))) ^ folded
        with m.If(passed.word):
            m.d.sync += total.eq(Mux(ended, 0, sum_of_all))
        differs, none, wrong, checked = Signal(), Signal(), Signal(), Signal(16)
        m.d.comb += differs.eq(sum_of_all != Mux(of_header, HEADER_MAGIC, expected.checksum))
        is_one = (moved | ~differs) & (header.op <= max(Op)) & (header.stats <= max(Stats))
        came = (ended & of_header) | moved
        m.d.sync += [
            new.eq(came & is_one),
            none.eq(came & ~is_one),
            wrong.eq(ended & ~of_header & differs),
            checked.eq(expected.number),
        ]
        with m.If(came):
            m.d.sync += good.eq(is_one)
        with m.If(wrong | none):
            m.d.sync += self.faults.checksum.eq(self.faults.checksum | wrong)
            m.d.sync += self.faults.header.eq(self.faults.header | none)
            with m.If(~self.faults.as_value().any()):
                m.d.sync += self.fault_segment.eq(Mux(wrong, checked, number))
        return came


def _ones(bits: Value) -> Value:
    return sum(bits, C(0))
