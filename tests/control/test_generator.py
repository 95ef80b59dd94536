"""Generator: which tokens are stepped and which are given to the host, ends of all kinds."""

from dataclasses import replace

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, Out
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.registers import STOPS
from sterna_rtl.control.generator import Generator
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited


class Watched(Component):
    """The unit without `abort`; `draw` goes with the token that it is about, passes are counted."""

    def __init__(self, config, unit=Generator):
        self.unit = unit(config)
        members = self.unit.signature.members
        self.stepped = Layouts(config).prompt
        super().__init__(
            {
                **{name: members[name] for name in ("i_token", "i_sampled", "o_generated")},
                **{name: members[name] for name in ("count", "stop", "busy")},
                "o_token": Out(stream.Signature(self.stepped)),
                "passes": Out(16),
                "draw_kept": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i_token, unit.i_token)
        connect_stream(m, self.i_sampled, unit.i_sampled)
        connect_stream(m, unit.o_generated, self.o_generated)
        m.d.comb += [
            self.o_token.payload.token.eq(unit.o_token.payload),
            self.o_token.payload.draw.eq(unit.draw),
            self.o_token.valid.eq(unit.o_token.valid),
            unit.o_token.ready.eq(self.o_token.ready),
            unit.count.eq(self.count),
            unit.stop.eq(self.stop),
            self.busy.eq(unit.busy),
        ]
        if unit.targets:
            target = self.o_token.payload.target
            m.d.comb += target.valid.eq(unit.target.valid)
            with m.If(unit.target.valid):
                m.d.comb += target.token.eq(unit.target.token)
        m.d.sync += self.passes.eq(self.passes + unit.tokens)
        draw = Signal()
        with m.If(unit.o_token.valid & unit.o_token.ready):
            m.d.sync += draw.eq(unit.draw)
        with m.If(unit.i_sampled.valid & unit.i_sampled.ready & (unit.draw != draw)):
            m.d.sync += self.draw_kept.eq(0)
        return m


def expected(prompt, sampled, count, stops):
    """What is stepped and what is given: a program of a dozen lines, the unit's specification."""
    stepped, generated = [], []
    sampled = iter(sampled)
    for item in prompt:
        stepped.append(item)
        token, left = next(sampled), max(count, 1)
        while item["draw"]:
            left -= 1
            last = left == 0 or token in stops
            generated.append({"token": token, "last": last})
            if last:
                break
            stepped.append({**item, "token": token, "draw": 1})
            if "target" in item:
                stepped[-1]["target"] = {"token": 0, "valid": 0}
            token = next(sampled)
    return stepped, generated


def broken(old, new):
    return lambda config: Watched(config, edited(Generator, old, new))


class GeneratorBench(UnitBench):
    """Prompts of several lengths, counts, and stop tokens that come now and then."""

    name = "generator"
    configs = {
        "10-bits": REFERENCE,
        "1-bit": replace(REFERENCE, max_vocab=2, log_probability=False),
        "17-bits": replace(REFERENCE, max_vocab=1 << 17),
    }
    cocotb_configs = ("10-bits", "1-bit")
    bug_configs = ("10-bits",)
    bugs = {
        "one token too many": broken("left <= 1", "left < 1"),
        "stop ignored": broken(" | stopped", ""),
        "stop not in use stops": broken("stop.valid & (", "1 & ("),
        "last token is stepped": broken('m.next = "IDLE"\n                    with m.Else():\n'
            '                        m.next = "FEED"', 'm.next = "FEED"'),
        "first token again": broken("token.eq(self.i_sampled.payload)", "token.eq(token)"),
        "draw falls too early": broken("eq(transfers(self.i_sampled))",
            "eq(transfers(self.i_sampled)), self.draw.eq(self.draw & ~self.o_token.ready)"),
        "all tokens are drawn": broken("self.draw.eq(prompt.o.payload.draw)", "self.draw.eq(1)"),
        "target of the prompt kept": broken("self.target.valid.eq(0)", "self.target.valid.eq(1)"),
        "passes counted twice": broken("eq(transfers(self.i_sampled))",
            "eq(self.i_sampled.ready & (self.i_sampled.valid | ~self.draw))"),
    }  # fmt: skip

    def dut(self, config):
        return Watched(config)

    def cases(self, config, rng):
        bits = config.token_bits
        passes = 0
        for name, lengths, count, stops in (
            ("prompts", [20, 3], 0, []),
            ("one", [1, 5], 1, []),
            ("none-is-one", [2], 0, []),
            ("many", [4, 1], 40, []),
            ("stops", [2, 1, 3, 1], 30, rng.integers(0, 1 << bits, STOPS).tolist()),
            ("one-stop", [1, 1], 6, [int(rng.integers(0, 1 << bits))]),
        ):
            draws = name != "prompts"
            prompt = [
                {"token": int(rng.integers(0, 1 << bits)), "draw": draws and n == length - 1}
                for length in lengths
                for n in range(length)
            ]
            for item in prompt if config.log_probability else ():
                valid = int(rng.integers(2))
                item["target"] = {"token": int(rng.integers(0, 1 << bits)) * valid, "valid": valid}
            sampled = rng.integers(0, 1 << bits, 200).tolist()
            # A stop token comes about once in ten.
            for place in range(int(rng.integers(4, 12)), 200, 11):
                sampled[place] = stops[place % len(stops)] if stops else sampled[place]
            stepped, generated = expected(prompt, sampled, count, stops)
            passes += len(stepped)
            unused = [{"token": token, "valid": 0} for token in sampled[:STOPS]]
            yield Case(
                {"i_token": prompt, "i_sampled": sampled[: len(stepped)]},
                {"o_token": stepped, "o_generated": generated},
                {
                    "count": count,
                    "stop": ([{"token": t, "valid": 1} for t in stops] + unused)[:STOPS],
                },
                {"busy": 0, "passes": passes, "draw_kept": 1},
                # Three clocks a pass, and one more where its token goes to the host.
                clocks=3 * len(stepped) + len(generated) + 3,
                name=name,
            )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(GeneratorBench())


class Host:
    """A chip of its own: every pass takes `clocks`, the tokens drawn count up from 100."""

    def __init__(self, ctx, dut, clocks=5):
        self.ctx = ctx
        self.dut = dut
        self.clocks = clocks
        self.drawn = 100

    async def feed(self, token, draw):
        self.ctx.set(self.dut.i_token.payload, {"token": token, "draw": draw})
        self.ctx.set(self.dut.i_token.valid, 1)
        await self.ctx.tick().until(self.dut.i_token.ready)
        self.ctx.set(self.dut.i_token.valid, 0)

    async def step(self, abort_at=None):
        """Run one pass; return its token. `abort_at` is a clock of the pass."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.o_token.ready, 1)
        *_, token = await ctx.tick().sample(dut.o_token.payload).until(dut.o_token.valid)
        ctx.set(dut.o_token.ready, 0)
        for clock in range(self.clocks):
            ctx.set(dut.abort, clock == abort_at)
            await ctx.tick()
        ctx.set(dut.abort, abort_at == self.clocks)
        ctx.set(dut.i_sampled.payload, self.drawn)
        ctx.set(dut.i_sampled.valid, 1)
        await ctx.tick().until(dut.i_sampled.ready)
        ctx.set(dut.i_sampled.valid, 0)
        ctx.set(dut.abort, abort_at == self.clocks + 1)
        await ctx.tick()
        ctx.set(dut.abort, 0)
        self.drawn += 1
        return token

    async def given(self):
        """All tokens that wait for the host."""
        ctx, dut, items = self.ctx, self.dut, []
        await ctx.tick().repeat(4)
        while ctx.get(dut.o_generated.valid):
            item = ctx.get(dut.o_generated.payload)
            items.append((item.token, item.last))
            ctx.set(dut.o_generated.ready, 1)
            await ctx.tick()
            ctx.set(dut.o_generated.ready, 0)
        return items


def run(testbench, count=10, unit=Generator):
    dut = unit(REFERENCE)
    ended = False

    async def wrapped(ctx):
        nonlocal ended
        ctx.set(dut.count, count)
        await testbench(ctx, dut, Host(ctx, dut))
        ended = True

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(wrapped)
    simulator.run_until(1e-6 * 1000)
    assert ended, "the generator did not go on"


@pytest.mark.parametrize("clock", range(7))
def test_abort_ends_with_the_token_in_flight(clock):
    async def testbench(ctx, dut, host):
        await host.feed(7, draw=1)
        assert await host.step() == 7
        assert await host.step(abort_at=clock) == 100
        assert await host.given() == [(100, 0), (101, 1)]
        assert not ctx.get(dut.busy)
        # The next generation knows nothing of it.
        await host.feed(8, draw=1)
        assert [await host.step(), await host.step()] == [8, 102]
        assert await host.given() == [(102, 0), (103, 0)]

    run(testbench)


def test_abort_while_idle_is_nothing():
    async def testbench(ctx, dut, host):
        ctx.set(dut.abort, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.abort, 0)
        await host.feed(7, draw=1)
        assert [await host.step(), await host.step()] == [7, 100]
        assert await host.given() == [(100, 0), (101, 0)]
        assert ctx.get(dut.busy)

    run(testbench)


def test_abort_during_the_prompt_reaches_the_generation_behind_it():
    async def testbench(ctx, dut, host):
        for token in (1, 2, 3):
            await host.feed(token, draw=token == 3)
        assert [await host.step(abort_at=2), await host.step(), await host.step()] == [1, 2, 3]
        assert await host.given() == [(102, 1)]
        assert not ctx.get(dut.busy)

    run(testbench)


def test_generation_waits_for_the_host():
    """With 17 tokens that the host has not read no further pass begins; then it goes on."""

    async def testbench(ctx, dut, host):
        await host.feed(7, draw=1)
        for _ in range(17):
            await host.step()
        ctx.set(dut.o_token.ready, 1)
        await ctx.tick().repeat(20)
        assert not ctx.get(dut.o_token.valid)
        assert ctx.get(dut.busy)
        ctx.set(dut.o_token.ready, 0)
        assert await host.given() == [(100 + n, 0) for n in range(17)]
        assert await host.step() == 116

    run(testbench, count=100)
    with pytest.raises(AssertionError):
        run(testbench, count=100, unit=edited(Generator, "m.If(generated.i.ready)", "m.If(1)"))


def test_busy_from_the_first_token_to_the_last():
    async def testbench(ctx, dut, host):
        assert not ctx.get(dut.busy)
        await host.feed(7, draw=0)
        assert ctx.get(dut.busy)
        await host.step()
        await ctx.tick()
        assert not ctx.get(dut.busy)

    run(testbench)


def test_contract():
    contract = StreamContract(free=("abort",), depth=16, induction=6, covers=1)
    config = replace(REFERENCE, max_vocab=2)
    bug = edited(Generator, "with m.If(self.o_token.ready):", "with m.If(1):")
    check_contract(lambda: Generator(config), contract, {"valid not held": lambda: bug(config)})
