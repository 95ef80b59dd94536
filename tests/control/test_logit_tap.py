"""LogitTap: beats pass unchanged, and with `keep` every logit that exists goes to the host."""

import pytest
from amaranth.sim import Simulator

from sterna.spec.fixed import PRE_BITS
from sterna_rtl.control.logit_tap import LogitTap
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.control.chips import chip

BEATS = 24

TWICE = "self.o.valid.eq(self.i.valid & room)", "self.o.valid.eq(self.i.valid)"
HELD = "with m.If(transfers(queue.i)):", "with m.If(any_left):"
ALWAYS = "queue.i.valid.eq(any_left)", "queue.i.valid.eq(1)"


def broken(old, new):
    return lambda config: edited(LogitTap, old, new)(config)


class LogitTapBench(UnitBench):
    """Without `keep` a beat on every clock, with it as many clocks as the logits take."""

    name = "logit-tap"
    configs = {f"E-{elements}": chip(elements=elements) for elements in (8, 1, 4)}
    cocotb_configs = ("E-1", "E-4")
    bugs = {
        "keeps what nobody wants": broken("transfers(self.o) & self.keep", "transfers(self.o)"),
        "logits of the beat before are lost": broken("room = ~self.keep | ~any_left", "room = 1"),
        "padding goes to the host": broken("self.i.payload.mask", "~0"),
        "logits in reverse": broken("values[:PRE_BITS]", "values[-PRE_BITS:]"),
        "logit not held": broken(*HELD),
        "next beat in the way": broken("with m.If(~any_left):", "with m.If(self.i.valid):"),
        "beat offered twice": broken(*TWICE),
    }
    not_stalled = {"i": "with `keep` it is ready only when the host has read all logits"}

    def dut(self, config):
        return LogitTap(config)

    def cases(self, config, rng):
        elements, limit = config.elements, 1 << PRE_BITS - 1
        for keep in (1, 0, 1):
            beats = []
            for index in range(BEATS):
                count = elements if index % 4 else int(rng.integers(1, elements + 1))
                beats.append(
                    {
                        "values": rng.integers(-limit, limit, elements).tolist(),
                        "mask": (1 << count) - 1,
                        "first": index == 0,
                        "last": index == BEATS - 1,
                        "end": index % 5 == 0 or index == BEATS - 1,
                    }
                )
            logits = [
                value
                for beat in beats
                for value in beat["values"][: beat["mask"].bit_length()]
                if keep
            ]
            yield Case(
                {"i": beats},
                {"o": beats, "o_logit": logits},
                {"keep": keep},
                clocks=BEATS + len(logits) + 2 * keep,
                name=f"{keep=}",
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(LogitTapBench())


def test_lets_go():
    """When `keep` falls the chip goes on, and what the host has not read stays."""
    dut = LogitTap(chip(elements=2))
    logits = [[3, -4], [5, -6]]

    async def drive(ctx):
        ctx.set(dut.keep, 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, {"values": logits[0], "mask": 3, "first": 1, "last": 0, "end": 1})
        await ctx.tick()
        ctx.set(dut.i.payload, {"values": logits[1], "mask": 3, "first": 0, "last": 1, "end": 1})
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.keep, 0)
        assert ctx.get(dut.i.ready)
        await ctx.tick()
        await ctx.tick()
        ctx.set(dut.o_logit.ready, 1)
        for logit in logits[0]:
            assert ctx.get(dut.o_logit.valid)
            assert ctx.get(dut.o_logit.payload) == logit
            await ctx.tick()
        assert not ctx.get(dut.o_logit.valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


BEAT = StreamContract(items_in=1, golden=lambda beat: beat, combinational=True)
LOGIT = StreamContract(items_in=1, items_out=2, output="o_logit", combinational=True)


@pytest.mark.parametrize("elements, contract, bug", [(1, BEAT, TWICE), (2, LOGIT, ALWAYS)])
def test_contract(elements, contract, bug):
    config = chip(columns=2, elements=elements)
    check_contract(lambda: LogitTap(config), contract, {"bug": lambda: broken(*bug)(config)})
