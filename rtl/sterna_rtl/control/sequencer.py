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
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["FAULTS", "Sequencer"]

FAULTS = StructLayout({"header": 1, "checksum": 1})
"""A header without its magic or with an unknown operation; words that do not match their
checksum."""

_JOB_QUEUE = 2

_SEGMENT = StructLayout({"groups": 16, "blocks": 12, "last": 1, "checksum": 32})


class Sequencer(Component):
    """Walk the tape.

    Headers run one segment ahead of their words (see `sterna.spec.tape`): while the words of one
    segment pass, the jobs of the next already wait in each unit's queue. A segment costs one clock
    for each of its words and of its header's words; a token two more, at its first headers.

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
    o_quantizer, o_engine, o_epilogue, o_embedding : stream.Interface
        Jobs, in tape order. EMBED goes to epilogue and embedding, all else to all but embedding.
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
                "o_quantizer": Out(stream.Signature(layouts.quantizer_job)),
                "o_engine": Out(stream.Signature(layouts.engine_job)),
                "o_epilogue": Out(stream.Signature(layouts.epilogue_job)),
                "o_embedding": Out(stream.Signature(layouts.embedding_job)),
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
        current, group, block = Signal(_SEGMENT), Signal(16), Signal(12)
        done = Signal()  # this clock passes the last word of the current segment
        advance = Signal()  # the header in `raw` becomes the current segment
        bad_header = Signal()
        m.d.comb += bad_header.eq(pending & (_not_a_header(header)))

        words = Signal()  # weight words pass
        with m.FSM(name="sequencer"):
            with m.State("HEADER"):
                m.d.comb += self.i.ready.eq(~pending)
                with m.If(transfers(self.i)):
                    m.d.sync += raw.eq(Cat(raw, self.i.payload)[width:])
                    m.d.sync += collected.eq(collected + 1)
                    with m.If(collected == count - 1):
                        m.d.sync += [collected.eq(0), pending.eq(1)]
                        m.next = "WORDS"
            with m.State("WORDS"):
                m.d.comb += words.eq(current.blocks != 0)
                m.d.comb += advance.eq(done | ~words)
                with m.If(advance):
                    m.next = "HEADER"
                    with m.If(header.last):
                        m.next = "LAST WORDS"
                    # Words of the segment before are good, and one may be waiting: they pass first.
                    with m.If(bad_header | self.faults.header):
                        m.next = "FAULT"
            with m.State("LAST WORDS"):
                m.d.comb += words.eq(1)
                with m.If(done):
                    m.d.sync += current.eq(0)
                    m.next = "HEADER"
            with m.State("FAULT"):
                pass

        last_group = group + 1 == current.groups
        with m.If(words):
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        m.d.comb += self.o.payload.eq(self.i.payload)
        m.d.comb += done.eq(transfers(self.o) & last_group & (block + 1 == current.blocks))
        with m.If(transfers(self.o)):
            m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            m.d.sync += block.eq(block + last_group)
        with m.If(advance):
            m.d.sync += [current[name].eq(header[name]) for name in _SEGMENT.members]
        with m.If(advance | done):
            m.d.sync += block.eq(0)

        self._hand_out(m, header, pending, bad_header)
        self._check(m, current, done, advance, bad_header)
        return m

    def _hand_out(self, m: Module, header, pending: Signal, bad_header: Signal) -> None:
        """Give the header's fields to every unit that takes part, once all of them have room."""
        embeds = header.op == Op.EMBED
        ports = {
            "quantizer": (self.o_quantizer, self.layouts.quantizer_job, ~embeds),
            "engine": (self.o_engine, self.layouts.engine_job, ~embeds),
            "epilogue": (self.o_epilogue, self.layouts.epilogue_job, Const(1)),
            "embedding": (self.o_embedding, self.layouts.embedding_job, embeds),
        }
        queues = {}
        for name, (port, layout, _) in ports.items():
            m.submodules[f"{name}_jobs"] = queues[name] = Queue(layout, _JOB_QUEUE)
            connect_stream(m, queues[name].o, port)
        room = Cat(queue.i.ready for queue in queues.values()).all()
        give = Signal()
        m.d.comb += give.eq(pending & ~bad_header & room)
        for name, (_, layout, takes_part) in ports.items():
            job = queues[name].i
            m.d.comb += job.valid.eq(give & takes_part)
            m.d.comb += [job.payload[field].eq(header[field]) for field in layout.members]
        with m.If(give | bad_header):
            m.d.sync += pending.eq(0)

    def _check(self, m: Module, current, done: Signal, advance: Signal, bad_header: Signal) -> None:
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
        with m.Elif(done):
            m.d.sync += header_number.eq(0)

        bad_checksum = ended & ((total.rotate_left(1) ^ folded) != expected)
        with m.If(bad_checksum | bad_header):
            m.d.sync += self.faults.checksum.eq(self.faults.checksum | bad_checksum)
            m.d.sync += self.faults.header.eq(self.faults.header | bad_header)
            with m.If(~self.faults.as_value().any()):
                m.d.sync += self.fault_segment.eq(Mux(bad_header, header_number, checked))


def _not_a_header(header) -> Value:
    return (header.magic != HEADER_MAGIC) | (header.op > max(Op)) | (header.stats > max(Stats))
