"""Generator: which tokens are stepped in which pass and which the host gets, ends of all kinds."""

from dataclasses import replace

import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.sim import Simulator

from sterna.spec.chip import REFERENCE
from sterna.spec.registers import STOPS
from sterna_rtl.control.generator import Generator
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.slots import of_slot
from sterna_rtl.lib.stream import connect_stream, transfers
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)


class Watched(Component):
    """The unit without `abort`; `draw` goes with the tokens that it is about, they are counted.

    No pass ends before `given` tokens have come, so that it doesn't hang on stalls who joins which
    pass. With one slot nobody listens to `o_pass`; with several, sources that mean nothing are 0.
    """

    def __init__(self, config, unit=Generator):
        self.config = config
        self.unit = unit(config)
        members = self.unit.signature.members
        target = {"target": Layouts(config).target} if config.log_probability else {}
        self.stepped = StructLayout({"token": config.token_bits, "draw": config.slots, **target})
        passes = {"o_pass": members["o_pass"]} if config.slots > 1 else {}
        super().__init__(
            {
                **{name: members[name] for name in ("i_token", "i_sampled", "o_generated")},
                **{name: members[name] for name in ("count", "stop", "busy")},
                **passes,
                "o_token": Out(stream.Signature(self.stepped)),
                "given": In(16),
                "tokens": Out(16),
                "draw_kept": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        came, together = Signal(16), Signal()
        m.d.sync += came.eq(came + transfers(self.i_token))
        m.d.comb += together.eq(came == self.given)
        with m.If(together & ~unit.busy & ~self.i_token.valid):
            m.d.sync += came.eq(0)
        connect_stream(m, self.i_token, unit.i_token)
        connect_stream(m, unit.o_generated, self.o_generated)
        m.d.comb += [
            unit.i_sampled.payload.eq(self.i_sampled.payload),
            unit.i_sampled.valid.eq(self.i_sampled.valid & together),
            self.i_sampled.ready.eq(unit.i_sampled.ready & together),
            self.o_token.payload.token.eq(unit.o_token.payload),
            self.o_token.payload.draw.eq(unit.draw),
            self.o_token.valid.eq(unit.o_token.valid),
            unit.o_token.ready.eq(self.o_token.ready),
            unit.count.eq(self.count),
            unit.stop.eq(self.stop),
            self.busy.eq(unit.busy),
        ]
        if self.config.log_probability:
            target = self.o_token.payload.target
            m.d.comb += target.valid.eq(unit.target.valid)
            with m.If(unit.target.valid):
                m.d.comb += target.token.eq(unit.target.token)
        if self.config.slots > 1:
            connect_stream(m, unit.o_pass, self.o_pass)
            for slot in range(self.config.slots):
                with m.If(~unit.o_pass.payload.active[slot]):
                    m.d.comb += self.o_pass.payload.sources[slot].eq(0)
        m.d.sync += self.tokens.eq(self.tokens + unit.tokens)
        draw = Signal(self.config.slots)
        with m.If(transfers(unit.o_token)):
            m.d.sync += draw.eq(unit.draw)
        with m.If(
            transfers(unit.i_sampled) & of_slot(unit.draw ^ draw, unit.i_sampled.payload.slot)
        ):
            m.d.sync += self.draw_kept.eq(0)
        return m


def expected(groups, sampled, counts, stops, slots, targets):
    """What is to happen: a program of two dozen lines, the unit's specification.

    Returns the items of all ports but `i_token`, and the clocks that the unit takes for them; None
    if a slot would have to be twice in a pass, which the host has to avoid.
    """
    out = {name: [] for name in ("o_pass", "o_token", "i_sampled", "o_generated")}
    groups, sampled = list(groups), iter(sampled)
    draws, tokens, sources, left = {}, {}, [0] * slots, [0] * slots
    clocks = 0
    while groups or draws:
        joining = groups.pop(0) if groups and groups[0][0]["slot"] not in draws else []
        members = set(draws)
        if any(item["slot"] in draws for item in joining):
            return None
        for item in joining:
            slot = item["slot"]
            members.add(slot)
            tokens[slot], sources[slot] = item["token"], item["source"]
            if item["draw"]:
                draws[slot], left[slot] = 1, max(counts[slot], 1)
        members = sorted(members)
        active = sum(1 << slot for slot in members)
        shown = [sources[slot] if slot in members else 0 for slot in range(slots)]
        out["o_pass"].append({"active": active, "sources": shown})
        mask = sum(1 << slot for slot in draws)
        stepped = [{"token": tokens[slot], "draw": mask} for slot in members]
        for item in stepped if targets else ():
            item["target"] = joining[0]["target"] if joining else {"token": 0, "valid": 0}
        out["o_token"] += stepped
        clocks += 3 * len(members) + len(draws) + max(len(joining), members[-1] not in draws)
        for slot in members:
            token = next(sampled)
            out["i_sampled"].append({"token": token, "slot": slot})
            if slot in draws:
                left[slot] -= 1
                last = left[slot] == 0 or token in stops
                out["o_generated"].append({"token": token, "slot": slot, "last": last})
                tokens[slot], sources[slot] = token, slot
                if last:
                    del draws[slot]
    return out, clocks


def target_of(config, rng):
    """A target, or none."""
    valid = int(rng.integers(2))
    return {"token": int(rng.integers(0, 1 << config.token_bits)) * valid, "valid": valid}


def prompt_of(config, rng, length, name):
    """Groups of tokens: one a pass, or as many at once as there are slots; the last one draws."""
    while length:
        most = 1 if name == "one" else min(config.slots, length)
        group = rng.permutation(config.slots)[: rng.integers(1, most + 1)].tolist()
        length -= len(group)
        extras = {"target": target_of(config, rng)} if config.log_probability else {}
        yield [
            {
                **extras,
                "token": int(rng.integers(0, 1 << config.token_bits)),
                "slot": slot,
                "source": int(rng.integers(config.slots)),
                "more": slot != group[-1],
                "draw": name != "prompts"
                and (length == 0 or (config.slots > 1 and rng.random() < 0.3)),
            }
            for slot in group
        ]


def broken(old, new):
    return lambda config: Watched(config, edited(Generator, old, new))


class GeneratorBench(UnitBench):
    """Prompts of several lengths, counts, and stop tokens that come now and then; many slots."""

    name = "generator"
    configs = {
        "10-bits": replace(REFERENCE, log_probability=True),
        "1-bit": replace(REFERENCE, max_vocab=2),
        "17-bits": replace(REFERENCE, max_vocab=1 << 17),
        "2-slots": replace(REFERENCE, slots=2),
        "3-slots": replace(REFERENCE, slots=3),
    }
    cocotb_configs = ("1-bit", "3-slots")
    bug_configs = ("3-slots", "10-bits")
    bugs = {
        "one token too many": broken("sampled.slot) <= 1)", "sampled.slot) < 1)"),
        "stop ignored": broken(" | stops", ""),
        "stop not in use stops": broken("stop.valid & (", "1 & ("),
        "last token is stepped": broken("drawing.eq(self.draw & ~ended)", "drawing.eq(self.draw)"),
        "first token again": broken("eq(sampled.token)", "eq(of_slot(tokens, sampled.slot))"),
        "all tokens are drawn": broken("eq(entry.draw)", "eq(1)"),
        "target of the prompt kept": broken("self.target.valid.eq(0)", "self.target.valid.eq(1)"),
        "tokens counted only if drawn": broken(
            "self.tokens.eq(transfers(self.i_sampled))",
            "self.tokens.eq(transfers(self.i_sampled) & self.draw.any())",
        ),
        "with one slot it waits for the sequencer": broken(" | (self.slots == 1)", ""),
        "joins while its slot draws": broken("& ~of_slot(drawing, entry.slot)", ""),
        "joins a pass late": broken(
            "~of_slot(drawing, entry.slot)", "~of_slot(self.draw, entry.slot)"
        ),
        "nobody joins those who draw": broken(
            "~of_slot(drawing, entry.slot)", "~drawing.any()"
        ),
        "slots from the last to the first": broken(
            "for number in reversed(range(self.slots))", "for number in range(self.slots)"
        ),
        "always its own state": broken("eq(entry.source)", "eq(entry.slot)"),
        "source of the first pass for all": broken(
            "m.d.sync += of_slot(self.o_pass.payload.sources, slot).eq(slot)", "pass"
        ),
        "count of slot 0": broken("of_slot(self.count, entry.slot)", "self.count[0]"),
        "who has ended goes on": broken(
            "m.d.sync += [members.eq(drawing), todo.eq(drawing)]",
            "m.d.sync += [members.eq(self.draw), todo.eq(self.draw)]",
        ),
        "given to slot 0": broken("result.slot.eq(slot)", "result.slot.eq(0)"),
        "all draw to the end of the pass": broken(
            "with m.If(of_slot(self.draw, sampled.slot)):", "with m.If(self.draw.any()):"
        ),
        "announced twice": broken("self.o_pass.valid.eq(~told)", "self.o_pass.valid.eq(1)"),
    }  # fmt: skip

    def dut(self, config):
        return Watched(config)

    def cases(self, config, rng):
        bits, slots = config.token_bits, config.slots
        tokens = 0
        for name, lengths, count, stops in (
            ("prompts", [13, 3], 0, []),
            ("one", [1, 5], 1, []),
            ("none-is-one", [2], 0, []),
            ("many", [4, 1], 40, []),
            ("stops", [2, 1, 3, 1], 30, rng.integers(0, 1 << bits, STOPS).tolist()),
            ("one-stop", [1, 1], 6, [int(rng.integers(0, 1 << bits))]),
            ("slots", [4, 4, 3], 7, []),
        ):
            sampled = rng.integers(0, 1 << bits, 400).tolist()
            # A stop token comes about once in ten.
            for place in range(int(rng.integers(4, 12)), 400, 11):
                sampled[place] = stops[place % len(stops)] if stops else sampled[place]
            counts = [max(0, count - 2 * slot) for slot in range(slots)]
            case = self.one(config, rng, name, lengths, counts, stops, sampled)
            # They are counted from case to case.
            tokens += len(case.outputs["o_token"])
            yield replace(case, finals={**case.finals, "tokens": tokens})

    def one(self, config, rng, name, lengths, counts, stops, sampled):
        """Prompts of the given lengths, and what is drawn after them."""
        slots, known = config.slots, None
        while known is None:
            groups = [one for n in lengths for one in prompt_of(config, rng, n, name)]
            known = expected(groups, sampled, counts, stops, slots, config.log_probability)
        items, clocks = known
        prompt = [item for group in groups for item in group]
        unused = [{"token": token, "valid": 0} for token in sampled[:STOPS]]
        outputs = {name: items[name] for name in ("o_pass", "o_token", "o_generated")}
        if slots == 1:
            del outputs["o_pass"]
        return Case(
            {"i_token": prompt, "i_sampled": items["i_sampled"]},
            outputs,
            {
                "count": counts,
                "stop": ([{"token": t, "valid": 1} for t in stops] + unused)[:STOPS],
                "given": len(prompt),
            },
            {"busy": 0, "draw_kept": 1},
            # The first pass waits until all have come.
            clocks=clocks + len(prompt) + 5,
            name=name,
        )


class ManyBench(GeneratorBench):
    """Thousands of tokens, and some that differ from a stop token in one bit."""

    name = "generator-many"
    configs = {"3-slots": GeneratorBench.configs["3-slots"]}
    slow_configs = bug_configs = tuple(configs)
    cocotb_configs = ()
    stalls = (Stalls(),)

    def cases(self, config, rng):
        bits, slots = config.token_bits, config.slots
        for _ in range(8):
            counts = [1 << int(rng.integers(5, 13)) for _ in range(slots)]
            counts = [int(rng.integers(count >> 1, count)) for count in counts]
            sampled = rng.integers(0, 1 << bits, 4 * sum(counts) + 100).tolist()
            yield self.one(config, rng, "many", [2, slots], counts, [], sampled)
        for _ in range(60):
            stops = rng.integers(0, 1 << bits, STOPS).tolist()
            near = rng.choice(stops, 60) ^ 1 << rng.integers(0, bits, 60)
            sampled = [*near.tolist(), *stops * 60]
            yield self.one(config, rng, "stops", [1], [1000] * slots, stops, sampled)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(GeneratorBench())
test_many, _, _ = bench_tests(ManyBench())


class Host:
    """A chip of its own: every pass takes `clocks`, the tokens drawn count up from 100."""

    def __init__(self, ctx, dut, clocks=5):
        self.ctx = ctx
        self.dut = dut
        self.clocks = clocks
        self.drawn = 100

    async def feed(self, token, draw):
        self.ctx.set(
            self.dut.i_token.payload,
            {"token": token, "slot": 0, "source": 0, "more": 0, "draw": draw},
        )
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
        ctx.set(dut.i_sampled.payload, {"token": self.drawn, "slot": 0})
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
        ctx.set(dut.count, [count])
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


def test_abort_of_one_slot():
    """The other slot goes on, and draws as many tokens as it would have."""
    unit = Generator(replace(REFERENCE, slots=2))
    given, done = {0: [], 1: []}, []

    async def chip(ctx):
        """Sample tokens of their own for the two slots, one after the other."""
        ctx.set(unit.o_token.ready, 1)
        ctx.set(unit.o_pass.ready, 1)
        token, waiting = 100, []
        while not done:
            ctx.set(unit.i_sampled.valid, bool(waiting))
            if waiting:
                ctx.set(unit.i_sampled.payload, {"token": token, "slot": waiting[0]})
            *_, told, one, taken = await ctx.tick().sample(
                unit.o_pass.valid, unit.o_pass.payload, transfers(unit.i_sampled)
            )
            if taken:
                token += 1
                del waiting[0]
            if told:
                waiting += [slot for slot in range(2) if one.active >> slot & 1]

    async def host(ctx):
        ctx.set(unit.count, [6, 6])
        for slot in range(2):
            item = {"token": slot, "slot": slot, "source": slot, "more": slot == 0, "draw": 1}
            ctx.set(unit.i_token.payload, item)
            ctx.set(unit.i_token.valid, 1)
            await ctx.tick().until(unit.i_token.ready)
        ctx.set(unit.i_token.valid, 0)
        ctx.set(unit.o_generated.ready, 1)
        while not (given[0] and given[0][-1][1] and given[1] and given[1][-1][1]):
            ctx.set(unit.abort, 0b10 if len(given[1]) == 2 else 0)
            *_, valid, item = await ctx.tick().sample(
                unit.o_generated.valid, unit.o_generated.payload
            )
            if valid:
                given[item.slot].append((item.token, item.last))
        await ctx.tick().repeat(4)
        assert not ctx.get(unit.busy)
        done.append(True)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(chip)
    simulator.add_testbench(host)
    simulator.run_until(1e-6 * 400)
    assert done
    assert [last for _, last in given[0]] == [0, 0, 0, 0, 0, 1]
    assert [last for _, last in given[1]] == [0, 0, 1]


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
    config = replace(REFERENCE, max_vocab=2, slots=2)
    bug = edited(Generator, "with m.If(~self.o_token.valid):", "with m.If(1):")
    late = edited(Generator, "told.eq(told | self.o_pass.ready)", "told.eq(1)")
    bugs = {"valid not held": lambda: bug(config), "pass not held": lambda: late(config)}
    check_contract(lambda: Generator(config), contract, bugs)
