"""Walk: places as plays say, round and round, at full rate, each with its tag."""

from dataclasses import replace

from sterna.spec.chip import REFERENCE
from sterna.spec.trits import Packing
from sterna_rtl.layouts import Layouts
from sterna_rtl.tape.walk import Walk
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)

LATENCY = 2
DEPTH = 12


def chip(slots):
    small = replace(REFERENCE, rows=1, columns=1, elements=1, packing=Packing.TWO_BITS)
    return replace(small, tape_words=DEPTH, slots=slots)


def places(plays, words):
    """What the walk gives over a tape of so many words."""
    given, first = [], 0
    for play in plays:
        for time in range(play["times"]):
            for n in range(play["words"]):
                tag = {
                    "header": play["header"],
                    "end": int(n == play["words"] - 1),
                    "final": int(time == play["times"] - 1),
                }
                address = (first + n) % words
                given.append({"address": address, "words": play["words"], "tag": tag})
        first += play["words"]
    return given


def broken(old, new):
    unit = edited(Walk, old, new)
    return lambda config: unit(config, DEPTH)


class WalkBench(UnitBench):
    """Plays of one word and of more than all of the tape, once and as often as there are slots."""

    name = "walk"
    configs = {"3-slots": chip(3), "1-slot": chip(1), "8-slots": chip(8)}
    cocotb_configs = ("3-slots",)
    bug_configs = ("3-slots",)
    bugs = {
        "one time too many": broken("again.eq(play.times - 2)", "again.eq(play.times - 1)"),
        "one time too few": broken("again.eq(play.times - 2)", "again.eq(play.times - 3)"),
        "a word too many": broken("left.eq(play.words - 2)", "left.eq(play.words - 1)"),
        "another time of other words": broken("left.eq(words - 2)", "left.eq(play.words - 2)"),
        "back to place 0": broken("address.eq(first)", "address.eq(0)"),
        "back to the play before": broken("first.eq(Mux(self.o.valid, following, address))", "[]"),
        "back to the last place of the play before": broken(
            "Mux(self.o.valid, following, address)", "address"
        ),
        "wraps a word late": broken("address == self.last,", "address == self.last + 1,"),
        "bubble between plays": broken("~self.o.valid | (self.o.ready &", "~self.o.valid | (0 &"),
        "all words of a header": broken("place.tag.header.eq(header)", "place.tag.header.eq(1)"),
        "ends with the last time": broken("end.eq(left[-1])", "end.eq(left[-1] & again[-1])"),
        "every time the final one": broken("final.eq(again[-1])", "final.eq(1)"),
        "number of the words left": broken("place.words.eq(words)", "place.words.eq(left)"),
    }

    def dut(self, config):
        return Walk(config, DEPTH)

    def cases(self, config, rng):
        words = 7  # the walk goes on where the case before left it, so that all share this
        kinds = [(1, 1), (words, config.slots), (1, config.slots), (2 * words + 1, 1), (2, 1)]
        kinds += rng.integers(1, (words + 2, config.slots + 1), (30, 2)).tolist()
        plays = [{"words": n, "times": times, "header": int(rng.integers(2))} for n, times in kinds]
        given = places(plays, words)
        yield Case({"i": plays}, {"o": given}, {"last": words - 1}, clocks=len(given) + LATENCY)


class LongBench(WalkBench):
    """Plays of thousands of words, on all of the tape."""

    name = "walk-long"
    stalls = (Stalls(),)
    cocotb_configs = ("3-slots",)

    def cases(self, config, rng):
        kinds = [(1, 1), (DEPTH, config.slots), (2800, 1), (1900, min(config.slots, 2)), (600, 1)]
        kinds += rng.integers(1, (60, config.slots + 1), (20, 2)).tolist()
        plays = [{"words": n, "times": times, "header": int(rng.integers(2))} for n, times in kinds]
        yield Case({"i": plays}, {"o": places(plays, DEPTH)}, {"last": DEPTH - 1})


class FarBench(WalkBench):
    """The first places of plays of any number of words, each after a reset."""

    name = "walk-far"
    stalls = (Stalls(),)
    cocotb_configs = ()
    reset_between = True
    reset_test = False
    drain = 0  # it goes on

    def cases(self, config, rng):
        most = (1 << Layouts(config).play.members["words"]) - 1
        for _ in range(60):
            far = {"words": int(rng.integers(1, most + 1)), "times": 1, "header": 1}
            # It waits behind others.
            counts = rng.integers(1, 5, rng.integers(4)).tolist()
            plays = [{"words": count, "times": 1, "header": 0} for count in counts]
            given = places([*plays, {**far, "words": min(far["words"], 6)}], DEPTH)
            for place in given:
                if place["tag"]["header"]:
                    place["words"] = far["words"]
                    place["tag"]["end"] &= far["words"] <= 6
            yield Case({"i": [*plays, far]}, {"o": given}, {"last": DEPTH - 1})


test_pysim, test_cocotb, test_planted_bugs = bench_tests(WalkBench())
test_long, test_long_cocotb, _ = bench_tests(LongBench())
test_far, _, _ = bench_tests(FarBench())


def test_contract():
    bugs = {
        "moves on by itself": lambda: broken("m.If(transfers(self.o))", "m.If(self.o.valid)")(
            chip(2)
        )
    }
    check_contract(lambda: Walk(chip(2), DEPTH), StreamContract(free=("last",)), bugs)
