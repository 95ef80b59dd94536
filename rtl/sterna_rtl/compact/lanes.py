"""Lanes: row sums of one block of columns after the other, for a chip with one row a word."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import COLUMNS, LONGEST, SUM_BITS
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.memory import WritePort
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import transfers

__all__ = ["Lanes"]

_ROW_BITS = (LONGEST - 1).bit_length()

_BLOCK = StructLayout({"last_row": _ROW_BITS, "begins": 1, "ends": 1})
"""A block of columns: its last row, whether it is the first one of the matrix or the last one."""

_WORD = ArrayLayout(StructLayout({"nonzero": 1, "negative": 1}), COLUMNS)
"""Weights of a row's block as two bits each (`Packing.TWO_BITS`)."""


class Lanes(Component):
    """Select, add and keep: ``sums[row] += activations @ weights[row]``.

    The activations of the next block are shifted in while one passes.

    Each adder has a carry to begin with, and with that to the sums of the blocks before there are
    as many adders as lanes: a negative weight's activation is complemented, and the one more is a
    carry.

    Attributes
    ----------
    activation : Signal, in
        Shifted in with `shifts`; the first one of a block ends up in the first lane.
    shifts : Signal, in
        From the clock after a block is offered on they belong to the next one.
    i_block : stream.Interface
        Blocks, accepted when all their sums are written. Their activations are taken on the first
        clock.
    i_words : stream.Interface
        Words of a block's rows, in their order.
    new_sums : WritePort
        Sums of all blocks, while the last one passes.

    Latency
        3 clocks from a word to its sum; the next block may be offered on the clock after that, and
        its first word passes a clock later.

    Throughput
        A word per clock.

    Backpressure
        Sums are written in any case.

    Resources
        Three block RAMs of 4 Kbit.
    """

    latency = 3

    def __init__(self) -> None:
        self.partial = Ram(1 << _ROW_BITS, signed(SUM_BITS), block=True)
        super().__init__(
            {
                "activation": In(signed(8)),
                "shifts": In(1),
                "i_block": In(stream.Signature(_BLOCK)),
                "i_words": In(stream.Signature(_WORD)),
                "new_sums": Out(WritePort(1 << _ROW_BITS, signed(SUM_BITS))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.partial = partial = self.partial
        block = self.i_block.payload
        following = Signal(8 * COLUMNS, reset_less=True)
        activations = Signal(ArrayLayout(signed(8), COLUMNS), reset_less=True)
        with m.If(self.shifts):
            m.d.sync += following.eq(Cat(following[8:], self.activation))

        # Words pass until the last one has; then its sum is waited for.
        row, begun, ended = Signal(_ROW_BITS), Signal(), Signal()
        passes, line = transfers(self.i_words), Signal(self.latency)
        with m.If(self.i_block.valid & ~begun):
            m.d.sync += [begun.eq(1), Value.cast(activations).eq(following)]
        m.d.comb += [
            self.i_words.ready.eq(begun & ~ended),
            self.i_block.ready.eq(ended & ~line.any()),
        ]
        m.d.sync += line.eq(Cat(passes, line))
        with m.If(passes):
            m.d.sync += [row.eq(row + 1), ended.eq(row == block.last_row)]
        with m.If(transfers(self.i_block)):
            m.d.sync += [row.eq(0), begun.eq(0), ended.eq(0)]
        rows = delay_line(m, row, self.latency, "row", reset_less=True)

        total, carry = self._sum(m, activations)
        before = Mux(block.begins, 0, partial.read.data)
        kept = Signal(signed(SUM_BITS), reset_less=True)
        m.d.sync += kept.eq(_add(total, before, carry))
        m.d.comb += partial.read.address.eq(rows[1])
        for port, enable in ((partial.write, line[-1]), (self.new_sums, line[-1] & block.ends)):
            m.d.comb += [port.enable.eq(enable), port.address.eq(rows[-1]), port.data.eq(kept)]
        return m

    def _sum(self, m: Module, activations) -> tuple[Value, Value]:
        """Add what the lanes select, 2 clocks later; return the sum and a carry that is left."""
        word, terms, carries = self.i_words.payload, [], []
        for lane, activation in zip(word, activations, strict=True):
            selected = activation.as_unsigned() ^ lane.negative.replicate(8)
            terms.append((selected & lane.nonzero.replicate(8)).as_signed())
            carries.append(lane.nonzero & lane.negative)
        left = carries[1::2]
        # Pairs of lanes on the first clock, all that makes three of them on the second.
        terms = _pairs(terms, carries[::2])
        for number, bits in enumerate((9, 11)):
            kept = [
                Signal(signed(bits), name=f"sum_{number}_{n}", reset_less=True)
                for n in range(len(terms))
            ]
            m.d.sync += [register.eq(term) for register, term in zip(kept, terms, strict=True)]
            late = Signal(len(left), name=f"carries_{number}", reset_less=True)
            m.d.sync += late.eq(Cat(left))
            terms, left = kept, list(late)
            if number == 0:
                terms, left = _pairs(terms, left), left[len(terms) // 2 :]
                terms, left = _pairs(terms, left), left[len(terms) // 2 :]
        first, second, third = terms
        return _add(_add(first, second, left[0]), third, left[1]), left[2]


def _pairs(terms: list, carries: list) -> list[Value]:
    """Add neighbours, each pair with a carry."""
    return [_add(*pair) for pair in zip(terms[::2], terms[1::2], carries, strict=False)]


def _add(a: Value, b: Value, carry: Value) -> Value:
    """Return the sum of two signed numbers and a bit, by one chain of carries."""
    bits = max(len(a), len(b)) + 1
    wide = (Cat(carry, a).as_signed() + Cat(carry, b).as_signed()).as_signed()
    return wide[1 : bits + 1].as_signed()
