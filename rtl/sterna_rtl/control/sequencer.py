"""Sequencer: reads headers off the tape, hands out jobs, passes weight words on."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.chip import ChipConfig
from sterna.spec.program import Op, Stats
from sterna.spec.tape import HEADER_MAGIC, header_words
from sterna_rtl.layouts import HEADER, Layouts
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["FAULTS", "Sequencer"]

FAULTS = StructLayout({"header": 1, "checksum": 1})
"""A header without its magic or with an unknown operation; words that do not match their
checksum."""

_CHECK = StructLayout({"checksum": 32, "number": 16})
"""What the words of a segment must fold to, and the segment's number in its pass."""


class Sequencer(Component):
    """Walk the tape.

    Headers run one segment ahead of their words (see `sterna.spec.tape`): while the words of one
    segment pass, the jobs of the next already wait in each unit's queue. Each slot of the pass gets
    a job of its own, one after the other in the order of their numbers, and then the words, which
    pass as often. What a word is stands in its tag, for it comes as it was asked for: so nothing
    here decides about a word on the clock on which it passes. A header waits until the one before
    has been handed out and what follows it has been asked for, three clocks and one for each slot
    more than the first; EMBED, without words, two.

    A word that should be a header and is not one stops the sequencer, after the words of the
    segment before it, until it is reset: nothing that follows can be trusted. A wrong checksum is
    noted and the pass goes on.

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
        count = header_words(width)
        raw = Signal(count * width, reset_less=True)
        header = HEADER(raw[: HEADER.as_shape().width])
        collected = Signal(range(count + 1))
        pending = Signal()  # the header in `raw` is neither checked nor handed out yet
        active = Signal(self.config.slots)
        bad_header = Signal()
        m.d.comb += bad_header.eq(pending & _not_a_header(header))

        tag, free = self.i.payload.tag, Signal()
        m.d.comb += [
            free.eq(~pending & ~self.o_play.valid & ~self.faults.header),
            self.i.ready.eq(Mux(tag.header, free, self.o.ready)),
            self.o.valid.eq(self.i.valid & ~tag.header),
            self.o.payload.eq(self.i.payload.word),
        ]
        with m.If(self.i.valid & tag.header & free):
            m.d.sync += raw.eq(Cat(raw, self.i.payload.word)[width:])
            m.d.sync += collected.eq(collected + 1)
            with m.If(collected == count - 1):
                m.d.sync += [collected.eq(0), pending.eq(1)]

        self._hand_out(m, header, pending, bad_header, active)
        new = Signal()  # the first clock of a header that is one
        seen = Signal()
        m.d.sync += seen.eq(pending)
        m.d.comb += new.eq(pending & ~seen & ~bad_header)
        self._ask(m, header, new, active)
        self._check(m, header, new, bad_header)
        return m

    def _ask(self, m: Module, header, new: Signal, active: Signal) -> None:
        """Ask for the header after the one that has come, and for the words of that one.

        Words follow the next header; those of the last segment have none before them.
        """
        # Always at work, so that it can be the multiplier's own register.
        words = Signal(24, reset_less=True)
        m.d.sync += words.eq(header.groups * header.blocks)
        times = Signal.like(self.o_play.payload.times)
        for_header, for_words, last = Signal(init=1), Signal(), Signal()
        with m.If(new):
            m.d.sync += [
                times.eq(_ones(active)),
                for_header.eq(1),
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

    def _hand_out(
        self, m: Module, header, pending: Signal, bad_header: Signal, active: Signal
    ) -> None:
        """Give the header's fields to every unit that takes part, for one slot after the other.

        A job waits until all units have room. Each queue holds a segment's jobs and one more, so
        that the words of one slot never wait for the jobs of the next.
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
        room = Cat(queue.i.ready for queue in queues.values()).all()

        begun, rest = Signal(), Signal.like(active)  # slots after the one whose job is given out
        sources = Signal.like(self.i_pass.payload.sources)
        slot, give = Signal(layouts.slot), Signal()
        todo = Mux(begun, rest, Mux(embeds, self.i_pass.payload.active, active))
        for number in reversed(range(self.config.slots)):
            with m.If(todo[number]):
                m.d.comb += slot.eq(number)
        m.d.comb += give.eq(pending & ~bad_header & room & (begun | ~embeds | self.i_pass.valid))
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
        with m.If((give & ~(todo & (todo - 1)).any()) | bad_header):
            m.d.sync += [pending.eq(0), begun.eq(0)]

    def _check(self, m: Module, header, new: Signal, bad_header: Signal) -> None:
        """Checksum of each segment's words, behind them, and the fault register."""
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
        folded, total = Signal(32), Signal(32)
        tag, ends = self.i.payload.tag, Signal()
        passed, ended = Signal(), Signal()
        m.d.comb += ends.eq(transfers(self.o) & tag.end)
        m.d.sync += [
            folded.eq(reduce(xor, turned)),
            passed.eq(transfers(self.o)),
            ended.eq(ends),
            checks.o.ready.eq(ends & tag.final),
        ]
        expected = checks.o.payload
        sum_of_all = total.rotate_left(1) ^ folded
        with m.If(passed):
            m.d.sync += total.eq(Mux(ended, 0, sum_of_all))
        wrong, checked = Signal(), Signal(16)
        m.d.sync += [
            wrong.eq(ended & (sum_of_all != expected.checksum)),
            checked.eq(expected.number),
        ]
        with m.If(wrong | bad_header):
            m.d.sync += self.faults.checksum.eq(self.faults.checksum | wrong)
            m.d.sync += self.faults.header.eq(self.faults.header | bad_header)
            with m.If(~self.faults.as_value().any()):
                m.d.sync += self.fault_segment.eq(Mux(wrong, checked, number))


def _ones(bits: Value) -> Value:
    return sum(bits, C(0))


def _not_a_header(header) -> Value:
    return (header.magic != HEADER_MAGIC) | (header.op > max(Op)) | (header.stats > max(Stats))
