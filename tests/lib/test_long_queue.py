"""LongQueue: order, capacity, an item on every clock, and the stream contract."""

import pytest
from amaranth import signed
from amaranth.lib import data

from sterna_rtl.lib.long_queue import LongQueue
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited

PAIR = data.StructLayout({"value": signed(5), "last": 1})


def broken(old, new):
    return lambda depth: edited(LongQueue, old, new)(PAIR, depth)


class LongQueueBench(UnitBench):
    """What goes in comes out; without stalls an item on every clock."""

    name = "long queue"
    configs = {f"depth-{depth}": depth for depth in (5, 1, 2, 3, 4, 16, 17, 200)}
    cocotb_configs = ("depth-1", "depth-5")
    bugs = {
        "the same item again": broken("m.d.sync += at.eq(following(at))", "pass"),
        "room for one more": broken("self.level != depth", "self.level != depth + 1"),
        "read before its write": broken("reads.eq((ready != 0)",
            "reads.eq(((ready != 0) | transfers(self.i))"),
        "more than the queue holds": broken(" & (room != 0)", ""),
        "wraps an item late": broken("place == depth - 1", "place == depth"),
        "a bubble after each item": broken("& (room != 0)", "& (room != 0) & ~in_flight"),
    }  # fmt: skip

    def dut(self, config):
        return LongQueue(PAIR, config)

    def cases(self, config, rng):
        for count in (1, config, 3 * config + 40):
            items = [
                {"value": value, "last": index % 3 == 0}
                for index, value in enumerate(rng.integers(-16, 16, count))
            ]
            # An item leaves four clocks after it came: a shorter queue waits for that.
            clocks = count + 3 if config > 3 else 4 * -(-count // config) + (count - 1) % config
            yield Case({"i": items}, {"o": items}, finals={"level": 0}, clocks=clocks)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LongQueueBench())


def consistent(queue, credit):
    """What ties the counts to the items on their way, so that induction can start anywhere."""
    ahead = queue.in_flight + queue.queue.level
    return (
        (credit == queue.level)
        & (queue.level <= queue.depth)
        & (queue.level == queue.ready + ahead)
        & (queue.room + ahead == 3)
        & queue.queue.consistent()
    )


@pytest.mark.parametrize("depth", [1, 4])
def test_contract(depth):
    contract = StreamContract(items_in=1, invariant=consistent, golden=lambda item: item)
    bugs = {"never empty": lambda: edited(LongQueue, "(ready != 0) & ", "")(2, depth)}
    check_contract(lambda: LongQueue(2, depth), contract, bugs)
