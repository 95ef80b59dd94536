"""Bursts: every word of a request once, in order, and no burst over the end of a page."""

from dataclasses import replace

from sterna.spec.axi4 import BEATS, BOUNDARY, Axi4
from sterna_rtl.memory.bursts import Bursts
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

LARGE = Axi4(data_bits=512, ports=4, port_bytes=1 << 30, outstanding=8)
SMALL = Axi4(data_bits=512, port_bytes=4096, outstanding=1)
# All bits of its places and lengths come in a bench.
MIDDLE = Axi4(data_bits=512, port_bytes=1 << 18, outstanding=1)


def bursts(memory, write, block, blocks):
    """Word by word; a new burst with each multiple of `BEATS`."""
    found = []
    for place in range(block, block + blocks):
        word = place % memory.words
        if found and word % BEATS:
            found[-1]["more"] += 1
        else:
            found.append({"write": write, "word": word, "more": 0})
    return found


def broken(old, new):
    return lambda memory: edited(Bursts, old, new)(memory)


class BurstsBench(UnitBench):
    """Requests of all kinds of places and lengths, also once round the whole memory."""

    name = "bursts"
    configs = {"1 GB": LARGE, "64 words": SMALL, "4096 words": MIDDLE}
    bugs = {
        "a burst too short": broken("ends.eq(last <= space)", "ends.eq(last < space)"),
        "always from a multiple": broken(
            "payload.word.eq(request.block)",
            "payload.word.eq(Cat(C(0, bits), request.block[bits:]))"),
        "over the end": broken("space.eq(~request.block[:bits])", "space.eq(BEATS - 1)"),
        "the same burst again": broken("request.block[bits:] + 1)", "request.block[bits:])"),
        "left words not counted": broken("request.blocks.eq(last - space)",
            "request.blocks.eq(last)"),
        "a write becomes a read": broken("payload.write.eq(request.write)", "payload.write.eq(0)"),
        "a request lost": broken("self.i.ready.eq(~busy)", "self.i.ready.eq(1)"),
        "not held": broken("with m.If(can_load(self.o)):", "with m.If(1):"),
    }  # fmt: skip

    def dut(self, memory):
        return Bursts(memory)

    def cases(self, memory, rng):
        requests = [(0, 0, 1), (1, memory.words - 1, 2), (0, 3, 13), (1, 3, 16), (0, 16, 16)]
        requests += [(1, 0, min(memory.words, 1000))]
        for _ in range(60):
            place, length = int(rng.integers(memory.words)), int(rng.integers(1, 5 * BEATS))
            requests.append((int(rng.integers(2)), place, min(length, memory.words)))
        yield self.case(memory, requests)

    def case(self, memory, requests):
        found = [bursts(memory, *request) for request in requests]
        return Case(
            {"i": [dict(zip(("write", "block", "blocks"), r, strict=True)) for r in requests]},
            {"o": [burst for each in found for burst in each]},
            clocks=1 + sum(len(each) + 1 for each in found),
            name="all",
        )


class LongBench(BurstsBench):
    """Long requests, and those that pass a power of two, which every bit of a place goes over."""

    name = "bursts-long"
    configs = {"4096 words": MIDDLE}
    cocotb_configs = ()

    def cases(self, memory, rng):
        bits = range((memory.words - 1).bit_length() + 1)
        requests = [(k % 2, (1 << k) - 3 & memory.words - 1, 2 * BEATS) for k in bits if k > 1]
        for k in bits:
            for length in {1 << k, (1 << k) - int(rng.integers(1 << k))}:
                requests.append((int(rng.integers(2)), int(rng.integers(memory.words)), length))
        yield self.case(memory, requests)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(BurstsBench())
test_long, _, _ = bench_tests(LongBench())


def test_no_multiple_of_beats_is_over_the_end_of_a_page():
    for bits in (64, 128, 256, 512):
        assert BOUNDARY % (BEATS * replace(LARGE, data_bits=bits).beat_bytes) == 0


def test_contract():
    never = edited(Bursts, "with m.If(can_load(self.o)):", "with m.If(1):")
    check_contract(lambda: Bursts(SMALL), StreamContract(), {"never stalls": lambda: never(SMALL)})
