"""Turns: order, two items at most, an item on every clock, and the stream contract."""

from amaranth import signed
from amaranth.lib import data

from sterna_rtl.lib.turns import Turns
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

PAIR = data.StructLayout({"value": signed(5), "last": 1})


def broken(old, new):
    return lambda shape: edited(Turns, old, new)(shape)


class TurnsBench(UnitBench):
    """What goes in comes out; without stalls an item on every clock."""

    name = "turns"
    configs = {"pair": PAIR}
    bugs = {
        "item lost where both are full": broken("~full[number]", "1"),
        "one register only": broken("self.next_out.eq(~self.next_out)", "self.next_out.eq(0)"),
        "newest item first": broken("eq(Mux(self.next_out,", "eq(Mux(~self.next_in,"),
        "a bubble after each item": broken("~full.all()", "~full.any()"),
    }

    def dut(self, config):
        return Turns(config)

    def cases(self, config, rng):
        for count in (1, 2, 46):
            items = [
                {"value": value, "last": index % 3 == 0}
                for index, value in enumerate(rng.integers(-16, 16, count))
            ]
            yield Case({"i": items}, {"o": items}, clocks=count + 1)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(TurnsBench())


def test_contract():
    def invariant(turns, credit):
        return (credit == turns.full[0] + turns.full[1]) & turns.consistent()

    contract = StreamContract(items_in=1, invariant=invariant, golden=lambda item: item)
    bugs = {"output not held": lambda: edited(Turns, "~full[number]", "1")(2)}
    check_contract(lambda: Turns(2), contract, bugs)
