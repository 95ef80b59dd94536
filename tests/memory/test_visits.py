"""Visits: every block of a request once, in order, no visit across the end of a row."""

from dataclasses import replace

from sterna.spec.sdram import BURST, PARTS
from sterna_rtl.memory.visits import Visits
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

PART = PARTS["ULX3S"]
SMALL = replace(PART, bank_bits=1, row_bits=2, column_bits=5)


def visits(part, write, block, blocks):
    """Block by block; a new visit with each new row."""
    row_blocks = (1 << part.column_bits) // BURST
    found = []
    for place in range(block, block + blocks):
        rows, here = divmod(place % part.blocks, row_blocks)
        row, bank = divmod(rows, 1 << part.bank_bits)
        if found and here:
            found[-1]["last"] = here
        else:
            found.append({"write": write, "bank": bank, "row": row, "block": here, "last": here})
    return found


def broken(old, new):
    return lambda part: edited(Visits, old, new)(part)


class VisitsBench(UnitBench):
    """Requests of all kinds of places and lengths, also once round the whole part."""

    name = "visits"
    configs = {"32 MB": PART, "8 rows of 4 blocks": SMALL}
    bugs = {
        "past the end of a row": broken("ends.eq(request.blocks <=", "ends.eq(request.blocks <"),
        "a block too many": broken("block + here - 1", "block + here"),
        "always from the row's start": broken("payload.block.eq(block)", "payload.block.eq(0)"),
        "the same row again": broken("row + 1)", "row)"),
        "not from the next row's start": broken("Cat(C(0, bits), row", "Cat(block, row"),
        "bank before row": broken("row[self.part.bank_bits :]", "row"),
        "left blocks not counted": broken("request.blocks - here", "request.blocks"),
        "a request lost": broken("self.i.ready.eq(~busy)", "self.i.ready.eq(1)"),
        "not held": broken("with m.Elif(~self.o.valid):", "with m.Else():"),
    }  # fmt: skip

    def dut(self, part):
        return Visits(part)

    def cases(self, part, rng):
        row_blocks = (1 << part.column_bits) // BURST
        requests = [(0, 0, 1), (1, part.blocks - 1, 2), (0, 3, row_blocks - 3), (1, 3, row_blocks)]
        requests += [(0, row_blocks, row_blocks), (1, 0, min(part.blocks, 40 * row_blocks))]
        for _ in range(60):
            place, length = int(rng.integers(part.blocks)), int(rng.integers(1, 5 * row_blocks))
            requests.append((int(rng.integers(2)), place, min(length, part.blocks)))
        found = [visits(part, *request) for request in requests]
        yield Case(
            {"i": [dict(zip(("write", "block", "blocks"), r, strict=True)) for r in requests]},
            {"o": [visit for each in found for visit in each]},
            clocks=1 + sum(2 * len(each) + 1 for each in found),
            name="all",
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(VisitsBench())


def test_contract():
    never = edited(Visits, "with m.Elif(~self.o.valid):", "with m.Else():")
    contract = StreamContract()
    check_contract(lambda: Visits(SMALL), contract, {"never stalls": lambda: never(SMALL)})
