"""DmaPages: reads of the host's memory, and the proof that they stay within what was mapped."""

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
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

MEMORY = HostMemory(256)
TABLE = 8
SMALL_BLOCKS, LARGE_BLOCKS = PAGE_BYTES // BLOCK_BYTES, LARGE_PAGE_BYTES // BLOCK_BYTES


class Written(wiring.Component):
    """The pages behind a stream of register writes; requests wait until `writes` were done."""

    def __init__(self, unit=DmaPages):
        self.pages = unit(MEMORY, TABLE)
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(MEMORY))),
                "i_write": In(stream.Signature(40)),
                "o": Out(stream.Signature(DMA_PLACE)),
                "longest": In(3),
                "writes": In(8),
                "shown": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.pages = pages = self.pages
        connect_stream(m, pages.o, self.o)
        done, locked = Signal(8), Signal()
        # Those that come once a request has been taken must do nothing.
        m.d.sync += locked.eq(locked | transfers(self.i))
        m.d.comb += [
            pages.longest.eq(self.longest),
            pages.i.payload.eq(self.i.payload),
            pages.i.valid.eq(self.i.valid & (done == self.writes)),
            self.i.ready.eq(pages.i.ready & (done == self.writes)),
            pages.locked.eq(locked | transfers(self.i)),
            pages.write.eq(transfers(self.i_write)),
            pages.number.eq(self.i_write.payload[32:]),
            pages.data.eq(self.i_write.payload),
            self.i_write.ready.eq((done != self.writes) | locked),
            self.shown.eq(Cat(pages.pages, pages.index, pages.large)),
        ]
        with m.If(transfers(self.i_write) & (done != self.writes)):
            m.d.sync += done.eq(done + 1)
        return m


def broken(old, new):
    return lambda _config: Written(edited(DmaPages, old, new))


class PagesBench(UnitBench):
    """Pages of both sizes, reads of all lengths, and writes that come too late."""

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
        "reads what is to be written": broken("write.eq(request.write)", "write.eq(0)"),
        "pages that nobody gave": broken("self.page >= self.pages", "self.page > self.pages"),
        "none is outside": broken("self.page >= self.pages", "0"),
        "offset in a large page": broken("entry[_LARGE - _SMALL :]", "entry"),
        "index stands": broken("m.d.sync += self.index.eq(self.index + 1)", "pass"),
        "lower half lost": broken("low.eq(self.data[_PAGE_BITS:])", "low.eq(self.data)"),
    }  # fmt: skip
    not_stalled = {"i": "few requests, each of many reads", "i_write": "done at once"}

    def dut(self, config):
        return Written()

    def cases(self, config, rng):
        for large, pages, longest in ((0, 5, 4), (1, 3, 4), (0, 8, 2), (0, 2, 1), (0, 0, 4)):
            size = LARGE_BLOCKS if large else SMALL_BLOCKS
            bits = 52 if not large else 43
            frames = [int(rng.integers(1 << bits)) for _ in range(TABLE)]
            table = [frame << (64 - bits) for frame in frames]
            noise = [int(rng.integers(1 << (64 - bits))) for _ in table]
            writes = [(DmaRegister.PAGES, pages | large * LARGE), (DmaRegister.INDEX, 0)]
            for address, low in zip(table, noise, strict=True):
                given = address | low
                writes += [(DmaRegister.LOW, given & 0xFFFFFFFF), (DmaRegister.HIGH, given >> 32)]
            writes += [(DmaRegister.STATUS, 9), (DmaRegister.INDEX, 3)]
            late = [
                (DmaRegister.PAGES, TABLE | (1 - large) * LARGE), (DmaRegister.INDEX, 1),
                (DmaRegister.LOW, 0), (DmaRegister.HIGH, 0),
            ]  # fmt: skip
            requests, reads = [], []
            for _ in range(12):
                block = int(rng.integers((pages + 1) * size))
                if rng.integers(2):
                    block = int(rng.integers(1, pages + 2)) * size - int(rng.integers(1, 9))
                blocks = int(rng.integers(1, 20))
                write = int(rng.integers(2))
                requests.append({"write": write, "block": block, "blocks": blocks})
                reads += cut(block, blocks, longest, size, table, pages, write)
            yield Case(
                {"i": requests, "i_write": [n << 32 | data for n, data in writes + late]},
                {"o": reads},
                {"longest": longest, "writes": len(writes)},
                {"shown": pages | 3 << 4 | large << 7},
                # A write a clock; of a request a read every other clock, and one clock more.
                clocks=len(writes) + 2 * len(reads) + len(requests) + 3,
                name=f"{pages} pages, large {large}, longest {longest}",
            )


def cut(block, blocks, longest, size, table, pages, write):
    """Reads of a request, block by block, joined as long as nothing keeps them apart."""
    reads = []
    for at in range(block, block + blocks):
        page, offset = divmod(at, size)
        address = table[page % TABLE] // BLOCK_BYTES + offset
        if at == block or at % longest == 0:
            outside = int(page >= pages)
            reads.append({"address": address, "blocks": 0, "write": write, "outside": outside})
        reads[-1]["blocks"] += 1
    return reads


test_pysim, test_cocotb, test_planted_bugs = bench_tests(PagesBench())


def stays_inside(m, pages):
    """Every read lies within a page that was written while it was not locked, and is in use.

    It is said of any page of the table, and so of all. That a word read from the table is the one
    that was written is what `Ram` promises; it is not proven here once more.
    """
    chosen = AnyConst(range(pages.table.depth))
    m.d.comb += [
        Assume(pages.locked | ~pages.busy),
        Assume((pages.longest == 1) | (pages.longest == 2) | (pages.longest == 4)),
        Assume(~pages.i.valid | (pages.i.payload.blocks != 0)),
    ]
    # What the host has written.
    low, given = Signal(20), Signal(52, reset_less=True)
    size, large = Signal.like(pages.pages), Signal()
    with m.If(pages.write & ~pages.locked):
        with m.Switch(pages.number):
            with m.Case(DmaRegister.PAGES):
                m.d.sync += [size.eq(pages.data), large.eq(pages.data[31])]
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
    m.d.comb += [
        Assert(held == given, "the table holds what was not written"),
        Assert(pages.low == low, "half of a page that nobody gave"),
        Assert(pages.i.ready | (pages.request.blocks != 0), "a request of nothing"),
        Assert((pages.pages == size) & (pages.large == large), "pages that nobody gave"),
    ]
    # The read that waits.
    read, page = pages.o.payload, Signal.like(pages.page)
    asked, kind = Signal(), Signal()  # whether the request is a write, and the read that waits
    with m.If(pages.i.valid & pages.i.ready):
        m.d.sync += asked.eq(pages.i.payload.write)
    with m.If(~pages.o.valid | pages.o.ready):
        m.d.sync += [page.eq(pages.page), kind.eq(asked)]
    m.d.comb += Assert(pages.i.ready | (pages.request.write == asked), "another kind is kept")
    m.d.comb += Assert(~pages.o.valid | (read.write == kind), "another kind")
    mine = pages.o.valid & ~read.outside & (page == chosen)
    frame = Mux(large, read.address[14:] == given[9:], read.address[5:] == given)
    offset = Mux(large, read.address[:14], read.address[:5])
    whole = Mux(large, LARGE_BLOCKS, SMALL_BLOCKS)
    within = read.address & (pages.longest - 1)[:2]
    with m.If(mine):
        m.d.comb += [
            Assert(frame, "another page"),
            Assert(offset + read.blocks <= whole, "over the end of the page"),
        ]
    with m.If(pages.o.valid):
        m.d.comb += [
            Assert(read.blocks != 0, "nothing"),
            Assert(within + read.blocks <= pages.longest, "over a multiple of the longest"),
            Assert(read.outside | (page < size), "a page that is not in use"),
        ]


def test_reads_stay_inside():
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
        "writes what is to be read": ("write.eq(request.write)", "write.eq(1)"),
        "not busy while a read waits": ("busy | self.o.valid", "busy"),
    }  # fmt: skip
    bugs = {
        name: lambda edit=edit: edited(DmaPages, *edit)(MEMORY, 4) for name, edit in edits.items()
    }
    check_contract(lambda: DmaPages(MEMORY, 4), contract, bugs)
