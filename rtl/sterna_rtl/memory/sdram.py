"""Sdram: the controller of an SDR SDRAM, blocks of words behind streams."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.sdram import ALL_BANKS, AUTO_PRECHARGE, BURST, WORD_BITS, Command, Part
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.stream import connect_stream, transfers

from .guard import Guard
from .pins import Pins
from .power_up import PowerUp
from .refresh import Refresh
from .visits import Visits, request_layout, visit_layout

__all__ = ["Sdram"]

READ_QUEUE = 32
"""Words read that are reserved, in flight or wait: a burst beyond what a round trip takes."""

WRITE_QUEUE = 2 * BURST


class Sdram(Component):
    """Read and write blocks of `BURST` words.

    Requests are cut into visits to rows. While the bursts of one visit run, the row of the next is
    opened, also across requests; the last burst of a visit closes its row. A burst to be read is
    begun only if the queue has room for it, one to be written only if its words are there.

    Parameters
    ----------
    part : Part
    clock_hz : int
        Frequency of the chip and the memory.
    cas : int
        CAS latency.
    pads : int
        Registers between these pins and the memory, on the way there and back together.

    Attributes
    ----------
    i : stream.Interface
        `request_layout`. Done in order.
    i_word : stream.Interface
        Words to write, a block's lowest address first.
    o : stream.Interface
        Words read, in the order of the requests. Registered.
    pins : Pins
        Commands are on the pins two clocks after they are chosen. The memory must take them in the
        middle of that clock or at its end; a word is taken from the pins `cas + pads` clocks after
        its READ was there.

    Latency
        `latency` clocks from a read request to its first word if the bank rests.

    Throughput
        A word per clock in sequence. A refresh costs `refresh_cost` clocks of each `period`. From
        a read to a write 1 + CAS latency clocks pass, and a row that follows one of the same bank
        waits for it to close.

    Backpressure
        While `o` waits nothing is lost, and rows are refreshed.
    """

    def __init__(self, part: Part, clock_hz: int, cas: int = 3, pads: int = 0) -> None:
        self.part = part
        self.pads = pads
        self.timing = timing = part.at(clock_hz, cas)
        # From ACTIVATE to PRECHARGE, so that the row's next ACTIVATE and REFRESH keep tRC too.
        self.active = max(timing.ras, timing.rc - timing.rp)
        if timing.rcd + BURST < self.active:
            raise ValueError("a row would close before its time with one burst")
        self.visits = Visits(part)
        self.power_up = PowerUp(timing)
        close = max(self.active, BURST - 1 + timing.wr, BURST)
        self.refresh = Refresh(timing, close)
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(part))),
                "i_word": In(stream.Signature(WORD_BITS)),
                "o": Out(stream.Signature(WORD_BITS)),
                "pins": Out(Pins(part)),
            }
        )

    @property
    def latency(self) -> int:
        """Clocks from a read request to its first word."""
        # Visit, its place, then ACTIVATE and READ; command, twice, and data are registered.
        return 6 + self.timing.rcd + 1 + self.timing.cas + self.pads + 2

    @property
    def refresh_cost(self) -> int:
        """Clocks by which a refresh delays a read stream."""
        return self.timing.rp + self.timing.rfc + self.timing.rcd

    @property
    def period(self) -> int:
        """Clocks from refresh to refresh."""
        return self.refresh.period

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.visits = self.visits
        m.submodules.power_up = self.power_up
        m.submodules.refresh = self.refresh
        connect_stream(m, self.i, self.visits.i)
        m.d.comb += self.pins.cke.eq(1)
        m.d.sync += self.pins.mask.eq(Mux(self.power_up.done, 0, -1))
        read, write = Signal(), Signal()  # begin bursts
        room = self._read(m, read)
        words_there = self._write(m, write)
        self._commands(m, read, write, room, words_there)
        return m

    def _commands(
        self, m: Module, read: Signal, write: Signal, room: Value, words_there: Value
    ) -> None:
        """Choose the command of each clock."""
        timing, banks = self.timing, range(1 << self.part.bank_bits)
        current, following = (
            Signal(visit_layout(self.part), name=name) for name in ("current", "following")
        )
        # A visit is there; its row is open.
        there, opened = Signal(), Signal()
        following_there, following_opened = Signal(), Signal()

        turn = timing.cas + BURST + 1  # the memory leaves the bus for a clock before a write
        closing = max(BURST + timing.rp, BURST - 1 + timing.wr + timing.rp)
        may_read, may_write = Guard(m, BURST, "may_read"), Guard(m, turn, "may_write")
        may_close = Guard(m, max(self.active, BURST - 1 + timing.wr, BURST), "may_close")
        may_open = Guard(m, timing.rrd, "may_open")
        access = [Guard(m, timing.rcd, f"access_{bank}") for bank in banks]
        activate = [Guard(m, max(closing, timing.rfc), f"activate_{bank}") for bank in banks]
        accessible = Array(guard.open for guard in access)
        activatable = Array(guard.open for guard in activate)

        free = Signal()  # accesses and rows may begin
        m.d.comb += free.eq(self.power_up.done & ~self.refresh.due)
        m.d.comb += self.refresh.may_close.eq(self.power_up.done & may_close.open)

        burst = Signal()
        m.d.comb += [
            burst.eq(free & there & opened & accessible[current.bank]),
            read.eq(burst & ~current.write & may_read.open & room),
            write.eq(burst & current.write & may_write.open & words_there),
        ]
        last = current.block == current.last
        leaves = (read | write) & last

        opens_current = there & ~opened & activatable[current.bank]
        opens_following = (
            opened & following_there & ~following_opened
            & (following.bank != current.bank) & activatable[following.bank]
        )  # fmt: skip
        opens, opened_bank, opened_row = (
            Signal(),
            Signal.like(current.bank),
            Signal.like(current.row),
        )
        m.d.comb += [
            opens.eq(free & ~read & ~write & may_open.open & (opens_current | opens_following)),
            opened_bank.eq(Mux(opened, following.bank, current.bank)),
            opened_row.eq(Mux(opened, following.row, current.row)),
        ]

        # Both visits move up as soon as there is room.
        moves = ~there | leaves
        m.d.comb += self.visits.o.ready.eq(~following_there | moves)
        with m.If(moves):
            m.d.sync += [
                current.eq(following),
                there.eq(following_there),
                opened.eq(following_opened),
            ]
        with m.Elif(read | write):
            m.d.sync += current.block.eq(current.block + 1)
        with m.If(self.visits.o.ready):
            m.d.sync += [
                following.eq(self.visits.o.payload),
                following_there.eq(self.visits.o.valid),
                following_opened.eq(0),
            ]
        with m.If(opens & opened):
            m.d.sync += following_opened.eq(1)
        with m.Elif(opens):
            m.d.sync += opened.eq(1)
        with m.If(self.refresh.close):
            m.d.sync += [opened.eq(0), following_opened.eq(0)]

        with m.If(opens):
            may_open.start(timing.rrd)
            may_close.start(self.active)
        with m.If(read):
            may_read.start(BURST)
            may_write.start(turn)
            may_close.start(BURST)
        with m.If(write):
            may_read.start(BURST)
            may_write.start(BURST)
            may_close.start(BURST - 1 + timing.wr)
        for bank in banks:
            with m.If(opens & (opened_bank == bank)):
                access[bank].start(timing.rcd)
            with m.If(leaves & (current.bank == bank)):
                activate[bank].start(closing)
            with m.If(self.refresh.refresh):
                activate[bank].start(timing.rfc)

        # A register between choice and pins: the choice is late in its clock, and pins are far.
        pins, chosen = self.pins, {}
        for name in ("command", "bank", "address"):
            pin = getattr(pins, name)
            chosen[name] = Signal.like(pin, name=f"chosen_{name}")
            m.d.sync += pin.eq(chosen[name])
        column = Cat(C(0, BURST.bit_length() - 1), current.block)
        m.d.sync += [
            chosen["command"].eq(self.power_up.command),
            chosen["bank"].eq(Mux(opens, opened_bank, Mux(self.power_up.done, current.bank, 0))),
            chosen["address"].eq(self.power_up.address),
        ]
        with m.If(opens):
            m.d.sync += [chosen["command"].eq(Command.ACTIVATE), chosen["address"].eq(opened_row)]
        with m.If(read | write):
            m.d.sync += [
                chosen["command"].eq(Mux(read, Command.READ, Command.WRITE)),
                chosen["address"].eq(column | Mux(last, AUTO_PRECHARGE, 0)),
            ]
        with m.If(self.refresh.close):
            m.d.sync += [chosen["command"].eq(Command.PRECHARGE), chosen["address"].eq(ALL_BANKS)]
        with m.If(self.refresh.refresh):
            m.d.sync += chosen["command"].eq(Command.REFRESH)

    def _read(self, m: Module, read: Signal) -> Value:
        """Take the words of bursts as they come; return whether there is room for one more."""
        m.submodules.words_read = queue = Queue(WORD_BITS, READ_QUEUE)
        connect_stream(m, queue.o, self.o)
        trip = self.timing.cas + 2 + self.pads
        word, coming = Signal(WORD_BITS, reset_less=True), Signal(trip + BURST)
        m.d.sync += [
            word.eq(self.pins.data.i),
            coming.eq(coming >> 1 | Mux(read, (1 << BURST) - 1 << trip, 0)),
        ]
        m.d.comb += [queue.i.valid.eq(coming[0]), queue.i.payload.eq(word)]
        free = Signal(range(READ_QUEUE + 1), init=READ_QUEUE)
        m.d.sync += free.eq(free - Mux(read, BURST, 0) + transfers(self.o))
        return free >= BURST

    def _write(self, m: Module, write: Signal) -> Value:
        """Give the words of bursts; return whether the queue holds a whole one."""
        m.submodules.words_to_write = queue = Queue(WORD_BITS, WRITE_QUEUE)
        connect_stream(m, self.i_word, queue.i)
        going = Signal(BURST)
        there = Signal(range(WRITE_QUEUE + 1))  # words that no burst has been begun for
        m.d.sync += [
            going.eq(Mux(write, (1 << BURST) - 1, going >> 1)),
            there.eq(there + transfers(self.i_word) - Mux(write, BURST, 0)),
            self.pins.data.o.eq(queue.o.payload),
            self.pins.data.oe.eq(queue.o.ready),
        ]
        m.d.comb += queue.o.ready.eq(going[0])
        return there >= BURST
