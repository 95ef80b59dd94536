"""Skid: order, no item lost or doubled, no clock lost, and the stream contract."""

from amaranth import signed
from amaranth.lib import data

from sterna_rtl.lib.skid import Skid
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

PAIR = data.StructLayout({"value": signed(5), "last": 1})


def broken(old, new):
    return lambda _: edited(Skid, old, new)(PAIR)


class SkidBench(UnitBench):
    """What goes in comes out, on the same clock if nothing stalls."""

    name = "skid"
    configs = {"only": None}
    bugs = {
        "an item lost": broken("held.eq(holds)", "held.eq(0)"),
        "an item doubled": broken("held.eq(holds)", "held.eq(self.i.valid | holds)"),
        "a clock lost behind each item": broken("free.eq(~holds)", "free.eq(~self.o.valid)"),
        "another item held": broken("with m.Else():", "with m.If(1):"),
        "what is held is not given": broken("self.o.payload.eq(payload)", "[]"),
    }

    def dut(self, config):
        return Skid(PAIR)

    def cases(self, config, rng):
        for count in (1, 2, 60):
            items = [
                {"value": value, "last": index % 3 == 0}
                for index, value in enumerate(rng.integers(-16, 16, count))
            ]
            yield Case({"i": items}, {"o": items}, clocks=count)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SkidBench())


def test_contract():
    contract = StreamContract(items_in=1, combinational=True, golden=lambda item: item)
    bugs = {"another item held": lambda: edited(Skid, "with m.Else():", "with m.If(1):")(2)}
    check_contract(lambda: Skid(2), contract, bugs)
