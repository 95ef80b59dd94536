"""Best: the k largest logits of a pass with their tokens, in order."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.chip import ChipConfig
from sterna.spec.fixed import PRE_BITS
from sterna_rtl.arith.gumbel import GUMBEL_BITS
from sterna_rtl.arith.largest import Largest
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import can_load, transfers

__all__ = ["Best"]

_BIAS = 1 << PRE_BITS - 1
"""The lists hold logits with this added, unsigned: 0 is below all, as saturation is symmetric."""


class Best(Component):
    """Keep the `top_k` largest logits of a pass, then give them from the largest on.

    Each lane keeps an ordered list of its own, so that it can take a logit on every clock, whatever
    the logits are. After the last part of a pass the lists are merged.

    Parameters
    ----------
    config : ChipConfig
        With `top_k` of 1 or more.

    Attributes
    ----------
    i : stream.Interface
        Parts of a pass, in order.
    o : stream.Interface
        Always `top_k` candidates; those that the vocabulary is too small for do not exist. Of equal
        logits the lower token comes first.
    clocks : int
        From the last part to the last candidate.

    Latency
        2 clocks from the last part, then for each candidate 2 and one for each halving of the
        lanes.

    Throughput
        A part per clock; none while candidates are given.

    Resources
        Alone, for 4 lanes on ECP5: 490 LUT4, 187 CCU2C, 44 DPR16X4 and 697 FF for 4
        candidates; 886, 331, 44 and 1 026 for 8.
    """

    def __init__(self, config: ChipConfig) -> None:
        layouts = Layouts(config)
        self.lanes = min(config.rows, config.elements)
        self.length = config.top_k
        self.halvings = exact_log2(self.lanes)
        self.clocks = 2 + self.length * (2 + self.halvings)
        self.position_bits = max(config.token_bits - self.halvings, 1)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.part)),
                "o": Out(stream.Signature(layouts.candidate)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        merging, clear = Signal(), Signal()
        part = self.i.payload
        m.d.comb += self.i.ready.eq(~merging)
        position = Signal(self.position_bits)
        with m.If(clear):
            m.d.sync += position.eq(0)
        with m.Elif(transfers(self.i)):
            m.d.sync += position.eq(position + 1)

        # The lanes take a part one clock after it has come.
        lists = [_Ranked(self.length, self.position_bits) for _ in range(self.lanes)]
        for lane, ranked in enumerate(lists):
            m.submodules[f"lane_{lane}"] = ResetInserter(clear)(ranked)
            exists = transfers(self.i) & part.mask[lane]
            m.d.sync += [
                ranked.i.logit.eq(Mux(exists, part.values[lane] ^ _BIAS, 0)),
                ranked.i.noise.eq(part.noise[lane]),
                ranked.i.position.eq(position),
            ]
        self._merge(m, lists, merging, clear)
        return m

    def _merge(self, m: Module, lists: list[_Ranked], merging: Signal, clear: Signal) -> None:
        """Give the largest of the lanes' heads, of equals that of the lowest token, and go on."""
        heads = [ranked.o for ranked in lists]
        key = StructLayout({"falling": self.position_bits, "logit": PRE_BITS, "exists": 1})
        m.submodules.largest = largest = Largest(key.size, self.lanes)
        for lane, (ranked, head) in enumerate(zip(lists, heads, strict=True)):
            head_key = Signal(key, name=f"key_{lane}")
            m.d.sync += [
                head_key.falling.eq(~head.position),
                head_key.logit.eq(head.logit),
                head_key.exists.eq(ranked.exists),
            ]
            m.d.comb += largest.values[lane].eq(head_key.as_value())
        winner = Signal(key)
        m.d.comb += winner.eq(largest.value)

        candidate = self.o.payload
        wait = Signal(range(self.halvings + 1))
        left = Signal(range(self.length), init=self.length - 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM(name="best"):
            with m.State("TAKE"):
                with m.If(transfers(self.i) & self.i.payload.last):
                    m.d.sync += merging.eq(1)
                    m.next = "INSERT"
            with m.State("INSERT"):
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == self.halvings):
                    m.d.sync += wait.eq(0)
                    m.next = "GIVE"
            with m.State("GIVE"), m.If(can_load(self.o)):
                m.d.sync += [
                    candidate.token.eq(Cat(largest.number, ~winner.falling)),
                    candidate.logit.eq(winner.logit ^ _BIAS),
                    candidate.noise.eq(Array(head.noise for head in heads)[largest.number]),
                    candidate.exists.eq(winner.exists),
                    candidate.last.eq(left == 0),
                    self.o.valid.eq(1),
                    left.eq(left - 1),
                ]
                for lane, ranked in enumerate(lists):
                    m.d.comb += ranked.next.eq(winner.exists & (largest.number == lane))
                m.next = "COMPARE"
                with m.If(left == 0):
                    m.d.comb += clear.eq(1)
                    m.d.sync += [left.eq(left.init), merging.eq(0)]
                    m.next = "TAKE"


class _Ranked(Component):
    """The largest logits of one lane, in order, and a place among them.

    Only logits move when one is inserted; what goes with a logit stays in a slot of a RAM.

    Attributes
    ----------
    i : View, in
        A logit on every clock, biased; 0 changes nothing.
    next : Signal, in
        Go on to the next place.
    o : View, out
        What stands there.
    exists : Signal, out
        Something does.
    """

    def __init__(self, length: int, position_bits: int) -> None:
        self.length = length
        self.row = StructLayout(
            {"logit": PRE_BITS, "noise": signed(GUMBEL_BITS), "position": position_bits}
        )
        super().__init__({"i": In(self.row), "next": In(1), "o": Out(self.row), "exists": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        length = self.length
        m.submodules.rows = rows = Memory(shape=self.row, depth=length, init=[])
        write, read = rows.write_port(), rows.read_port(domain="comb")
        logits = [Signal(PRE_BITS, name=f"logit_{n}") for n in range(length)]
        slots = [Signal(range(length), init=n, name=f"slot_{n}") for n in range(length)]
        greater = Signal(length)
        m.d.comb += greater.eq(Cat((logit - self.i.logit)[-1] for logit in logits))
        # The slot of the smallest one, which leaves, takes the new one.
        moved = [(self.i.logit, slots[-1]), *zip(logits[:-1], slots[:-1], strict=True)]
        for place, (logit, slot) in enumerate(zip(logits, slots, strict=True)):
            first = greater[place] & ~greater[place - 1] if place else greater[0]
            with m.If(greater[place]):
                m.d.sync += [
                    logit.eq(Mux(first, self.i.logit, moved[place][0])),
                    slot.eq(Mux(first, slots[-1], moved[place][1])),
                ]
        m.d.comb += [
            write.en.eq(greater[-1]),
            write.addr.eq(slots[-1]),
            write.data.eq(self.i),
        ]
        count, place = Signal(range(length + 1)), Signal(range(length + 1))
        m.d.sync += count.eq(count + (greater[-1] & (count != length)))
        m.d.sync += place.eq(place + self.next)
        m.d.comb += [
            read.addr.eq(Array(slots)[place]),
            self.o.eq(read.data),
            self.exists.eq(place != count),
        ]
        return m
