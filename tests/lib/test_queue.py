"""Queue: order, capacity, an item on every clock, and the stream contract."""

import pytest
from amaranth import signed
from amaranth.lib import data

from sterna_rtl.lib.queue import Queue
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

PAIR = data.StructLayout({"value": signed(5), "last": 1})
HOLD = "with m.If(can_load(self.o)):"


def broken(old, new):
    return lambda depth: edited(Queue, old, new)(PAIR, depth)


class QueueBench(UnitBench):
    """What goes in comes out; without stalls an item on every clock."""

    name = "queue"
    configs = {f"depth-{depth}": depth for depth in (5, 1, 2, 3, 4, 16, 17, 128)}
    cocotb_configs = ("depth-1", "depth-2", "depth-5")
    bugs = {
        "newest item first": broken("with m.If(more):", "with m.If(0):"),
        "room for one more": broken("!= self.depth - 1)", "!= self.depth)"),
        "output not held": broken(HOLD, "with m.If(1):"),
        "a bubble after each item": broken(HOLD, "with m.If(~self.o.valid):"),
    }

    def dut(self, config):
        return Queue(PAIR, config)

    def cases(self, config, rng):
        for count in (1, config, 3 * config + 40):
            items = [
                {"value": value, "last": index % 3 == 0}
                for index, value in enumerate(rng.integers(-16, 16, count))
            ]
            yield Case({"i": items}, {"o": items}, finals={"level": 0}, clocks=count + 1)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(QueueBench())


def consistent(queue, credit):
    """What ties the level to the items on their way, so that induction can start anywhere."""
    return (credit == queue.level) & queue.consistent()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_contract(depth):
    contract = StreamContract(items_in=1, invariant=consistent, golden=lambda item: item)
    bugs = {"output not held": lambda: edited(Queue, HOLD, "with m.If(1):")(2, depth)}
    if depth > 2:
        lost = ("store.eq(comes &", "store.eq(self.o.ready &")
        bugs["wrong item kept"] = lambda: edited(Queue, *lost)(2, depth)
    check_contract(lambda: Queue(2, depth), contract, bugs)


@pytest.mark.parametrize("depth", [0, 129, 2.0])
def test_depth_out_of_range(depth):
    with pytest.raises(ValueError, match="from 1 to 128"):
        Queue(8, depth)
