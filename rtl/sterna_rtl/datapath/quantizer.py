"""Quantizer: int8 activations for the engine and output scales for the epilogue."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna.golden.quantizer import MAXIMUM_BITS, RECIPROCAL_SHIFT
from sterna.spec import tables
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import SCALE_BITS
from sterna.spec.program import Op, Stats
from sterna_rtl.arith.curve import Curve
from sterna_rtl.arith.normalise import ShiftUp, shift_left
from sterna_rtl.datapath.scale import JOB_FIELDS, Scale
from sterna_rtl.datapath.statistics import LARGEST, LARGEST_BITS, SUMS, Statistics
from sterna_rtl.layouts import Layouts, first_word
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.memory import ReadPort
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["Quantizer"]

_READ = StructLayout(
    {"measure": 1, "quantise": 1, "first": 1, "last": 1, "beyond": 1, "scratch": 1}
)
"""What a clock reads the source for: its largest product or activations, if anything."""

_KEPT = StructLayout(
    {"places": ceil_log2(LARGEST_BITS), "mantissa": SCALE_BITS, "exponent": signed(6)}
)
"""What a slot keeps of its largest product: the places by which it moves up, and the floating point
number that it is."""
_SCALED = 3
"""Clocks from a read to the product with the reciprocal, besides those of the side RAMs."""

_QUEUE, _LONG_QUEUE = 6, 15
"""Activations in queue and pipeline, besides those that the side RAMs' clocks need. From a read to
the freed place 5 and these pass. Where a word's
sums are several beats (R > E), results take the clocks of the next slot's reads for longer than the
engine needs for what a short queue holds: 16 rows of LUTRAM, as large as 7, and a register."""


class Quantizer(Component):
    """Quantise each segment's source with its norm weights, and say by what its row sums scale.

    For v = x * w12 the activations are ``round(127 * v / max|v|)`` as `sterna.golden.quantizer`
    rounds them; the scale is that of `sterna.golden.scale`. Jobs are done one after the other:

    FRESH
        waits for the statistics of the results, which are gathered while the epilogue writes them;
    MAXIMUM
        reads the source once for its largest product and keeps the root of the sums;
    KEEP
        keeps everything.

    Each slot keeps its own. Results of one slot may come while a job of another is done.

    Then come the reciprocal of the largest product and the activations. The scale is computed
    beside: the next job begins when all activations have been read and the scale has been asked
    for.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_norms : stream.Interface
        Where the norm weights of the results lie that come ``side_clocks - 1`` clocks later. Always
        ready.
    i_results : stream.Interface
        What gathering operations write. Always ready: the statistics of a vector must be taken, by
        a FRESH job, before the slot's next vector begins, and in the order of the vectors.
    i_job : stream.Interface
        One job per segment, but none for EMBED. Accepted when the next may begin.
    residual_read, scratch_read : interface
        Ports of the banks. RESIDUAL segments read the scratch bank, all others the residual.
    vector_a_read, vector_b_read : interface
        Ports of the side RAMs: w1 and w12, `side_clocks` after the address. Results go before the
        source.
    o_activations : stream.Interface
        ``blocks * C / E`` beats per job in the order of the columns, zeros beyond the source.
    o_scale : stream.Interface
        One scale per job.
    barrier : int
        Clocks from the last result to the first activations of a job that waits for it.
    read_ahead : int
        Reads that can be ahead of the activations that have been taken.

    Latency
        `barrier` is 12 clocks for E = 1 and 2 and grows by one with every further doubling: 14 for
        E = 8; one more with several slots. From a job to its first activations: KEEP 7 clocks,
        FRESH 8 if its statistics wait, MAXIMUM one per word, one, and `barrier`, less the one of
        several slots. All with side RAMs of 2 clocks, and as many more as they take. The next job
        comes on the clock after the last read.

    Throughput
        One beat of activations per clock, but none for clocks on which results come.

    Backpressure
        A beat is read if the queue has room for all in flight. `Scale` holds two scales and
        computes a third; then the next job can't end.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        self.statistics = Statistics(config)
        self.normalise = ShiftUp(LARGEST_BITS, keep=MAXIMUM_BITS)
        self.reciprocal = Curve(tables.reciprocal(), MAXIMUM_BITS - 1)
        self.scale = Scale(config)
        several = config.slots > 1  # statistics wait in a queue
        self.scaled = _SCALED + config.side_clocks
        self.later = config.side_clocks - 2  # clocks by which the source is read after its weights
        self.barrier = self.statistics.largest_latency + 1 + self.scaled + 1 + several
        queue = _LONG_QUEUE if config.rows > config.elements else _QUEUE
        self.read_ahead = queue + config.side_clocks
        super().__init__(
            {
                "i_norms": In(stream.Signature(layouts.norms)),
                "i_results": In(stream.Signature(layouts.results)),
                "i_job": In(stream.Signature(layouts.quantizer_job)),
                "residual_read": Out(
                    ReadPort(config.slots * config.residual_words, layouts.residual)
                ),
                "scratch_read": Out(ReadPort(config.slots * config.scratch_words, layouts.scratch)),
                "vector_a_read": Out(ReadPort(config.vector_a_words, layouts.vector)),
                "vector_b_read": Out(ReadPort(config.vector_b_words, layouts.vector)),
                "o_activations": Out(stream.Signature(layouts.activations)),
                "o_scale": Out(stream.Signature(layouts.scale)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.statistics = self.statistics
        m.submodules.normalise = self.normalise
        m.submodules.reciprocal = self.reciprocal
        m.submodules.scale = self.scale
        statistics = self.statistics
        self.largest = self._in_order(m, "largest", statistics.o_largest, LARGEST)
        self.sums = self._in_order(m, "sums", statistics.o_sums, SUMS)
        self.kept = Signal(ArrayLayout(_KEPT, self.config.slots))
        # What is known when the first read begins is for that read: it waits as that does.
        found, known = self.normalise.o, Signal()
        m.d.comb += found.ready.eq(1)
        late = delay_line(m, Cat(found.valid, found.payload), self.later, "normalised")
        self.normalised = Signal.like(found.payload)
        m.d.comb += Cat(known, self.normalised).eq(late[-1])
        self.known, self.coming = known, Cat(*(clock[0] for clock in late[:-1])).any()
        read = Signal(_READ)
        asks = Signal()  # the job's scale is still to be asked for
        room = self._activations(m, read)
        self._control(m, read, asks, room)
        self._beats(m, read)
        self._scale(m, asks)
        return m

    def _in_order(self, m: Module, name: str, output, shape) -> stream.Interface:
        """Let the statistics of all slots wait for their jobs, which have the same order."""
        if self.config.slots == 1:
            return output
        m.submodules[name] = queue = Queue(shape, self.config.slots)
        connect_stream(m, output, queue.i)
        return queue.o

    def _control(self, m: Module, read, asks: Signal, room: Value) -> None:
        """Take the jobs one by one and say when to read."""
        job, reciprocal = self.i_job.payload, self.reciprocal
        free = ~self.i_norms.valid  # side RAM B is
        restart, last_beat = Signal(), Signal()
        largest, measured = self.largest, self.statistics.o_measured
        measures = Signal()  # known since the clock on which the job began
        m.d.sync += measures.eq(job.stats == Stats.MAXIMUM)
        m.d.comb += [
            self.normalise.i.payload.eq(Mux(measures, measured.payload, largest.payload)),
            reciprocal.position.eq(self.normalised.value),
        ]
        # Asked for on the clock on which the first read's source is, it comes when that is to be
        # multiplied. Activations in flight, of the job before, have met that of before by then.
        m.d.comb += reciprocal.load.eq(self.known)
        unasked = asks | reciprocal.load | self.coming
        with m.If(reciprocal.load):
            m.d.sync += asks.eq(1)
        with m.FSM(name="job"):
            with m.State("JOB"):
                m.d.comb += restart.eq(1)
                with m.If(self.i_job.valid):
                    with m.Switch(job.stats):
                        with m.Case(Stats.FRESH):
                            m.next = "LARGEST"
                        with m.Case(Stats.MAXIMUM):
                            m.next = "MAXIMUM"
                        with m.Default():
                            m.d.sync += asks.eq(1)
                            m.next = "ACTIVATIONS"
            with m.State("MAXIMUM"):
                m.d.comb += read.measure.eq(free)
                with m.If(read.measure & read.last):
                    m.next = "LARGEST"
            with m.State("LARGEST"):
                m.d.comb += restart.eq(1)
                m.d.comb += [
                    self.normalise.i.valid.eq(Mux(measures, measured.valid, largest.valid)),
                    measured.ready.eq(measures),
                    largest.ready.eq(~measures),
                ]
                with m.If(self.normalise.i.valid):
                    m.next = "ACTIVATIONS"
            with m.State("ACTIVATIONS"):
                m.d.comb += read.quantise.eq(free & room)
                with m.If(read.quantise & last_beat):
                    m.d.comb += self.i_job.ready.eq(~unasked)
                    m.next = "JOB"
                    with m.If(unasked):
                        m.next = "SCALE"
            with m.State("SCALE"):
                with m.If(~unasked):
                    m.d.comb += self.i_job.ready.eq(1)
                    m.next = "JOB"
        self._count(m, read, restart, last_beat)

    def _count(self, m: Module, read, restart: Signal, last_beat: Signal) -> None:
        """Count words and beats."""
        job, parts = self.i_job.payload, self.config.columns // self.config.elements
        word, weights, beyond = Signal(16), Signal.like(job.vector_q), Signal()
        addresses = self.residual_read.address, self.scratch_read.address
        place = Signal(max(map(len, addresses)))  # the word's, in the bank that all slots share
        starts = [first_word(self.config, bank, job.slot) for bank in ("scratch", "residual")]
        part, block = Signal(range(parts)), Signal.like(job.blocks)
        last_part = part == parts - 1
        norms, source = self.i_norms, delay_line(m, place, max(self.later - 1, 0), "place")[-1]
        m.d.comb += [
            read.first.eq(word == 0),
            read.last.eq(word + 1 == job.source_words),
            read.beyond.eq(beyond),
            read.scratch.eq(job.op == Op.RESIDUAL),
            norms.ready.eq(1),
            *(address.eq(source) for address in addresses),
            self.vector_a_read.address.eq(norms.payload.vector_a),
            self.vector_b_read.address.eq(Mux(norms.valid, norms.payload.vector_b, weights)),
        ]
        with m.If(read.measure | read.quantise):
            m.d.sync += [
                word.eq(word + 1),
                place.eq(place + 1),
                weights.eq(weights + 1),
                beyond.eq(beyond | read.last),
            ]
        with m.If(read.quantise):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
            m.d.sync += block.eq(block + last_part)
            # Whether the next one is the last.
            if parts == 1:
                m.d.sync += last_beat.eq(block + 2 == job.blocks)
            else:
                m.d.sync += last_beat.eq((part == parts - 2) & (block + 1 == job.blocks))
        with m.If(restart):
            m.d.sync += last_beat.eq((parts == 1) & (job.blocks == 1))
            m.d.sync += [word.eq(0), place.eq(Mux(job.op == Op.RESIDUAL, *starts))]
            m.d.sync += [weights.eq(job.vector_q), beyond.eq(0), block.eq(0)]

    def _beats(self, m: Module, read) -> None:
        """Give results or, where there are none, the source to the statistics."""
        results, beat = self.i_results, self.statistics.i
        line, gathers = delay_line(m, read, self.later + 1, "read"), results.valid
        reads, banks = _READ(line[-1]), _READ(line[max(self.later, 1)])
        m.d.comb += [
            results.ready.eq(1),
            beat.valid.eq(gathers | reads.measure | reads.quantise),
            beat.payload.unit.eq(results.payload.unit),
            beat.payload.first.eq(Mux(gathers, results.payload.first, reads.first)),
            beat.payload.last.eq(Mux(gathers, results.payload.last, reads.last)),
            beat.payload.slot.eq(results.payload.slot),
            beat.payload.results.eq(gathers),
            beat.payload.measure.eq(reads.measure),  # no result comes then
        ]
        for index in range(self.config.elements):
            residual, scratch = self.residual_read.data[index], self.scratch_read.data[index]
            source = Mux(banks.scratch, scratch, residual).as_signed()
            if self.later:  # the weights leave it a clock on its way to the multipliers
                late = Signal.like(source, name=f"source_{index}", reset_less=True)
                m.d.sync += late.eq(source)
                source = late
            value = results.payload.values[index]
            m.d.comb += [
                beat.payload.values[index].eq(Mux(gathers, value, source)),
                beat.payload.second[index].eq(results.payload.second[index]),
            ]
        m.d.comb += self.statistics.w1.eq(self.vector_a_read.data)
        m.d.comb += self.statistics.w12.eq(self.vector_b_read.data)

    def _activations(self, m: Module, read) -> Value:
        """Quantise the products; return whether a read may begin."""
        m.submodules.activations = queue = Queue(self.layouts.activations, self.read_ahead)
        connect_stream(m, queue.o, self.o_activations)
        room = Signal(range(self.read_ahead + 1), init=self.read_ahead)
        some = Signal(init=1)
        takes, gives = read.quantise, transfers(self.o_activations)
        m.d.sync += room.eq(room - takes + gives)
        m.d.sync += some.eq(gives | Mux(takes, room != 1, room != 0))

        # Bit k is up k + 1 clocks after a read, and so with the slots.
        quantises, beyond = Signal(self.scaled), Signal(self.scaled - 2)
        m.d.sync += quantises.eq(Cat(read.quantise, quantises))
        m.d.sync += beyond.eq(Cat(read.beyond, beyond))
        slots = delay_line(m, self.i_job.payload.slot, self.scaled - 1, "slot")
        places = of_slot(self.kept, slots[self.scaled - 2]).places
        factor = self._factor(m, slots[self.scaled - 1])
        m.d.comb += queue.i.valid.eq(quantises[-1])
        for index in range(self.config.elements):
            cut = Signal(signed(MAXIMUM_BITS + 1), name=f"cut_{index}", reset_less=True)
            scaled = Signal(signed(RECIPROCAL_SHIFT + 8), name=f"scaled_{index}", reset_less=True)
            product = shift_left(self.statistics.products[index], places)
            m.d.sync += cut.eq(product[LARGEST_BITS - MAXIMUM_BITS :])
            with m.If(beyond[-1]):
                m.d.sync += cut.eq(0)
            m.d.sync += scaled.eq(cut * factor)
            rounded = (scaled >> RECIPROCAL_SHIFT) + scaled[RECIPROCAL_SHIFT - 1]
            m.d.comb += queue.i.payload[index].eq(rounded)
        return some

    def _factor(self, m: Module, wanted: Value) -> Value:
        """Return the reciprocal of a slot, as it comes or kept.

        It comes with the job's first activations, for which it was asked.
        """
        reciprocal = self.reciprocal
        if self.config.slots == 1:
            return reciprocal.result
        factors = Signal(ArrayLayout(len(reciprocal.result), self.config.slots))
        with m.If(reciprocal.done):
            m.d.sync += factors[wanted].eq(reciprocal.result)
        return Mux(reciprocal.done, reciprocal.result, factors[wanted])

    def _scale(self, m: Module, asks: Signal) -> None:
        """Ask for the scale when the largest product is known, and for a FRESH job the sums."""
        job, sums, request = self.i_job.payload, self.sums, self.scale.i
        connect_stream(m, self.scale.o, self.o_scale)
        largest = self.normalised
        kept = of_slot(self.kept, job.slot)
        with m.If(self.known):
            m.d.sync += [
                kept.places.eq(largest.places),
                kept.mantissa.eq(largest.value[-SCALE_BITS:]),
                kept.exponent.eq(LARGEST_BITS - SCALE_BITS - largest.places),
            ]

        fresh = job.stats == Stats.FRESH
        m.d.comb += [
            request.valid.eq(asks & (sums.valid | ~fresh)),
            sums.ready.eq(transfers(request) & fresh),
            request.payload.fresh.eq(fresh),
            request.payload.sums.eq(sums.payload),
            request.payload.mantissa.eq(kept.mantissa),
            request.payload.exponent.eq(kept.exponent),
            request.payload.slot.eq(job.slot),
        ]
        for name in JOB_FIELDS:
            m.d.comb += request.payload[name].eq(job[name])
        with m.If(transfers(request)):
            m.d.sync += asks.eq(0)
