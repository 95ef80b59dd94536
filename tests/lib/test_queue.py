"""Queues, in both forms: order, capacity, an item on every clock, and the stream contract."""

from dataclasses import replace

import pytest
from amaranth import signed
from amaranth.lib import data

from sterna_rtl.family.ice40 import ICE40
from sterna_rtl.lib.queue import BypassQueue, Queue, WideQueue
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


def on_ice40(queue):
    """Let a queue have the rows that it has there."""
    elaborate = queue.elaborate
    queue.elaborate = lambda platform: elaborate(ICE40)
    return queue


def broken_on_ice40(old, new):
    return lambda depth: on_ice40(edited(Queue, old, new)(PAIR, depth))


class Ice40Bench(QueueBench):
    """The same with rows that move up."""

    name = "queue-on-ice40"
    configs = {f"depth-{depth}": depth for depth in (5, 3, 4, 17)}
    cocotb_configs = ("depth-5",)
    bugs = {
        "free rows are not filled": broken_on_ice40("moves | (self.level <= place + 1)", "moves"),
        "a row too few is free": broken_on_ice40("<= place + 1)", "<= place)"),
        "an item is overtaken": broken_on_ice40("<= place + 2,", "<= place + 3,"),
        "an item is lost where rows move": broken_on_ice40("<= place + 2,", "<= place + 1,"),
        "rows do not move": broken_on_ice40("moves = more & can_load(self.o)", "moves = C(0)"),
    }

    def dut(self, config):
        return on_ice40(Queue(PAIR, config))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(QueueBench())
test_pysim_on_ice40, test_cocotb_on_ice40, test_planted_bugs_on_ice40 = bench_tests(Ice40Bench())


PASSES = "(waits | ~self.o.ready)"


def broken_bypass(old, new):
    return lambda depth: edited(BypassQueue, old, new)(PAIR, depth)


class BypassQueueBench(QueueBench):
    """The same, but without stalls every item leaves on the clock on which it comes."""

    name = "bypass-queue"
    configs = {f"depth-{depth}": depth for depth in (5, 2, 3, 17)}
    cocotb_configs = ("depth-2", "depth-5")
    bugs = {
        "item twice": broken_bypass(PASSES, "1"),
        "item lost": broken_bypass(PASSES, "waits"),
        "newest item first": broken_bypass("Mux(waits, queue", "Mux(~self.i.valid, queue"),
        "no bypass": broken_bypass("waits | self.i.valid", "waits"),
    }

    def dut(self, config):
        return BypassQueue(PAIR, config)

    def cases(self, config, rng):
        for case in super().cases(config, rng):
            yield replace(case, clocks=case.clocks - 1)


test_bypass_pysim, test_bypass_cocotb, test_bypass_planted_bugs = bench_tests(BypassQueueBench())


class WideQueueBench(QueueBench):
    """The same with two registers behind the rows."""

    name = "wide-queue"
    configs = {f"depth-{depth}": depth for depth in (5, 2, 3, 17)}
    cocotb_configs = ("depth-2", "depth-5")
    bugs = {
        "rows follow the output": lambda depth: edited(
            WideQueue, "connect_stream(m, rows.o, ends.i)",
            "connect_stream(m, rows.o, ends.i); m.d.comb += rows.o.ready.eq(self.o.ready)",
        )(PAIR, depth),
    }  # fmt: skip

    def dut(self, config):
        return WideQueue(PAIR, config)

    def cases(self, config, rng):
        for case in super().cases(config, rng):
            yield replace(case, finals={})


test_wide_pysim, test_wide_cocotb, test_wide_planted_bugs = bench_tests(WideQueueBench())


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


def test_bypass_contract():
    """Outputs hold, though they follow the input."""

    def invariant(queue, credit):
        return (credit == queue.level) & queue.consistent()

    contract = StreamContract(
        items_in=1, invariant=invariant, golden=lambda item: item, combinational=True
    )
    bugs = {"item lost": lambda: edited(BypassQueue, PASSES, "waits")(2, 2)}
    check_contract(lambda: BypassQueue(2, 2), contract, bugs)


def test_wide_contract():
    def invariant(queue, credit):
        return (credit == queue.rows.level + queue.ends.level) & queue.consistent()

    contract = StreamContract(items_in=1, invariant=invariant, golden=lambda item: item)
    follows = ("connect_stream(m, rows.o, ends.i)", "connect_stream(m, rows.o, self.o)")
    bugs = {"past its registers": lambda: edited(WideQueue, *follows)(2, 2)}
    check_contract(lambda: WideQueue(2, 2), contract, bugs)


def test_bypass_depth_out_of_range():
    with pytest.raises(ValueError, match="at least 2"):
        BypassQueue(8, 1)


@pytest.mark.parametrize("depth", [0, 129, 2.0])
def test_depth_out_of_range(depth):
    with pytest.raises(ValueError, match="from 1 to 128"):
        Queue(8, depth)
