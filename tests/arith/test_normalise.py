"""Normalise: every position of the leading bit, even and given shifts."""

# amaranth: UnusedElaboratable=no

from sterna.spec.fixed import normalise
from sterna_rtl.arith.normalise import Normalise, ShiftUp
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)

BUGS = {
    "upper half": ("Mux(high_zero, low, high)", "Mux(low_zero, high, low)"),
    "never even": ("request.even & ~request.given", "0"),
    "given made even": ("request.even & ~request.given", "request.even"),
    "output not held": ("with m.If(can_load(self.o)):", "with m.If(1):"),
}


class NormaliseBench(UnitBench):
    """Equal to Python's shifts, a number on every clock."""

    name = "normalise"
    configs = {"13-to-7": (13, 7), "2-to-1": (2, 1), "32-to-17": (32, 17), "52-to-52": (52, 52)}
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
    bugs = {
        name: lambda config, bug=bug: edited(Normalise, *bug)(*config) for name, bug in BUGS.items()
    }
    bug_configs = ("13-to-7",)
    of_each = 4  # numbers of a size

    def dut(self, config):
        return Normalise(*config)

    def cases(self, config, rng):
        width, keep = config
        most = (1 << (width - 1).bit_length()) - 1
        requests, results = [], []
        for count in range(width + 1):
            for _ in range(self.of_each):
                value = int(rng.integers(1 << count)) | 1 << count >> 1
                even, given, places = rng.integers(2), rng.integers(2), rng.integers(most + 1)
                # The places of 0 have no meaning unless they are given.
                given |= count == 0
                requests.append({"value": value, "even": even, "given": given, "places": places})
                if not given:
                    places = width - value.bit_length()
                    places -= places % 2 and even
                shifted = (value << int(places)) % (1 << width) >> (width - keep)
                results.append({"value": shifted, "places": places})
        yield Case({"i": requests}, {"o": results}, clocks=len(requests) + 2)


class ManyBench(NormaliseBench):
    """Many more numbers."""

    name = "normalise-many"
    configs = {"13-to-7": (13, 7)}
    stalls = (Stalls(),)
    of_each = 150


test_pysim, test_cocotb, test_planted_bugs = bench_tests(NormaliseBench())
test_many, _, _ = bench_tests(ManyBench())


class ShiftUpBench(NormaliseBench):
    """Numbers of all sizes and all powers of two, with zeros counted before a last 1 or after."""

    name = "shift-up"
    configs = {"13-to-7": (13, 7), "32-to-17": (32, 17)}
    bugs = {
        name: lambda config, bug=bug: edited(ShiftUp, *bug)(*config)
        for name, bug in {
            "uppermost bit lost": ("value.any())", "shifted[self.width - 1])"),
            "a place too many": ("Mux(shifted[-1], places - 1, places)", "places"),
            "output not held": ("self.i.ready.eq(can_load(self.o))", "self.i.ready.eq(1)"),
        }.items()
    }

    def dut(self, config):
        return ShiftUp(*config)

    def cases(self, config, rng):
        width, keep = config
        requests, results = [], []
        for count in range(1, width + 1):
            some = rng.integers(1 << count - 1, 1 << count, 3).tolist()
            for value, less in ((1 << count - 1, 0), (1 << count - 1, 1), *((v, 1) for v in some)):
                # All places of 0 do for 1.
                places = min(width - (value - less).bit_length(), width - 1)
                requests.append({"value": value, "places": places})
                places = width - count
                results.append({"value": (value << places) >> width - keep, "places": places})
        yield Case({"i": requests}, {"o": results}, clocks=len(requests) + 1)


test_shift_up_pysim, _, test_shift_up_planted_bugs = bench_tests(ShiftUpBench())


def test_same_as_golden():
    """The mantissa is the upper end of the shifted number, the exponent counts from there."""
    for value in (1, 5, 0xFFFF, 0x10000, 0x12345678, 0xFFFFFFFF):
        places = 32 - value.bit_length()
        shifted = (value << places) % (1 << 32)
        assert normalise(value, 17) == (shifted >> 15, 15 - places)


def test_contract():
    """Outputs hold, one for every input."""
    bugs = {"output not held": lambda: edited(Normalise, *BUGS["output not held"])(5)}
    check_contract(lambda: Normalise(5), StreamContract(items_in=1, depth=8), bugs)
