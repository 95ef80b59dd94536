"""TernaryEngine: R row sums per clock of C activations selected by ternary weights."""

from __future__ import annotations

from itertools import pairwise

from amaranth import *
from amaranth.hdl import Assert
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout, View
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from sterna.spec.chip import ChipConfig
from sterna_rtl.family.ecp5 import is_ecp5
from sterna_rtl.family.ecp5_rows import LANES_OF_A_CHAIN, TernaryRows
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.queue import BypassQueue
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["TernaryEngine"]

_QUEUE_DEPTH = 17
"""Output queue: 16 rows of LUTRAM and a register. A word has its place from when it is taken until
its sums have left, `latency` and one clock: enough for sums on every clock up to C = 16384."""

_HAZARD = 5
"""Clocks from reading a partial sum to the first clock on which the new one can be read."""

_TAG = StructLayout({"word": 1, "add": 1, "keep": 1, "end": 1})
"""What goes with a word through the pipeline: partial sums of earlier blocks are to be added; the
sums are to be kept for the next block (otherwise they are the result); last word of its block."""

_JOB = StructLayout({"words": signed(17), "blocks": signed(13), "short": 1})
"""A job with its counts less two: a counter that ends at -1 says so in its sign bit. `short` if a
block could reach partial sums that the block before has not written yet."""


class _Activations(Component):
    """Two blocks of C activations: the active one, and the shadow that fills meanwhile.

    Attributes
    ----------
    i : stream.Interface
        E activations of a block after the other.
    full : Signal, out
        The shadow holds a whole block, or its last activations come on this clock.
    swap : Signal, in
        Make that block active, from the second clock on: the next one parts whoever decides from
        the enables of so many registers. The shadow is free on the next clock.
    active : View, out
    """

    def __init__(self, config: ChipConfig) -> None:
        self.beats = config.columns // config.elements
        super().__init__(
            {
                "i": In(stream.Signature(Layouts(config).activations)),
                "full": Out(1),
                "swap": In(1),
                "active": Out(ArrayLayout(signed(8), config.columns)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        beat = Signal(range(self.beats))
        shadow = Signal.like(self.active, reset_less=True)
        elements = len(self.i.payload)
        stored = Signal()
        last_beat = Signal(init=self.beats == 1)  # the next one is
        last = transfers(self.i) & last_beat
        m.d.comb += [self.i.ready.eq(~stored), self.full.eq(stored | last)]
        with m.If(transfers(self.i)):
            for index in range(self.beats):
                with m.If(beat == index):
                    first = index * elements
                    m.d.sync += [
                        shadow[first + lane].eq(self.i.payload[lane]) for lane in range(elements)
                    ]
            m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            m.d.sync += last_beat.eq(self.beats == 1 or beat == self.beats - 2)
        m.d.sync += stored.eq(self.full & ~self.swap)
        moves = Signal()
        m.d.sync += moves.eq(self.swap)
        with m.If(moves):
            m.d.sync += self.active.eq(shadow)
        return m


class _RowSum(Component):
    """Sum of C activations times trits, as ``total + carry``: a pipelined adder tree.

    A lane is ``(x & nonzero) ^ negative``, one table per bit: a negative weight takes ~x and leaves
    the +1 of the two's complement as a carry. C numbers have C - 1 adders, each with a carry input
    that is free on a carry chain, so that one carry is left over.

    Latency
        ``1 + max(1, ceil(log2 C))`` clocks.
    """

    def __init__(self, columns: int) -> None:
        self.levels = max(1, ceil_log2(columns))
        super().__init__(
            {
                "activations": In(ArrayLayout(signed(8), columns)),
                "nonzero": In(columns),
                "negative": In(columns),
                "total": Out(signed(8 + self.levels)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        terms = []
        for lane, activation in enumerate(self.activations):
            total = Signal(signed(8), name=f"lane_{lane}", reset_less=True)
            carry = Signal(name=f"lane_{lane}_carry", reset_less=True)
            nonzero, negative = self.nonzero[lane], self.negative[lane]
            m.d.sync += total.eq((activation & nonzero.replicate(8)) ^ negative.replicate(8))
            m.d.sync += carry.eq(negative)
            terms.append((total, carry))
        for level in range(1, self.levels + 1):
            sums = []
            for index in range(0, len(terms), 2):
                name = f"sum_{level}_{index // 2}"
                total = Signal(signed(8 + level), name=name, reset_less=True)
                carry = Signal(name=f"{name}_carry", reset_less=True)
                (a, carry_a), *pair = terms[index : index + 2]
                if pair:
                    b, carry_b = pair[0]
                    # The sum of two has the width of the total; the carry does not widen it.
                    both = (a + b)[: len(total)]
                    m.d.sync += [total.eq(both + carry_a), carry.eq(carry_b)]
                else:  # the odd one out waits a level
                    m.d.sync += [total.eq(a), carry.eq(carry_a)]
                sums.append((total, carry))
            terms = sums
        m.d.comb += [self.total.eq(terms[0][0]), self.carry.eq(terms[0][1])]
        return m


class TernaryEngine(Component):
    """Multiply ternary matrices with vectors, block of C columns after block.

    All of a block's words pass while its C activations stay; the shadow block fills meanwhile and
    becomes active when the block has met its last word. Partial sums of all blocks but the last
    lie in a RAM. The sums are exact: `sterna.golden.engine.row_sums` of the words of
    `sterna.model.layout`.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i_job : stream.Interface
        `groups` words per block (1 to `psum_words`, any number if `blocks` is 1) and `blocks`, 1 or
        more. One job is taken ahead.
    i_weights : stream.Interface
        Words of job after job. `i_weights.ready` comes from registers through one gate.
    i_activations : stream.Interface
        ``blocks`` x C / E beats for each job, in the order of columns; -128 is not an activation.
    o : stream.Interface
        Sums of R rows, `groups` beats per job.
    busy, starved, waiting, blocked : Signal, out
        For the counters, at most one at a time: a word was taken; none was there; one was there
        but no job, no activations or (in short blocks) no partial sums yet; one was there but its
        sums would have no room.

    Latency
        `latency` clocks from a word of the last block to its sums on `o`; one clock from the last
        beat of a block to its first word.

    Throughput
        A word per clock, across blocks and jobs, while the next job and its first block are there
        in time: blocks of more than C / E words (and more than one). Blocks of fewer than five
        words, if the job has several, wait four clocks for the partial sums of the one before. A
        job begins on the second clock after the last block of the one before at the earliest, and
        on the third after that one began.

    Backpressure
        No stage is ever stalled: a word of the last block is taken only if the output queue has
        room for its sums and for all that are in flight.
    """

    def __init__(self, config: ChipConfig) -> None:
        self.config = config
        self.layouts = layouts = Layouts(config)
        self.levels = max(1, ceil_log2(config.columns))
        super().__init__(
            {
                "i_job": In(stream.Signature(layouts.engine_job)),
                "i_weights": In(stream.Signature(layouts.weights)),
                "i_activations": In(stream.Signature(layouts.activations)),
                "o": Out(stream.Signature(layouts.sums)),
                "busy": Out(1),
                "starved": Out(1),
                "waiting": Out(1),
                "blocked": Out(1),
            }
        )

    @property
    def latency(self) -> int:
        """Clocks from a word to its sums: its own register, lanes, tree, partial sums."""
        return self.levels + 3

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.activations = activations = _Activations(self.config)
        m.submodules.queue = queue = BypassQueue(self.layouts.sums, _QUEUE_DEPTH)
        connect_stream(m, self.i_activations, activations.i)
        connect_stream(m, queue.o, self.o)

        # tags[n] belongs to the word that was taken n clocks ago.
        tags = [Signal(_TAG, name=f"tag_{age}") for age in range(self.latency + 1)]
        m.d.sync += [new.eq(old) for old, new in pairwise(tags)]
        promised = self._control(m, activations, tags)
        rows = self._rows(m, activations.active, platform)
        self._accumulate(m, rows, tags, queue.i)
        if platform == "formal":
            self._claims(m, queue, promised, tags)
        return m

    def _control(self, m: Module, activations: _Activations, tags: list[View]) -> Signal:
        """Count words, blocks and jobs; take a word whenever all is there. Return `promised`."""
        job = Signal(_JOB, init={"blocks": -1})
        ahead = Signal(_JOB)
        has_ahead = Signal()
        m.d.comb += self.i_job.ready.eq(~has_ahead)
        with m.If(transfers(self.i_job)):
            m.d.sync += [
                has_ahead.eq(1),
                ahead.words.eq(self.i_job.payload.groups - 2),
                ahead.blocks.eq(self.i_job.payload.blocks - 2),
                ahead.short.eq(self.i_job.payload.groups < _HAZARD),
            ]

        active = Signal()
        later_block = Signal()
        words = Signal.like(job.words)
        more_blocks, last_word = ~job.blocks[-1], words[-1]

        # Sums that may still come into the queue, counted from -depth up: negative is room.
        promised = Signal(range(-_QUEUE_DEPTH, 1), init=-_QUEUE_DEPTH)
        take = transfers(self.i_weights)
        m.d.comb += self.i_weights.ready.eq(active & (more_blocks | promised[-1]))
        m.d.sync += promised.eq(promised + (take & ~more_blocks) - transfers(self.o))

        m.d.comb += [
            tags[0].word.eq(take),
            tags[0].add.eq(later_block),
            tags[0].keep.eq(more_blocks),
            tags[0].end.eq(last_word),
            self.busy.eq(take),
            self.starved.eq(active & ~self.i_weights.valid),
            self.waiting.eq(~active & self.i_weights.valid),
            self.blocked.eq(active & self.i_weights.valid & ~self.i_weights.ready),
        ]

        # A short block begins when no word of the one before is closer than the hazard.
        settled = Signal()
        m.d.sync += settled.eq(~Cat(tag.word for tag in tags[: _HAZARD - 3]).any())
        # What comes next is known on the second clock after a swap: a swap has wide loads.
        next_ready, next_words = Signal(), Signal.like(words)
        swap = activations.swap
        m.d.sync += [
            next_ready.eq(~swap & Mux(more_blocks, ~job.short | (~active & settled), has_ahead)),
            next_words.eq(Mux(more_blocks, job.words, ahead.words)),
        ]
        m.d.comb += swap.eq(activations.full & next_ready & (~active | (take & last_word)))
        with m.If(take):
            m.d.sync += [words.eq(words - 1), active.eq(~last_word)]
        with m.If(swap):
            m.d.sync += [active.eq(1), later_block.eq(more_blocks), words.eq(next_words)]
            with m.If(more_blocks):
                m.d.sync += job.blocks.eq(job.blocks - 1)
            with m.Else():
                m.d.sync += [job.eq(ahead), has_ahead.eq(0)]
        return promised

    def _rows(self, m: Module, active: View, platform) -> list[tuple[Value, Value]]:
        """Total and carry of each row."""
        columns = self.config.columns
        # Without an enable, which would have to reach each of its bits: what is taken says the tag.
        weights = Signal(self.layouts.weights, reset_less=True)
        m.d.sync += weights.eq(self.i_weights.payload)
        if is_ecp5(platform) and columns % LANES_OF_A_CHAIN == 0:
            m.submodules.rows = rows = TernaryRows(self.config.rows, columns)
            m.d.comb += [
                rows.activations.eq(active),
                rows.nonzero.eq(weights.nonzero),
                rows.negative.eq(weights.negative),
            ]
            return list(zip(rows.totals, rows.carries, strict=True))
        sums = []
        for index in range(self.config.rows):
            m.submodules[f"row_{index}"] = row = _RowSum(columns)
            m.d.comb += [
                row.activations.eq(active),
                row.nonzero.eq(weights.nonzero.word_select(index, columns)),
                row.negative.eq(weights.negative.word_select(index, columns)),
            ]
            sums.append((row.total, row.carry))
        return sums

    def _accumulate(
        self, m: Module, rows: list[tuple[Value, Value]], tags: list[View], output
    ) -> None:
        """Add the partial sums, and keep the result or give it out."""
        levels = self.levels + 1
        sums = self.layouts.sums["sums"].shape
        m.submodules.partial = partial = Ram(self.config.psum_words, sums)

        # Words come in order, so that a counter at the end of the pipeline knows their group.
        group = partial.read.address
        reads = tags[levels - 2]
        with m.If(reads.word):
            m.d.sync += group.eq(Mux(reads.end, 0, group + 1))

        # A register without a reset can lie in the block RAM, which is late without it.
        data = Signal(sums, reset_less=True)
        before = Signal(sums, reset_less=True)
        result = Signal(sums, reset_less=True)
        m.d.sync += [data.eq(partial.read.data), before.eq(0)]
        with m.If(tags[levels].add):
            m.d.sync += before.eq(data)
        m.d.sync += [
            result[index].eq((before[index] + total)[: sums.elem_shape.width] + carry)
            for index, (total, carry) in enumerate(rows)
        ]

        written = tags[levels + 2]
        address = group
        for age in range(levels - 1, levels + 3):
            later = Signal.like(group, name=f"group_{age}", reset_less=True)
            m.d.sync += later.eq(address)
            address = later
        m.d.comb += [
            partial.write.enable.eq(written.word & written.keep),
            partial.write.address.eq(address),
            partial.write.data.eq(result),
            output.valid.eq(written.word & ~written.keep),
            output.payload.sums.eq(result),
            output.payload.last.eq(written.end),
        ]

    def _claims(self, m: Module, queue: BypassQueue, promised: Signal, tags: list[View]) -> None:
        """What proves that no sums are ever lost, in a form that induction can start anywhere."""
        in_flight = sum((tag.word & ~tag.keep for tag in tags[1:]), C(0))
        m.d.comb += [
            Assert(promised <= 0),
            Assert(promised + _QUEUE_DEPTH == queue.level + in_flight),
            Assert(queue.consistent()),
            Assert(~queue.i.valid | queue.i.ready, "sums are lost"),
        ]
