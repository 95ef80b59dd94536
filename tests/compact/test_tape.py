"""Tape of the compact chip: from each address on the words that were written last, one a clock."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out

from sterna.spec.compact import COLUMNS, TAPE_WORDS
from sterna_rtl.compact.tape import Tape
from sterna_rtl.lib.stream import transfers
from sterna_sim.kit import Case, UnitBench, edited
from sterna_sim.kit.suite import bench_tests


class Sought(Component):
    """The tape before who writes a word, or takes some, from an address on or from where it is."""

    def __init__(self, words, bits, unit=Tape):
        self.unit = unit(words, bits)
        item = {"writes": 1, "seeks": 1, "address": range(words), "data": bits, "last": 16}
        super().__init__(
            {"i": In(stream.Signature(StructLayout(item))), "o": Out(stream.Signature(bits))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        item, sought, taken = self.i.payload, Signal(), Signal(16)
        takes, ends = Signal(), Signal()
        m.d.comb += [
            unit.write.enable.eq(self.i.valid & item.writes),
            unit.write.address.eq(item.address),
            unit.write.data.eq(item.data),
            unit.seeks.eq(self.i.valid & ~item.writes & item.seeks & ~sought),
            unit.address.eq(item.address),
            takes.eq(self.i.valid & ~item.writes & ~unit.seeks),
            self.o.payload.eq(unit.o.payload),
            self.o.valid.eq(takes & unit.o.valid),
            unit.o.ready.eq(takes & self.o.ready),
            ends.eq(transfers(unit.o) & (taken == item.last)),
            self.i.ready.eq(item.writes | ends),
        ]
        m.d.sync += sought.eq((sought | unit.seeks) & ~ends)
        with m.If(transfers(unit.o)):
            m.d.sync += taken.eq(Mux(ends, 0, taken + 1))
        return m


class Written:
    """What is on the tape, and where it is, for drawn items and the words that they bring."""

    def __init__(self, config, rng):
        self.size, self.bits = config
        self.rng = rng
        self.words, self.at = {}, 0

    def word(self, address):
        """Return an item that writes a drawn word."""
        self.words[address] = int.from_bytes(self.rng.bytes(8), "little") % (1 << self.bits)
        written = {"address": address, "data": self.words[address]}
        return {"writes": 1, "seeks": int(self.rng.integers(2)), "last": 0, **written}

    def take(self, count, address=None):
        """Return an item that takes some words, and these."""
        seeks = address is not None
        address = address if seeks else self.at
        self.at = address + count
        # What is not written has any data, and where nothing is sought any address counts for none.
        shown = address if seeks else int(self.rng.integers(self.size))
        item = {"writes": 0, "seeks": int(seeks), "address": shown, "data": 0, "last": count - 1}
        return item, [self.words[n] for n in range(address, self.at)]

    def case(self, items, name):
        """Play items after each other; one that takes words is a pair."""
        given, words, clocks, wrote = [], [], 0, False
        for item in items:
            takes = isinstance(item, tuple)
            step, found = item if takes else (item, [])
            given.append(step)
            words += found
            # To seek is a clock; what was written is shown a clock later.
            clocks += len(found) + (step["seeks"] or wrote) if takes else 1
            wrote = not takes
        return Case({"i": given}, {"o": words}, clocks=clocks, name=name)


def broken(old, new):
    return lambda config: Sought(*config, edited(Tape, old, new))


class TapeBench(UnitBench):
    """Tapes that are written in any order, and words from everywhere, with writes in between."""

    name = "compact-tape"
    configs = {"11 words": (11, 5), "64 words": (64, 2 * COLUMNS), "whole": (TAPE_WORDS, 48)}
    cocotb_configs = ("64 words", "whole")
    bug_configs = ("64 words",)
    not_stalled = {"i": "ready only when the words that wait there have been taken"}
    bugs = {
        "goes on by itself": broken("at + transfers(self.o)", "at + 1"),
        "stands still": broken("at + transfers(self.o)", "at"),
        "never seeks": broken("self.seeks, self.address", "0, self.address"),
        "seeks for a clock": broken("[at.eq(following)", "[at.eq(at + transfers(self.o))"),
        "the word before the write": broken("eq(~self.write.enable)", "eq(1)"),
        "valid since reset alone": broken("eq(~self.write.enable)", "eq(~self.seeks)"),
        "a word every other clock": broken(
            "eq(~self.write.enable)", "eq(~self.write.enable & ~transfers(self.o))"
        ),
        "writes where it is": broken(
            "write.address.eq(self.write.address)", "write.address.eq(at)"
        ),
        "never written": broken("write.enable.eq(self.write.enable)", "write.enable.eq(0)"),
        "always written": broken("write.enable.eq(self.write.enable)", "write.enable.eq(1)"),
    }

    def dut(self, config):
        return Sought(*config)

    def cases(self, config, rng):
        size = config[0]
        tape = Written(config, rng)
        first = tape.word(0)
        yield tape.case([first, tape.take(1)], "after reset")
        known = min(size, 64)
        # Addresses that differ in each bit, where not all are written.
        places = sorted({*range(known), *(size - 1 - n for n in range(known))})
        places += [1 << n for n in range(known.bit_length(), size.bit_length() - 1)]
        writes = [tape.word(n) for n in rng.permutation(sorted(set(places))).tolist()]
        yield tape.case([*writes, tape.take(known, 0)], "all in order")
        yield tape.case([tape.take(1, int(n)) for n in rng.permutation(places)], "each alone")
        yield tape.case([tape.take(known, size - known)], "to the end")
        items = [tape.take(1, 0)]
        for _ in range(40):
            left = known - tape.at
            match rng.integers(4):
                case 0:
                    items.append(tape.word(int(rng.integers(known))))
                case 1 if left:
                    items.append(tape.word(tape.at))  # the word that waits
                case 2 if left:
                    items.append(tape.take(int(rng.integers(left)) + 1))
                case _:
                    address = int(rng.integers(known))
                    items.append(tape.take(int(rng.integers(known - address)) + 1, address))
        yield tape.case(items, "drawn")


test_pysim, test_cocotb, test_planted_bugs = bench_tests(TapeBench())
