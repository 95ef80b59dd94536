"""DmaPages: places in the host's memory, and the proof that they stay within what was lent."""

from amaranth import *
from amaranth.asserts import AnyConst
from amaranth.hdl import Assert, Assume
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sterna.spec.dma import (
    BLOCK_BYTES,
    LARGE,
    LARGE_PAGE_BYTES,
    PAGE_BYTES,
    DmaRegister,
    HostMemory,
)
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_rtl.memory.visits import request_layout
from sterna_rtl.pcie.pages import DMA_PLACE, DmaPages
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)

MEMORY = HostMemory(256)
TABLE = 8
SMALL_BLOCKS, LARGE_BLOCKS = PAGE_BYTES // BLOCK_BYTES, LARGE_PAGE_BYTES // BLOCK_BYTES


class Written(wiring.Component):
    """The pages behind a stream of register writes; requests wait until `writes` were done."""

    def __init__(self, unit=DmaPages):
        self.pages = unit(MEMORY, TABLE)
        super().__init__(
            {
                "i_reads": In(stream.Signature(request_layout(MEMORY))),
                "i_writes": In(stream.Signature(request_layout(MEMORY))),
                "i_register": In(stream.Signature(40)),
                "o_reads": Out(stream.Signature(DMA_PLACE)),
                "o_writes": Out(stream.Signature(DMA_PLACE)),
                "longest": In(3),
                "writes": In(8),
                "shown": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = pages = self.pages
        connect_stream(m, pages.o_reads, self.o_reads)
        connect_stream(m, pages.o_writes, self.o_writes)
        done, locked, asked = Signal(8), Signal(), Signal()
        # Those that come once a request has been taken must do nothing.
        m.d.sync += locked.eq(locked | asked)
        m.d.comb += [
            asked.eq(transfers(self.i_reads) | transfers(self.i_writes)),
            pages.longest.eq(self.longest),
            pages.locked.eq(locked | asked),
            pages.write.eq(transfers(self.i_register)),
            pages.number.eq(self.i_register.payload[32:]),
            pages.data.eq(self.i_register.payload),
            self.i_register.ready.eq((done != self.writes) | locked),
            self.shown.eq(Cat(pages.pages, pages.index, pages.large, pages.ring)),
        ]
        for ours, its in ((self.i_reads, pages.i_reads), (self.i_writes, pages.i_writes)):
            m.d.comb += [
                its.payload.eq(ours.payload),
                its.valid.eq(ours.valid & (done == self.writes)),
                ours.ready.eq(its.ready & (done == self.writes)),
            ]
        with m.If(transfers(self.i_register) & (done != self.writes)):
            m.d.sync += done.eq(done + 1)
        return m


def broken(old, new):
    return lambda _config: Written(edited(DmaPages, old, new))


class PagesBench(UnitBench):
    """Pages of both sizes, places of all lengths, a ring or none, registers written too late."""

    name = "dma pages"
    cocotb_configs = ("default",)
    reset_between = True
    bugs = {
        "writes while it is locked": broken("self.write & ~self.locked", "self.write"),
        "over the end of a page": broken("Mux(request.blocks < space, request.blocks, space)",
            "Mux(request.blocks < 4, request.blocks, 4)"),
        "always the longest": broken("Mux(request.blocks < space, request.blocks, space)", "space"),
        "the same block again": broken("request.block.eq(block + here)", "request.block.eq(block)"),
        "one read only": broken("busy.eq(request.blocks > space)", "busy.eq(0)"),
        "a read too many": broken("request.blocks > space", "request.blocks >= space"),
        "the page before": broken("known.eq(0)", "known.eq(1)"),
        "large ones as small ones": broken("m.d.sync += [self.pages.eq(self.data), self.large",
            "m.d.sync += [self.pages.eq(self.data), low[0]"),
        "reads what is to be written": broken("writes.eq(self.kind)", "writes.eq(0)"),
        "writes what is to be read": broken("writes.eq(self.kind)", "writes.eq(1)"),
        "writes where it is to read": broken("(self.kind != writable)", "(self.kind & ~writable)"),
        "reads where it is to write": broken("(self.kind != writable)", "(~self.kind & writable)"),
        "writes without a ring": broken("(self.ring != 0) & ", ""),
        "writes to the page before": broken("self.page >= self._page_of(self.ring)",
            "self.page + 1 >= self._page_of(self.ring)"),
        "a ring in small pages": broken("self._page_of(self.ring)", "(self.ring >> _SMALL)"),
        "reads first": broken("self.i_writes.ready.eq(~busy)",
            "self.i_writes.ready.eq(~busy & ~self.i_reads.valid)"),
        "pages that nobody gave": broken("self.page >= self.pages", "self.page > self.pages"),
        "none is outside": broken("self.page >= self.pages", "0"),
        "offset in a large page": broken("entry[_LARGE - _SMALL :]", "entry"),
        "index stands": broken("m.d.sync += self.index.eq(self.index + 1)", "pass"),
        "lower half lost": broken("low.eq(self.data[_PAGE_BITS:])", "low.eq(self.data)"),
    }  # fmt: skip
    far = 0  # requests of a case that may be for any place
    not_stalled = {
        "i_reads": "few requests, each of many places",
        "i_writes": "few requests, each of many places",
        "i_register": "done at once",
    }

    def dut(self, config):
        return Written()

    def kinds(self, rng):
        """Large pages or small ones, how many, the longest place, and the first page of a ring."""
        return ((0, 5, 4, 3), (1, 3, 4, 2), (0, 8, 2, 7), (0, 2, 1, None), (0, 0, 4, None))

    def cases(self, config, rng):
        for large, pages, longest, first in self.kinds(rng):
            size = LARGE_BLOCKS if large else SMALL_BLOCKS
            # A ring may begin within a page; all of that page is the ring's.
            ring = 0 if first is None else first * size + int(rng.integers(3))
            bits = 52 if not large else 43
            frames = [int(rng.integers(1 << bits)) for _ in range(TABLE)]
            table = [frame << (64 - bits) for frame in frames]
            noise = [int(rng.integers(1 << (64 - bits))) for _ in table]
            writes = [(DmaRegister.PAGES, pages | large * LARGE), (DmaRegister.INDEX, 0)]
            for address, low in zip(table, noise, strict=True):
                given = address | low
                writes += [(DmaRegister.LOW, given & 0xFFFFFFFF), (DmaRegister.HIGH, given >> 32)]
            others = [(DmaRegister.STATUS, 9)] * int(rng.integers(1, 3))
            writes += [*others, (DmaRegister.INDEX, 3), (DmaRegister.RING, ring)]
            late = [
                (DmaRegister.PAGES, TABLE | (1 - large) * LARGE), (DmaRegister.INDEX, 1),
                (DmaRegister.LOW, 0), (DmaRegister.HIGH, 0), (DmaRegister.RING, 1),
            ]  # fmt: skip
            requests, places = ([], []), ([], [])
            for n in range(16):
                block = int(rng.integers((pages + 1) * size))
                if n < self.far:
                    block = int(rng.integers(MEMORY.blocks - 20))
                elif rng.integers(2):
                    block = int(rng.integers(1, pages + 2)) * size - int(rng.integers(1, 9))
                blocks = int(rng.integers(1, 20))
                kind = n % 2
                # What the request itself says of it does not matter.
                said = int(rng.integers(2))
                requests[kind].append({"write": said, "block": block, "blocks": blocks})
                pieces = cut(block, blocks, longest, size, table)
                for page, place in pieces:
                    writable = first is not None and page >= first
                    outside = page >= pages or writable != (kind == 1)
                    places[kind].append({**place, "outside": int(outside)})
            yield Case(
                {
                    "i_reads": requests[0],
                    "i_writes": requests[1],
                    "i_register": [n << 32 | data for n, data in writes + late],
                },
                {"o_reads": places[0], "o_writes": places[1]},
                {"longest": longest, "writes": len(writes)},
                {"shown": pages | 3 << 4 | large << 7 | ring << 8},
                # A register a clock; of a request a place every other clock, and one clock more.
                clocks=len(writes) + 2 * len(places[0] + places[1]) + 16 + 3,
                name=f"{pages} pages, large {large}, longest {longest}, ring {first}",
            )


def cut(block, blocks, longest, size, table):
    """Places of a request and their pages, block by block, joined while nothing parts them."""
    places = []
    for at in range(block, block + blocks):
        page, offset = divmod(at, size)
        address = table[page % TABLE] // BLOCK_BYTES + offset
        if at == block or at % longest == 0:
            places.append((page, {"address": address, "blocks": 0}))
        places[-1][1]["blocks"] += 1
    return places


class ManyBench(PagesBench):
    """Tables of any kind, and requests for places far outside of them."""

    name = "dma pages many"
    slow_configs = bug_configs = tuple(PagesBench.configs)
    cocotb_configs = ()
    stalls = (Stalls(),)
    far = 4

    def kinds(self, rng):
        for _ in range(40):
            first = None if rng.random() < 0.3 else int(rng.integers(1, TABLE))
            yield int(rng.integers(2)), int(rng.integers(TABLE + 1)), 1 << rng.integers(3), first


test_pysim, test_cocotb, test_planted_bugs = bench_tests(PagesBench())
test_many, _, _ = bench_tests(ManyBench())


def stays_inside(m, pages):
    """Every place lies within a page in use that was given, and given for that, before the lock.

    It is said of any page of the table, and so of all. That a word read from the table is the one
    that was written is what `Ram` promises; it is not proven here once more.
    """
    chosen = AnyConst(range(pages.table.depth))
    m.d.comb += [
        Assume(pages.locked | ~pages.busy),
        Assume((pages.longest == 1) | (pages.longest == 2) | (pages.longest == 4)),
        Assume(~pages.i_reads.valid | (pages.i_reads.payload.blocks != 0)),
        Assume(~pages.i_writes.valid | (pages.i_writes.payload.blocks != 0)),
    ]
    # What the host has written.
    low, given = Signal(20), Signal(52, reset_less=True)
    size, large, ring = Signal.like(pages.pages), Signal(), Signal.like(pages.ring)
    with m.If(pages.write & ~pages.locked):
        with m.Switch(pages.number):
            with m.Case(DmaRegister.PAGES):
                m.d.sync += [size.eq(pages.data), large.eq(pages.data[31])]
            with m.Case(DmaRegister.RING):
                m.d.sync += ring.eq(pages.data)
            with m.Case(DmaRegister.LOW):
                m.d.sync += low.eq(pages.data >> 12)
            with m.Case(DmaRegister.HIGH):
                with m.If(pages.index == chosen):
                    m.d.sync += given.eq(Cat(low, pages.data))
    # What the table holds, and gives a clock after it was asked.
    held, asked, found = (Signal(bits, reset_less=True) for bits in (52, 1, 52))
    table = pages.table
    with m.If(table.write.enable & (table.write.address == chosen)):
        m.d.sync += held.eq(table.write.data)
    m.d.sync += [asked.eq(table.read.address == chosen), found.eq(held)]
    m.d.comb += Assume(~asked | (table.read.data == found))
    waits, reads, writes = pages.busy & ~pages.i_writes.ready, pages.o_reads, pages.o_writes
    m.d.comb += [
        Assert(held == given, "the table holds what was not written"),
        Assert(pages.low == low, "half of a page that nobody gave"),
        Assert(~waits | (pages.request.blocks != 0), "a request of nothing"),
        Assert((pages.pages == size) & (pages.large == large), "pages that nobody gave"),
        Assert(pages.ring == ring, "a ring that nobody gave"),
        Assert(~(reads.valid & writes.valid), "a place for both"),
    ]
    # The place that waits, of the request that was taken last.
    place, page, there = reads.payload, Signal.like(pages.page), reads.valid | writes.valid
    kind, kinds = Signal(), Signal()
    with m.If(transfers(pages.i_writes) | transfers(pages.i_reads)):
        m.d.sync += kind.eq(transfers(pages.i_writes))
    with m.If(~there | transfers(reads) | transfers(writes)):
        m.d.sync += [page.eq(pages.page), kinds.eq(kind)]
    m.d.comb += Assert(~waits | (pages.kind == kind), "another kind is kept")
    m.d.comb += Assert(~there | (writes.valid == kinds), "another kind")
    mine = there & ~place.outside & (page == chosen)
    frame = Mux(large, place.address[14:] == given[9:], place.address[5:] == given)
    offset = Mux(large, place.address[:14], place.address[:5])
    whole = Mux(large, LARGE_BLOCKS, SMALL_BLOCKS)
    within = place.address & (pages.longest - 1)[:2]
    # The first page that may be written: that of the ring. Without a ring there is none.
    first = Mux(large, ring >> 14, ring >> 5)
    with m.If(mine):
        m.d.comb += [
            Assert(frame, "another page"),
            Assert(offset + place.blocks <= whole, "over the end of the page"),
            Assert(~writes.valid | ((ring != 0) & (chosen >= first)), "writes what is read"),
            Assert(~reads.valid | (ring == 0) | (chosen < first), "reads what is written"),
        ]
    with m.If(there):
        m.d.comb += [
            Assert(writes.payload == place, "two places"),
            Assert(place.blocks != 0, "nothing"),
            Assert(within + place.blocks <= pages.longest, "over a multiple of the longest"),
            Assert(place.outside | (page < size), "a page that is not in use"),
        ]


def test_places_stay_inside():
    contract = StreamContract(
        also=stays_inside, free=("write", "number", "data", "locked"), depth=12, induction=4
    )
    edits = {
        "writes while it is locked": ("self.write & ~self.locked", "self.write"),
        "pages that nobody gave": ("self.page >= self.pages", "self.page > self.pages"),
        "over the end of a page": ("Mux(request.blocks < space, request.blocks, space)",
            "Mux(request.blocks < 4, request.blocks, 4)"),
        "offset in a large page": ("entry[_LARGE - _SMALL :]", "entry"),
        "the page before": ("known.eq(0)", "known.eq(1)"),
        "writes what is to be read": ("writes.eq(self.kind)", "writes.eq(1)"),
        "writes in any page": ("(self.kind != writable)", "(~self.kind & writable)"),
        "reads in any page": ("(self.kind != writable)", "(self.kind & ~writable)"),
        "writes without a ring": ("(self.ring != 0) & ", ""),
        "not busy while a place waits": ("busy | there", "busy"),
    }  # fmt: skip
    bugs = {
        name: lambda edit=edit: edited(DmaPages, *edit)(MEMORY, 4) for name, edit in edits.items()
    }
    check_contract(lambda: DmaPages(MEMORY, 4), contract, bugs)
