"""DmaReader: reads of the host's memory, many at a time, and their words in order."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from sterna.spec.dma import BLOCK_BYTES, REQUEST_BLOCKS, TAGS, DmaError
from sterna_rtl.lib.queue import Queue
from sterna_rtl.lib.ram import Ram
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.pcie.block import (
    DWORD,
    RC_DESCRIPTOR,
    RQ_DESCRIPTOR,
    Found,
    RequestType,
    Status,
    rc_beat,
    rq_beat,
)
from sterna_rtl.pcie.pages import DMA_PLACE

__all__ = ["PATIENCE", "DmaReader"]

PATIENCE = 1 << 24
"""Clocks without an answer after which a request is given up: at 250 MHz 67 ms, more than the 50 ms
after which most hosts and blocks themselves give up."""

_PIECE = 64
"""Bytes: answers are cut at multiples of these, and hold so many or a multiple."""

_AHEAD = 3
"""Words in flight from the RAM and in the queue behind it, at one a clock."""


class DmaReader(Component):
    """Ask the host for blocks and give their words in order, in whatever order they come.

    Each read has a tag, and for its answer a place in a RAM. It is asked for only if one is free,
    so that answers are taken at once. Tags are used in turn; a place is given up when its words
    have been read.

    An answer that is none, or does not come, raises `errors`. From then on nothing is asked for.
    Reads on their way come to their end, and words are given for all reads, whatever they hold, so
    that whoever counts them stays in step. An answer that comes after all is not taken for another:
    the upper bits of a tag count the times that errors were cleared.

    Parameters
    ----------
    width : int
        Bits of a beat.
    patience : int
        Clocks without an answer after which all that was asked for is given up.
    tags : int
        Reads that may be on their way, a power of two up to `TAGS`.

    Attributes
    ----------
    i : stream.Interface
        `DMA_PLACE`. None that goes over a multiple of its longest length.
    o : stream.Interface
        Words of `width` bits. Registered.
    rq, rc : stream.Interface
        `rq_beat`, registered, and `rc_beat`, always ready.
    errors : Signal, out
        One bit per `DmaError`; they stay up until `clear`.
    clear : Signal, in
        Drop `errors` once nothing is on its way.
    idle : Signal, out
        Nothing is on its way.

    Latency
        1 clock from `i` to `rq`, 5 from the last beat of the oldest answer to its first word.

    Throughput
        A word per clock; a read every clock, every other one with beats of 64 bits.
    """

    def __init__(self, width: int, patience: int = PATIENCE, tags: int = TAGS) -> None:
        self.width = width
        self.patience = patience
        self.tags = tags
        self.piece_words = 8 * _PIECE // width
        self.pieces = REQUEST_BLOCKS * BLOCK_BYTES // _PIECE  # of a place
        self.ram = Ram(tags * self.pieces * self.piece_words, width)
        self.busy, self.done = Signal(tags), Signal(tags)  # asked for; all there, or given up
        # Pieces of each that have come, and blocks that are to come in all.
        self.come = Signal(ArrayLayout(range(self.pieces + 1), tags))
        self.blocks = Signal(ArrayLayout(range(REQUEST_BLOCKS + 1), tags))
        self.age = Signal(8 - exact_log2(tags))  # upper bits of the tags
        self.free = Signal(range(tags + 1), init=tags)
        self.slot = Signal(range(tags))  # whose answer comes
        self.known = Signal()  # an answer begins to one that was asked for
        super().__init__(
            {
                "i": In(stream.Signature(DMA_PLACE)),
                "o": Out(stream.Signature(width)),
                "rq": Out(stream.Signature(rq_beat(width))),
                "rc": In(stream.Signature(rc_beat(width))),
                "errors": Out(len(DmaError)),
                "clear": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ram = self.ram
        m.d.comb += self.idle.eq(~self.busy.any() & ~self.rq.valid)
        clearing = Signal()
        with m.If(self.idle):
            m.d.sync += clearing.eq(0)
            with m.If(clearing):
                m.d.sync += [self.errors.eq(0), self.age.eq(self.age + 1)]
        with m.If(self.clear & self.errors.any()):
            m.d.sync += clearing.eq(1)
        # Places: asked for, never to be asked for, come to their end, and read.
        asked, skipped, ended, given = (Signal(self.tags) for _ in range(4))
        expired = self._watch(m)
        m.d.sync += [
            self.busy.eq(Mux(expired, 0, (self.busy | asked) & ~ended)),
            self.done.eq(self.done & ~given | skipped | ended | Mux(expired, self.busy, 0)),
        ]
        self._ask(m, expired, asked, skipped)
        self._receive(m, expired, ended)
        self._give(m, given)
        return m

    def _error(self, m: Module, error: DmaError, condition: Value) -> None:
        with m.If(condition):
            m.d.sync += self.errors[error].eq(1)

    def _watch(self, m: Module) -> Value:
        """Return whether the host has been silent for too long."""
        waited, heard = Signal(range(self.patience)), self.known
        expired = Signal()
        m.d.comb += expired.eq(waited == self.patience - 1)
        self._error(m, DmaError.TIMEOUT, expired)
        m.d.sync += waited.eq(Mux(~self.busy.any() | heard | expired, 0, waited + 1))
        return expired

    def _ask(self, m: Module, expired: Value, asked: Signal, skipped: Signal) -> None:
        """Give a read a tag and a place, and ask for it."""
        read, rq = self.i.payload, self.rq
        tag, head = Signal(range(self.tags)), Signal(RQ_DESCRIPTOR)
        beats = -(-RQ_DESCRIPTOR.size // self.width)
        beat = Signal(range(beats))
        later = Signal(max(RQ_DESCRIPTOR.size - self.width, 0))  # what the second beat holds
        words = exact_log2(BLOCK_BYTES // 4)
        m.d.comb += [
            head.address.eq(read.address << words),
            head.dwords.eq(read.blocks << words),
            head.type.eq(RequestType.READ),
            head.tag.eq(Cat(tag, self.age)),
            self.i.ready.eq((~rq.valid | self.rq.ready & (beats == 1)) & (self.free != 0)),
            rq.payload.keep.eq((1 << min(RQ_DESCRIPTOR.size, self.width) // DWORD) - 1),
            rq.payload.user.first_bytes.eq(0b1111),
            rq.payload.user.last_bytes.eq(0b1111),
            rq.payload.last.eq(beat == beats - 1),
        ]
        with m.If(expired):
            # It would be asked for, and not be waited for.
            m.d.comb += self.i.ready.eq(0)
        with m.If(transfers(rq)):
            m.d.sync += [
                rq.valid.eq(~rq.payload.last),
                rq.payload.data.eq(later),
                beat.eq(beat + 1),
            ]
        with m.If(transfers(self.i)):
            self._error(m, DmaError.OUTSIDE, read.outside)
            m.d.sync += [tag.eq(tag + 1), self.blocks[tag].eq(read.blocks)]
            with m.If(read.outside | self.errors.any()):
                m.d.comb += skipped.eq(1 << tag)
            with m.Else():
                bits = head.as_value()
                m.d.comb += asked.eq(1 << tag)
                m.d.sync += [
                    self.come[tag].eq(0),
                    rq.valid.eq(1),
                    rq.payload.data.eq(bits),
                    later.eq(bits[self.width :]),
                    beat.eq(0),
                ]

    def _receive(self, m: Module, expired: Value, ended: Signal) -> None:
        """Take answers: descriptors, behind them whole pieces."""
        rc, lanes = self.rc, self.width // DWORD
        m.d.comb += rc.ready.eq(1)
        heads = -(-RC_DESCRIPTOR.size // self.width)  # beats up to the descriptor's end
        # Of the beat before, what stands in front of this one in a word or in the descriptor.
        shift = RC_DESCRIPTOR.size // DWORD % lanes * DWORD
        unused = shift if heads == 1 else 0
        before = Signal(self.width - unused)
        place = Signal(range(heads + 1))  # of the beat in its packet; all later ones are alike
        with m.If(rc.valid):
            m.d.sync += before.eq(rc.payload.data[unused:])
            m.d.sync += place.eq(Mux(rc.payload.last, 0, Mux(place == heads, heads, place + 1)))
        is_head, is_body = rc.valid & (place == heads - 1), rc.valid & (place == heads)
        ends = rc.payload.last

        beats = Cat(before, rc.payload.data) if heads == 2 else rc.payload.data
        head = RC_DESCRIPTOR(beats[: RC_DESCRIPTOR.size])
        slot, age = head.tag[: len(self.slot)], head.tag[len(self.slot) :]
        come, here = self.come[slot], head.dwords >> 4
        left = (self.blocks[slot] << 1) - come
        refused, poisoned, late, fits = (Signal() for _ in range(4))
        m.d.comb += [
            self.known.eq(is_head & self.busy.bit_select(slot, 1) & (age == self.age)),
            refused.eq((head.status != Status.SUCCESS) | (head.error == Found.REFUSED)),
            poisoned.eq(head.poisoned | (head.error == Found.POISONED)),
            late.eq(head.error == Found.TIMEOUT),
            fits.eq(
                (head.error == Found.NOTHING)
                & (head.dwords[:4] == 0)
                & (here <= left)
                & (head.bytes == left << exact_log2(_PIECE))
                & (head.lower_address[:7] == Cat(C(0, 6), come[0]))
            ),
        ]

        # Of the packet whose payload comes: whether it is one that was asked for, whether it is
        # sound, what will have come with it, and the words of it that have not.
        wanted, good, then, whole = Signal(), Signal(), Signal.like(left), Signal()
        words = Signal(range(self.pieces * self.piece_words + 1))
        write = self.ram.write
        m.d.comb += [
            write.enable.eq(is_body & (words != 0)),
            write.data.eq(Cat(before[shift - unused :], rc.payload.data[:shift])),
        ]
        with m.If(write.enable):
            m.d.sync += [write.address.eq(write.address + 1), words.eq(words - 1)]
        with m.If(is_head):
            sound = self.known & ~refused & ~poisoned & fits
            m.d.sync += [
                self.slot.eq(slot),
                wanted.eq(self.known),
                good.eq(sound),
                then.eq(come + here),
                whole.eq(here == left),
                words.eq(Mux(sound, here * self.piece_words, 0)),
                write.address.eq(Cat(come[: exact_log2(self.pieces)], slot) * self.piece_words),
            ]
        with m.If(self.known):
            told = refused | poisoned | late
            self._error(m, DmaError.FAILED, refused)
            self._error(m, DmaError.DAMAGED, ~refused & poisoned)
            self._error(m, DmaError.TIMEOUT, ~refused & ~poisoned & late)
            self._error(m, DmaError.MALFORMED, ~told & (~fits | ends))
            with m.If(ends):
                m.d.comb += ended.eq(1 << slot)
        with m.If(is_body & ends & wanted):
            damaged = rc.payload.user.discontinue
            self._error(m, DmaError.DAMAGED, damaged)
            self._error(m, DmaError.MALFORMED, good & (words != 1))
            m.d.sync += self.come[self.slot].eq(then)
            with m.If(~good | (words != 1) | damaged | whole):
                m.d.comb += ended.eq(1 << self.slot)
        with m.If(expired):
            m.d.sync += [wanted.eq(0), words.eq(0)]

    def _give(self, m: Module, given: Signal) -> None:
        """Read the places in turn, ahead of who takes the words as far as the queue has room."""
        m.submodules.queue = queue = Queue(self.width, _AHEAD)
        connect_stream(m, queue.o, self.o)
        slot, word = Signal(range(self.tags)), Signal(range(self.pieces * self.piece_words))
        room, in_flight = Signal(range(_AHEAD + 1), init=_AHEAD), Signal()
        reads, ends = Signal(), Signal()
        m.d.comb += [
            reads.eq(self.done.bit_select(slot, 1) & (room != 0)),
            ends.eq(reads & (word == (self.blocks[slot] << 1) * self.piece_words - 1)),
            self.ram.read.address.eq(Cat(word, slot)),
            queue.i.valid.eq(in_flight),
            queue.i.payload.eq(self.ram.read.data),
        ]
        m.d.sync += [
            in_flight.eq(reads),
            room.eq(room - reads + transfers(queue.o)),
            self.free.eq(self.free - transfers(self.i) + ends),
        ]
        with m.If(reads):
            m.d.sync += word.eq(word + 1)
        with m.If(ends):
            m.d.comb += given.eq(1 << slot)
            m.d.sync += [word.eq(0), slot.eq(slot + 1)]
