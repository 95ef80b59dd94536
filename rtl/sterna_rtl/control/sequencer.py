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

_SEGMENT = StructLayout({"groups": 16, "blocks": 12, "last": 1, "checksum": 32})


class Sequencer(Component):
    """Walk the tape.

    Headers run one segment ahead of their words (see `sterna.spec.tape`): while the words of one
    segment pass, the jobs of the next already wait in each unit's queue. Each slot of the pass gets
    a job of its own, one after the other in the order of their numbers, and then the words, which
    pass as often. A segment costs one clock for each of its header's words and for each word that
    passes behind the header, for these at least three, to ask for what comes next, and one for each
    slot; EMBED, without words, at least two.

    A word that should be a header and is not one stops the sequencer, after the words of the
    segment before it, until it is reset: nothing that follows can be trusted. A wrong checksum is
    noted and the pass goes on.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i, o : stream.Interface
        Tape words in, weight words out. Combinational: the reader before and the unpacker after it
        have registers.
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
                "i": In(stream.Signature(layouts.word)),
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
        current = Signal(_SEGMENT)
        # To come in this block and in this segment, less two: -1 says in its sign bit that it is
        # the last. A comparison would stand in the way of every word's `ready`.
        groups, blocks = Signal(signed(17)), Signal(signed(13))
        has_words = Signal()  # the current segment has
        done = Signal()  # this clock passes the last word of the current segment
        replayed = Signal()  # ... for the last of the pass's slots
        times = Signal(range(self.config.slots + 1))  # slots that still get the current words
        active = Signal(self.config.slots)
        advance = Signal()  # the header in `raw` becomes the current segment
        bad_header = Signal()
        m.d.comb += bad_header.eq(pending & (_not_a_header(header)))

        words = Signal()  # weight words pass
        with m.FSM(name="sequencer"):
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(~pending & ~self.o_play.valid)
                with m.If(transfers(self.i)):
                    m.d.sync += raw.eq(Cat(raw, self.i.payload)[width:])
                    m.d.sync += collected.eq(collected + 1)
                    with m.If(collected == count - 1):
                        m.d.sync += [collected.eq(0), pending.eq(1)]
                        m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += words.eq(has_words)
                m.d.comb += advance.eq(replayed | ~words)
                with m.If(advance):
                    m.next = "HEADER"
                    with m.If(header.last):
                        m.next = "LAST WORDS"
                    # Words of the segment before are good, and one may be waiting: they pass first.
                    with m.If(bad_header | self.faults.header):
                        m.next = "FAULT"
            with m.State("LAST WORDS"):
                m.d.comb += words.eq(1)
                with m.If(replayed):
                    m.d.sync += has_words.eq(0)
                    m.next = "HEADER"
            with m.State("FAULT"):
                pass

        last_group = groups[-1]
        with m.If(words):
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        m.d.comb += self.o.payload.eq(self.i.payload)
        m.d.comb += done.eq(transfers(self.o) & last_group & blocks[-1])
        m.d.comb += replayed.eq(done & (times == 1))
        with m.If(transfers(self.o)):
            m.d.sync += groups.eq(Mux(last_group, current.groups - 2, groups - 1))
            with m.If(last_group):
                m.d.sync += blocks.eq(Mux(blocks[-1], current.blocks - 2, blocks - 1))
        m.d.sync += times.eq(times - done)
        with m.If(advance):
            m.d.sync += [current[name].eq(header[name]) for name in _SEGMENT.members]
            m.d.sync += [groups.eq(header.groups - 2), blocks.eq(header.blocks - 2)]
            m.d.sync += has_words.eq(header.blocks != 0)
            m.d.sync += times.eq(_ones(active))

        self._ask(m, header, pending, bad_header, active)
        self._hand_out(m, header, pending, bad_header, active)
        self._check(m, current, done, replayed, advance, bad_header)
        return m

    def _ask(self, m: Module, header, pending: Signal, bad: Signal, active: Signal) -> None:
        """Ask for the header after the one that has come, and for the words of that one.

        Words follow the next header; those of the last segment have none before them.
        """
        seen = Signal()
        words, times = Signal(24), Signal.like(self.o_play.payload.times)
        for_header, for_words, last = Signal(init=1), Signal(), Signal()
        m.d.sync += seen.eq(pending)
        with m.If(pending & ~seen & ~bad):
            m.d.sync += [
                words.eq(header.groups * header.blocks),
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

    def _check(
        self,
        m: Module,
        current,
        done: Signal,
        replayed: Signal,
        advance: Signal,
        bad_header: Signal,
    ) -> None:
        """Checksum of each segment's words, two clocks behind them, and the fault register."""
        width = self.config.word_bits
        pieces = [self.i.payload[start : start + 32] for start in range(0, width, 32)]
        turned = [Cat(p, C(0, 32 - len(p))).rotate_left(k % 32) for k, p in enumerate(pieces)]
        number, header_number = Signal(16), Signal(16)
        folded, total, expected = Signal(32), Signal(32), Signal(32)
        passed, ended, checked = Signal(), Signal(), Signal(16)
        m.d.sync += [
            folded.eq(reduce(xor, turned)),
            passed.eq(transfers(self.o)),
            ended.eq(done),
            expected.eq(current.checksum),
            checked.eq(number),
        ]
        with m.If(passed):
            m.d.sync += total.eq(total.rotate_left(1) ^ folded)
        with m.If(ended):
            m.d.sync += total.eq(0)
        with m.If(advance):
            m.d.sync += [number.eq(header_number), header_number.eq(header_number + 1)]
        with m.Elif(replayed):
            m.d.sync += header_number.eq(0)

        bad_checksum = ended & ((total.rotate_left(1) ^ folded) != expected)
        with m.If(bad_checksum | bad_header):
            m.d.sync += self.faults.checksum.eq(self.faults.checksum | bad_checksum)
            m.d.sync += self.faults.header.eq(self.faults.header | bad_header)
            with m.If(~self.faults.as_value().any()):
                m.d.sync += self.fault_segment.eq(Mux(bad_header, header_number, checked))


def _ones(bits: Value) -> Value:
    return sum(bits, C(0))


def _not_a_header(header) -> Value:
    return (header.magic != HEADER_MAGIC) | (header.op > max(Op)) | (header.stats > max(Stats))
