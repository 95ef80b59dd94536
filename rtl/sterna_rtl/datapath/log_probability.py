"""Log-probability of a given token, from the logits as they come."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.golden.log_probability import GUARD, PAIRS, REST_BITS
from sterna.spec import tables
from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import (
    LOG_PROBABILITY_BITS,
    LOG_SCALE_BITS,
    LOG_SCALE_FRACTION,
    PRE_BITS,
)
from sterna.spec.tables import MANTISSA_FRACTION, OCTAVE_FRACTION
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.delay import delay_line
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

__all__ = ["LogProbability"]

_QUEUE = 16

_FLUSH = 5
"""Clocks from a part to the sums."""

_OCTAVE_BITS = PRE_BITS + LOG_SCALE_BITS - (LOG_SCALE_FRACTION - OCTAVE_FRACTION)
_TERM_BITS = MANTISSA_FRACTION + 2
_BIN_BITS = exact_log2(PAIRS)
_TAG_BITS = _OCTAVE_BITS - OCTAVE_FRACTION - 1 - _BIN_BITS
_LOG2_REST_BITS = OCTAVE_FRACTION - exact_log2(tables.LOG2_SEGMENTS)


class LogProbability(Component):
    """Compute a target's logit less the logarithm of the sum of all exponentials, in octaves.

    Each lane has 16 sums, one for each pair of octaves down from the highest that it has met; a sum
    knows by its tag which pair it is of, and gives way to a higher one. The sums are exact, so that
    their order does not matter. After the pass the lanes' sums are joined, one a clock, from the
    lowest pair to the highest, and the logarithm is taken. See `sterna.golden.log_probability`.

    Parameters
    ----------
    config : ChipConfig

    Attributes
    ----------
    i : stream.Interface
        Parts of a pass, in order; of a pass without a target nothing comes.
    target : View, in
        Token, and whether there is a target. Held during a pass.
    scale : Signal, in
        From logits to octaves.
    o : stream.Interface
        A log-probability for each pass with a target; 16 wait here.

    Latency
        About 32 clocks for each lane and 64 more from the last part.

    Throughput
        A part per clock; none while the logarithm is computed.

    Backpressure
        The next pass waits while there is no room for the result.

    Resources
        Three multipliers for each lane and one more; alone, for 4 lanes on ECP5: 828 LUT4,
        185 CCU2C, 39 DPR16X4, 806 FF.
    """

    def __init__(self, config: ChipConfig) -> None:
        layouts = Layouts(config)
        self.lanes = min(config.rows, config.elements)
        self.position_bits = max(config.token_bits - exact_log2(self.lanes), 1)
        self.row = StructLayout(
            {
                "sum": _TERM_BITS + max(config.token_bits - exact_log2(self.lanes), 0),
                "tag": _TAG_BITS,
            }
        )
        self.total_bits = _TERM_BITS + config.token_bits + GUARD + 1
        super().__init__(
            {
                "i": In(stream.Signature(layouts.part)),
                "target": In(layouts.target),
                "scale": In(LOG_SCALE_BITS),
                "o": Out(stream.Signature(signed(LOG_PROBABILITY_BITS))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.results = results = Queue(signed(LOG_PROBABILITY_BITS), _QUEUE)
        connect_stream(m, results.o, self.o)
        take, clear = Signal(), Signal()
        shown = Signal()  # the rows at `index` are shown one clock later
        index = Signal(_BIN_BITS)
        m.d.comb += self.i.ready.eq(take)

        part = self.i.payload
        wanted = Signal()
        position = Signal(self.position_bits)
        m.d.comb += wanted.eq(transfers(self.i) & self.target.valid)
        with m.If(transfers(self.i)):
            m.d.sync += position.eq(Mux(part.last, 0, position + 1))
        aimed = self.target.token[exact_log2(self.lanes) :] == position

        rows = []
        target = Signal(signed(_OCTAVE_BITS))
        for lane in range(self.lanes):
            exists = wanted & part.mask[lane]
            octave = self._octave(m, f"octave_{lane}", part.values[lane])
            rows.append(self._lane(m, lane, octave, exists, index, shown, clear))
            here = self.target.token[: exact_log2(self.lanes)] == lane
            with m.If(delay_line(m, exists & aimed & here, 2, f"aimed_{lane}")[-1]):
                m.d.sync += target.eq(octave)
        row = Signal(self.row)
        lane = Signal(range(self.lanes + 1))  # 0: while the rows are fetched
        m.d.comb += row.eq(Array([rows[0], *rows])[lane])

        step = Signal(_BIN_BITS)
        top, pair = Signal(_BIN_BITS + _TAG_BITS), Signal(_BIN_BITS + _TAG_BITS)
        total = Signal(self.total_bits)
        exponent = Signal(range(self.total_bits), init=self.total_bits - 1)
        start, product = _look_up(
            m, "log2", tables.log2(), total[-1 - OCTAVE_FRACTION : -1], _LOG2_REST_BITS
        )
        octave = Signal(signed(_OCTAVE_BITS - OCTAVE_FRACTION + 1))
        wait = Signal(range(_FLUSH))
        matches = row.tag == pair[_BIN_BITS:]
        m.d.comb += [
            pair.eq(top + step - (PAIRS - 1)),
            results.i.payload.eq(
                target - ((octave << OCTAVE_FRACTION) + start + product[_LOG2_REST_BITS:])
            ),
        ]
        with m.FSM(name="log_probability", init="CLEAR"):
            with m.State("CLEAR"):
                m.d.comb += [shown.eq(1), clear.eq(1), index.eq(step)]
                m.d.sync += [step.eq(step + 1), top.eq(0), total.eq(0), exponent.eq(exponent.init)]
                with m.If(step.all()):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.comb += take.eq(1)
                with m.If(wanted & part.last):
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == _FLUSH - 1):
                    m.d.sync += wait.eq(0)
                    m.next = "TOP"
            with m.State("TOP"):
                m.d.comb += [shown.eq(1), index.eq(step)]
                seen = Cat(step, row.tag)
                with m.If((lane != 0) & (top - seen)[-1]):
                    m.d.sync += top.eq(seen)
                with m.If(_walk(m, lane, self.lanes, step)):
                    m.next = "JOIN"
            with m.State("JOIN"):
                m.d.comb += [shown.eq(1), index.eq(pair)]
                with m.If(lane != 0):
                    before = Mux(lane == 1, total >> 2, total)
                    m.d.sync += total.eq(before + (Mux(matches, row.sum, 0) << GUARD))
                with m.If(_walk(m, lane, self.lanes, step)):
                    m.next = "NORMALISE"
            with m.State("NORMALISE"):
                signed_pair = (top ^ 1 << len(top) - 1).as_signed()
                m.d.sync += octave.eq(2 * signed_pair + exponent - (MANTISSA_FRACTION + GUARD))
                # The total is 0 only if `scale` is more than any model's.
                with m.If(total[-1] | (exponent == 0)):
                    m.next = "LOOK"
                with m.Else():
                    m.d.sync += [total.eq(total << 1), exponent.eq(exponent - 1)]
            with m.State("LOOK"):
                m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += results.i.valid.eq(1)
                with m.If(results.i.ready):
                    m.next = "CLEAR"
        return m

    def _octave(self, m: Module, name: str, logit: Value) -> Signal:
        """The logit in octaves, 2 clocks later."""
        factor = Signal(signed(PRE_BITS), name=f"{name}_logit")
        product = Signal(signed(PRE_BITS + LOG_SCALE_BITS), name=f"{name}_product")
        octave = Signal(signed(_OCTAVE_BITS), name=name)
        m.d.sync += [factor.eq(logit), product.eq(factor * self.scale)]
        m.d.comb += octave.eq(product >> LOG_SCALE_FRACTION - OCTAVE_FRACTION)
        return octave

    def _lane(
        self, m: Module, lane: int, octave: Signal, exists: Value, index: Signal, shown: Signal,
        clear: Signal,
    ):  # fmt: skip
        """Add the exponential of a lane's logit to the sum of its pair; return the row shown."""
        start, product = _look_up(
            m, f"exp2_{lane}", tables.exp2(), octave[:OCTAVE_FRACTION], REST_BITS
        )
        mantissa = Signal(MANTISSA_FRACTION + 1, name=f"mantissa_{lane}")
        m.d.comb += mantissa.eq(start + product[REST_BITS:])
        upper = delay_line(m, octave[OCTAVE_FRACTION:], 2, f"upper_{lane}")[-1]

        place, tag = Signal(_BIN_BITS, name=f"place_{lane}"), Signal(_TAG_BITS, name=f"tag_{lane}")
        term = Signal(_TERM_BITS, name=f"term_{lane}")
        cleared, adds = Signal(name=f"cleared_{lane}"), Signal(name=f"adds_{lane}")
        m.d.sync += [
            place.eq(upper[1:]),
            tag.eq(upper[1 + _BIN_BITS :] ^ 1 << _TAG_BITS - 1),  # 0 is the lowest
            term.eq(Mux(upper[0], mantissa << 1, mantissa)),
            cleared.eq(clear),
            adds.eq(delay_line(m, exists, 4, f"exists_{lane}")[-1]),
        ]
        with m.If(shown):
            m.d.sync += [place.eq(index), tag.eq(0), term.eq(0)]

        sums = Memory(shape=self.row, depth=PAIRS, init=[])
        m.submodules[f"sums_{lane}"] = sums
        write, read = sums.write_port(), sums.read_port(domain="comb")
        row = read.data
        older = (tag - row.tag)[-1]
        m.d.comb += [
            read.addr.eq(place),
            write.addr.eq(place),
            write.en.eq(cleared | (adds & ~older)),
            write.data.tag.eq(tag),
            write.data.sum.eq(Mux(tag == row.tag, row.sum, 0) + term),
        ]
        return row


def _walk(m: Module, lane: Signal, lanes: int, step: Signal) -> Value:
    """Go on through the lanes of all steps; return whether this is the last clock of it."""
    last = lane == lanes
    m.d.sync += lane.eq(Mux(last, 0, lane + 1))
    with m.If(last):
        m.d.sync += step.eq(step + 1)
    return last & step.all()


def _look_up(
    m: Module, name: str, table: tables.Table, position: Value, rest_bits: int
) -> tuple[Value, Signal]:
    """Look a segment up: its start and its rise times the rest, 2 clocks later."""
    starts, rises = table
    shape = StructLayout({"start": max(starts).bit_length(), "rise": max(rises).bit_length()})
    rows = [{"start": start, "rise": rise} for start, rise in zip(starts, rises, strict=True)]
    # Yosys would make a block RAM of the table and the register behind it.
    rom = Memory(shape=shape, depth=len(rows), init=rows, attrs={"rom_style": "logic"})
    m.submodules[f"{name}_table"] = rom
    read = rom.read_port(domain="comb")
    row, rest = Signal(shape, name=f"{name}_row"), Signal(rest_bits, name=f"{name}_rest")
    product = Signal(len(row.rise) + rest_bits, name=f"{name}_product")
    start = Signal(len(row.start), name=f"{name}_start")
    m.d.comb += read.addr.eq(position[rest_bits:])
    m.d.sync += [
        row.eq(read.data),
        rest.eq(position[:rest_bits]),
        start.eq(row.start),
        product.eq(row.rise * rest),
    ]
    return start, product
