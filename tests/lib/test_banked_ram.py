"""BankedRam: what was written is read, in each bank and at its seams, clocks after its address."""

from amaranth import *
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, connect, flipped

from sterna.spec.ram import BANK_WORDS
from sterna_rtl.lib.banked_ram import BankedRam
from sterna_rtl.lib.memory import ReadPort, WritePort
from sterna_sim.kit import Case, Stalls, UnitBench, bench_tests, edited
from tests.control.clocked import Clocked

SHAPE = ArrayLayout(signed(4), 2)


class Ports(Component):
    """The RAM with its data behind plain ports."""

    def __init__(self, depth, unit=BankedRam):
        self.unit = unit(depth, SHAPE)
        super().__init__({"read": In(ReadPort(depth, SHAPE)), "write": In(WritePort(depth, SHAPE))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect(m, flipped(self.read), unit.read)
        connect(m, flipped(self.write), unit.write)
        return m


def broken(old, new):
    return lambda depth: Clocked(Ports(depth, edited(BankedRam, old, new)), BankedRam.latency)


class BankedBench(UnitBench):
    """An item is a clock of both ports. Words at the seams are written, then read and written."""

    name = "banked ram"
    stalls = (Stalls(), Stalls("random", "random"))
    configs = {str(depth): depth for depth in (2 * BANK_WORDS + 9, BANK_WORDS + 70, 40)}
    cocotb_configs = (str(BANK_WORDS + 70),)
    bug_configs = (str(2 * BANK_WORDS + 9),)
    bugs = {
        "all writes to one bank": broken("write.address[bank_bits:] == index", "index == 0"),
        "writes to all banks": broken("(write.address[bank_bits:] == index)", "1"),
        "banks mixed": broken("numbers[-1] == index", "numbers[-1] <= index"),
        "bank of another clock": broken("numbers[-1] == index", "numbers[-2] == index"),
        "a bank's first word": broken("m.d.sync += address.eq(word)", "pass"),
        "one bank read": broken("reduce(or_, banks)", "banks[0]"),
    }

    def dut(self, depth):
        return Clocked(Ports(depth), BankedRam.latency)

    def cases(self, depth, rng):
        seams = [
            n for n in range(depth) if min(n % BANK_WORDS, -n % BANK_WORDS) < 8 or n > depth - 8
        ]
        before = None  # where was read on the clock before
        items, reads = [], []
        for clock in range(len(seams) + 300):
            fills = clock < len(seams)
            write = seams[clock] if fills else int(rng.choice(seams))
            word = [int(element) for element in rng.integers(-8, 8, 2)]
            # The address reaches its bank a clock later.
            enable = fills or (write != before and rng.random() < 0.6)
            read = int(rng.choice(seams))
            items.append(
                {
                    "read__address": read,
                    "write__enable": int(enable),
                    "write__address": write,
                    "write__data": word,
                    "shown": int(not fills),
                }
            )
            if not fills:
                reads.append(read)
            before = read
        yield Case({"i": items}, {"o": list(self._found(items, reads))})

    @staticmethod
    def _found(items, reads):
        """What each read gives; a word written with its address is there when it is read."""
        held, wanted = {}, iter(reads)
        for item in items:
            if item["write__enable"]:
                held[item["write__address"]] = item["write__data"]
            if item["shown"]:
                yield {"read__data": held[next(wanted)]}


test_pysim, test_cocotb, test_planted_bugs = bench_tests(BankedBench())
