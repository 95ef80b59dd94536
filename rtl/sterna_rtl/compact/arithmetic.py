"""Arithmetic: all operations of epilogue and quantizer by one multiplier, pass after pass."""

from __future__ import annotations

from amaranth import *
from amaranth.hdl import ShapeLike
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from sterna.spec import compact
from sterna.spec.compact import CELLS, FRACTION_ONE, PAGE, Page, Place, Shift
from sterna_rtl.compact.finish import SHIFT_BITS, Finish
from sterna_rtl.compact.multiplier import FACTOR_BITS, Multiplier
from sterna_rtl.compact.sigmoid import Sigmoid
from sterna_rtl.compact.sums import LARGEST_BITS, TOTAL_BITS, Largest, Total
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.memory import ReadPort, WritePort

__all__ = ["MEMORIES", "Arithmetic"]

_INDEX_BITS = (compact.LONGEST - 1).bit_length()
_PAGE_BITS = (PAGE - 1).bit_length()

MEMORIES: dict[str, tuple[int, ShapeLike]] = {
    "sums": (2 * compact.NOISE_WORDS, signed(FACTOR_BITS)),
    "work": (compact.WORK_WORDS, signed(FACTOR_BITS)),
    "factor": (compact.FACTOR_WORDS, signed(FACTOR_BITS)),
    "vector": (compact.VECTOR_WORDS, unsigned(16)),
    "place": (len(Place), range(compact.VECTOR_WORDS)),
    "shift": (len(Shift), SHIFT_BITS),
}
"""Words and shape of each memory beside the unit."""

_WRITTEN = "work", "factor", "vector"

_COMMAND = StructLayout(
    {"program": compact.PROGRAM_BITS, "first": _INDEX_BITS, "last": _INDEX_BITS}
)
"""A program, and the first and last element of the vectors that it works on."""

_DONE = StructLayout(
    {
        "total": TOTAL_BITS,
        "rest": LARGEST_BITS,
        "more": 1,
        "element": _INDEX_BITS,
        "clamped": _INDEX_BITS + 1,
        "result": signed(FACTOR_BITS),
    }
)
"""Sum of squares; the largest product (see `Largest`) and its element; how many results were
clamped; the last result, before its sigmoid."""

_PASS = StructLayout(dict(compact.PASS_FIELDS))

_MULTIPLIED = 1 + Multiplier.latency
"""Clocks from the addresses of an element to its product."""

_DIRECT = _MULTIPLIED + Finish.latency
"""To its result."""

_SIGMOID = _DIRECT + Sigmoid.latency
"""To the sigmoid of that."""


class Arithmetic(Component):
    """Execute programs of `sterna.spec.compact` on vectors in memories beside the unit.

    Attributes
    ----------
    i : stream.Interface
        Commands: ``program``, ``first`` and ``last`` element. Accepted when the program is done.
    o : stream.Interface
        What a program leaves: the sum of its squares, its largest product, how many results were
        clamped, all 0 where it has none, and its last result.
    sums : ReadPort
        Row sums by the number of the row, for EMBED the embedding's elements; noise behind them.
    work, new_work : ReadPort, WritePort
        The work memory.
    factor, new_factor : ReadPort, WritePort
        Factors, `Cell` behind them.
    vector, new_vector : ReadPort, WritePort
        The vector memory. It is never read on a clock on which it is written. While no program is
        executed it is read at the place of the command that is shown, from two clocks after that.
    place, shift : ReadPort
        What a segment has set: addresses in the vector memory by `Place`, and amounts by `Shift`.
    activation : WritePort
        Activations for the engine, by their number.
    overhead : int
        Clocks of a pass besides those of its elements.

    Latency
        A pass takes a clock for each element and `overhead`. From a command to `o` its passes take
        so long, and one clock.

    Throughput
        One element per clock; one program at a time.

    Backpressure
        The memories never stall. The next program begins when `o` has been taken.
    """

    overhead = _SIGMOID + 1

    def __init__(self) -> None:
        self.multiplier = Multiplier()
        self.finish = Finish()
        self.sigmoid = Sigmoid()
        self.total = Total()
        self.largest = Largest()
        super().__init__(
            {
                "i": In(stream.Signature(_COMMAND)),
                "o": Out(stream.Signature(_DONE)),
                **{name: Out(ReadPort(*MEMORIES[name])) for name in MEMORIES},
                **{f"new_{name}": Out(WritePort(*MEMORIES[name])) for name in _WRITTEN},
                "activation": Out(WritePort(1 << _INDEX_BITS, signed(8))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        for name in ("multiplier", "finish", "sigmoid", "total", "largest"):
            m.submodules[name] = getattr(self, name)
        # What a pass does stands at the ROM's outputs until all its results are written.
        m.submodules.rom = rom = Memory(
            shape=unsigned(compact.PASS_BITS), depth=len(compact.rom()), init=compact.rom()
        )
        read, step = rom.read_port(), Signal(compact.STEP_BITS)
        m.d.comb += read.addr.eq(Cat(step, self.i.payload.program))
        now = Signal(_PASS)
        m.d.comb += now.eq(read.data)
        begin = Signal()  # the next clock is that of the pass's first element
        index = Signal(_INDEX_BITS)
        line = self._control(m, now, step, begin, index)
        writes, written = Signal(), Signal(_INDEX_BITS)
        m.d.comb += writes.eq(Mux(now.sigmoid, line[_SIGMOID], line[_DIRECT]))
        with m.If(begin):
            m.d.sync += written.eq(self.i.payload.first)
        with m.Elif(writes):
            m.d.sync += written.eq(written + 1)
        self._operands(m, now, index, written)
        self._results(m, now, writes, written)
        self._left(m, now, begin, line, step, written)
        return m

    def _control(self, m: Module, now, step: Signal, begin: Signal, index: Signal) -> Value:
        """Go through passes and elements; say which of the last clocks had an element."""
        command, going, line = self.i.payload, Signal(), Signal(_SIGMOID)
        m.d.sync += line.eq(Cat(going, line))
        m.d.comb += [self.place.address.eq(now.place), self.shift.address.eq(now.shift)]
        with m.FSM(name="pass"):
            with m.State("COMMAND"):
                m.d.sync += index.eq(0)
                with m.If(self.i.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += begin.eq(1)
                m.d.sync += index.eq(command.first)
                m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                m.d.comb += going.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == command.last):
                    m.next = "WAIT"
            with m.State("WAIT"):
                # The next row comes two clocks later, when the last sigmoid has been written.
                with m.If(~line[: _SIGMOID - 2].any()):
                    m.d.sync += step.eq(step + 1)
                    m.next = "NEXT"
                    with m.If(now.last):
                        m.d.sync += step.eq(0)
                        m.next = "DONE"
            with m.State("NEXT"):
                m.next = "BEGIN"
            with m.State("DONE"):
                m.d.comb += self.o.valid.eq(1)
                m.d.comb += self.i.ready.eq(self.o.ready)
                with m.If(self.o.ready):
                    m.next = "COMMAND"
        return Cat(going, line)

    def _operands(self, m: Module, now, index: Signal, written: Signal) -> None:
        """Read, choose and multiply."""
        place, cell = self.place.data, Cat(now.cell, C(CELLS >> 3, _INDEX_BITS - 3))
        moving = index & (~now.fixed_page).replicate(_INDEX_BITS)
        m.d.comb += [
            self.sums.address.eq(Cat(index, now.noise)),
            self.work.address.eq(_in_page(now.page, moving)),
            self.factor.address.eq(Mux(now.fixed, cell, index)),
            self.vector.address.eq(place + Mux(now.to_vector, written, index)),
        ]
        vector = Cat(self.vector.data, (self.vector.data[-1] & ~now.plain).replicate(2))
        # A choice by bits: `Mux` of numbers of both signs would have more bits than either.
        m.d.comb += [
            self.multiplier.a.eq(Mux(now.sums, self.sums.data, self.work.data)),
            self.multiplier.b.eq(Mux(now.vector, vector.as_signed(), self.factor.data)),
        ]
        addend = Mux(now.adds, self.factor.data, Mux(now.adds_one, FRACTION_ONE, 0))
        addend = delay_line(m, addend, Multiplier.latency, "addend", reset_less=True)[-1]
        m.d.comb += [
            self.finish.product.eq(self.multiplier.product),
            self.finish.addend.eq(addend),
            self.finish.shift.eq(self.shift.data),
            self.finish.rounds.eq(now.rounds),
            self.finish.wide.eq(now.wide),
        ]

    def _results(self, m: Module, now, writes: Signal, written: Signal) -> None:
        """Write where the pass says."""
        direct, result = self.finish.result, Signal(signed(FACTOR_BITS))
        m.d.comb += [
            self.sigmoid.value.eq(direct),
            self.sigmoid.complement.eq(now.complement),
            result.eq(Mux(now.sigmoid, self.sigmoid.result, direct)),
            self.new_work.address.eq(_in_page(now.target, written)),
            self.new_work.enable.eq(writes & now.to_work),
            self.new_factor.address.eq(written),
            self.new_factor.enable.eq(writes & now.to_factor),
            self.new_vector.address.eq(self.vector.address),
            self.new_vector.enable.eq(writes & now.to_vector),
            self.activation.address.eq(written),
            self.activation.enable.eq(writes & now.to_engine),
            self.new_work.data.eq(result),
            self.new_factor.data.eq(result),
            self.new_vector.data.eq(direct),
            self.activation.data.eq(direct),
        ]

    def _left(
        self, m: Module, now, begin: Signal, line: Value, step: Signal, written: Signal
    ) -> None:
        """Gather what the program leaves, from the products and from what was clamped."""
        total, largest, done = self.total, self.largest, self.o.payload
        multiplied, clamped = line[_MULTIPLIED], Signal(_INDEX_BITS + 1)
        starts = begin & (step == 0)
        m.d.comb += [
            total.product.eq(self.multiplier.product),
            total.clear.eq(starts),
            total.add.eq(multiplied & now.squares),
            largest.product.eq(self.multiplier.product),
            largest.addend.eq(self.finish.addend),
            largest.signed.eq(now.signed),
            largest.clear.eq(starts),
            largest.compare.eq(multiplied & now.largest),
            done.total.eq(total.total),
            done.rest.eq(largest.rest),
            done.more.eq(largest.more),
            done.clamped.eq(clamped),
            done.result.eq(self.finish.result),
            self.finish.keep.eq(~line[_DIRECT - 1]),
        ]
        # An element's number comes with its result.
        larger, element = largest.larger, Signal(_INDEX_BITS)
        found = delay_line(m, larger, Finish.latency - Largest.latency, "larger")[-1]
        m.d.comb += done.element.eq(element)
        with m.If(starts):
            m.d.sync += element.eq(0)
        with m.Elif(found):
            m.d.sync += element.eq(written)
        with m.If(starts):
            m.d.sync += clamped.eq(0)
        with m.Elif(line[_DIRECT] & now.counts & self.finish.clamped):
            m.d.sync += clamped.eq(clamped + 1)


def _in_page(page: Value, index: Value) -> Value:
    """Return the address of an element of what begins with a page."""
    pages = (page + index[_PAGE_BITS:])[: len(Const(compact.WORK_WORDS - 1)) - _PAGE_BITS]
    return Cat(index[:_PAGE_BITS], pages)


assert max(Page) * PAGE < compact.WORK_WORDS
assert compact.NOISE_WORDS == 1 << _INDEX_BITS
