"""Sampler: the golden tokens at every temperature, ties, seeds, and the stream contract."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import Component, In
from amaranth.sim import Simulator
from amaranth.utils import exact_log2

from sterna.golden import sampler as golden
from sterna.spec.tables import GUMBEL_FRACTION
from sterna.spec.xorshift import next_draw
from sterna_rtl.datapath.sampler import Sampler
from sterna_rtl.layouts import Layouts
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
from tests.datapath.logits import LARGEST, chip, logits_of


class Seeded(Component):
    """The unit with its seeds behind a stream.

    If `order` says so, the logits wait for a seed (1), or a seed for three beats of logits (2), by
    when the draw has begun.
    """

    def __init__(self, config, unit=Sampler):
        self.unit = unit(config)
        layouts, members = Layouts(config), self.unit.signature.members
        seed = StructLayout({"seed": 64, "slot": layouts.slot})
        names = ["i_job", "i_logits", "temperature", "draw", "state", "o_token"]
        self.among_best = ["top_k"] if config.top_k else []
        names += self.among_best
        super().__init__(
            {
                "i_seed": In(stream.Signature(seed)),
                "order": In(2),
                **{name: members[name] for name in names},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i_job, unit.i_job)
        beats, seeded, seeds = Signal(2), Signal(), transfers(self.i_seed)
        opens = (self.order != 1) | seeds | seeded
        m.d.comb += [
            unit.i_logits.payload.eq(self.i_logits.payload),
            unit.i_logits.valid.eq(self.i_logits.valid & opens),
            self.i_logits.ready.eq(unit.i_logits.ready & opens),
        ]
        with m.If(self.order == 0):
            m.d.sync += [beats.eq(0), seeded.eq(0)]
        with m.Else():
            m.d.sync += beats.eq(beats + (transfers(self.i_logits) & (beats != 3)))
            m.d.sync += seeded.eq(seeded | seeds)
        connect_stream(m, unit.o_token, self.o_token)
        m.d.comb += [
            unit.temperature.eq(self.temperature),
            unit.draw.eq(self.draw),
            unit.load_seed.eq(seeds << self.i_seed.payload.slot),
            self.i_seed.ready.eq((self.order != 2) | (beats == 3)),
            self.state.eq(unit.state),
            *(getattr(unit, name).eq(getattr(self, name)) for name in self.among_best),
        ]
        # The seed is taken on the clock after the strobe.
        m.d.sync += unit.seed.eq(self.i_seed.payload.seed)
        return m


class Draw:
    """A slot's logits of a pass, as the epilogue gives them part by part."""

    def __init__(self, logits, config, rng, slot=0):
        self.rng, self.slot, self.logits, self.elements = rng, slot, logits, config.elements
        self.unit = max(config.rows, config.elements)

    def segment(self, start, stop):
        """Return job and beats of a part; anything in the elements beyond it."""
        logits, elements = self.logits[start:stop], self.elements
        count = -(-len(logits) // elements)
        values = self.rng.choice([LARGEST, -LARGEST], count * elements)
        values[: len(logits)] = logits
        exists = np.arange(count * elements) < len(logits)
        beats = [
            {
                "values": row.tolist(),
                "mask": sum(1 << lane for lane in np.flatnonzero(mask).tolist()),
                "first": start == 0 and index == 0,
                "last": stop == len(self.logits) and index == count - 1,
                "end": index == count - 1,
            }
            for index, (row, mask) in enumerate(
                zip(values.reshape(count, -1), exists.reshape(count, -1), strict=True)
            )
        ]
        return {"slot": self.slot, "first": start == 0}, beats


def segments(draws, cuts=()):
    """Return jobs and beats of a pass: the first part of all slots, then the next."""
    jobs, beats = [], []
    for start, stop in pairwise([0, *cuts, len(draws[0].logits)]):
        for draw in draws:
            job, of_part = draw.segment(start, stop)
            jobs.append(job)
            beats += of_part
    return jobs, beats


def broken(old, new):
    return lambda config: Seeded(config, edited(Sampler, old, new))


class SamplerBench(UnitBench):
    """Passes back to back, with one golden sampler beside them."""

    name = "sampler"
    configs = {
        "4-lanes-of-8": chip(4, 8),
        "2-lanes": chip(2, 2),
        "1-lane": chip(1, 1),
        "1-lane-of-8": chip(1, 8),
        "rows-beyond-elements": chip(8, 4),
        "2-lanes-of-4-2-slots": chip(2, 4, slots=2),
        "1-lane-3-slots": chip(1, 1, slots=3),
        "4-lanes-8-best": chip(4, 8, top_k=8),
        "1-lane-5-best": chip(1, 2, top_k=5),
        "4-lanes-16-best": chip(4, 8, top_k=16),
    }
    cocotb_configs = ("4-lanes-of-8", "1-lane", "2-lanes-of-4-2-slots")
    slow_configs = (*cocotb_configs, "4-lanes-8-best")
    bug_configs = ("2-lanes-of-4-2-slots", "4-lanes-of-8", "1-lane-of-8", "4-lanes-16-best")
    bugs = {
        "last of equals": broken("| (score > best.score)", "| (score >= best.score)"),
        "mask ignored": broken("Mux(exists[1], ", "Mux(1, "),
        "best of the pass before": broken(
            "flags.first | (score > best.score)", "score > best.score"
        ),
        "no draw": broken("with m.Elif(ended & (slot", "with m.Elif(0 & (slot"),
        "always draws": broken("& self.draw[number]", ""),
        "a draw with every part": broken("with m.Elif(ended & (slot", "with m.Elif(done & (slot"),
        "all slots step": broken("(slot == number) & ", ""),
        "seed for all slots": broken("m.If(self._loaded[number])", "m.If(self._loaded.any())"),
        "noise goes on": broken("starts | transfers(self.i_job)", "starts"),
        "noise not begun anew": broken("starts | transfers(self.i_job)", "transfers(self.i_job)"),
        "seed ignored by the noise": broken("loads & working & ~begun & ~issue", "0"),
        "noise from the top after a cut": broken(
            "starts.eq(self.i_job.payload.first)", "starts.eq(1)"
        ),
        "noise not followed": broken("leap(place, self.lanes)", "place"),
        "noise of the first slot": broken("noise.state.eq(place)", "noise.state.eq(places[0])"),
        "state of the first slot": broken("leap(state, 1)", "leap(self.state[0], 1)"),
        "temperature of the first slot": broken(
            "of_slot(self.temperature, slot)", "self.temperature[0]"
        ),
        "temperature of the other slot": broken(
            "of_slot(self.temperature, slot)", "of_slot(self.temperature, ~slot)"
        ),
        "best of all slots": broken("of_slot(leads, flags.slot)", "leads[0]"),
        "token of the first slot": broken("of_slot(leads, slot).token", "leads[0].token"),
        "no slot with the token": broken("token.slot.eq(slot)", "token.slot.eq(0)"),
        "temperature signed": broken("factor * temperature", "factor * temperature.as_signed()"),
        "next segment too early": broken(" & ~finishing & ~self.o_token.valid", ""),
        "drawn among all": broken("ended & (self.top_k == 0)", "ended"),
        "parts while the best are given": broken("ready.append(self.best.i.ready)", "pass"),
        "logit without its fraction": broken("<< GUMBEL_FRACTION", "<< (GUMBEL_FRACTION - 1)"),
    }
    drain = 32  # what is left of the old noise, and the first of the new
    not_stalled = {"o_token": "one token a pass, too few to meet every stall"}

    def dut(self, config):
        return Seeded(config)

    def cases(self, config, rng):
        lanes = min(config.rows, config.elements)
        slots = [golden.Sampler() for _ in range(config.slots)]
        several = config.slots > 1
        lengths = [1, 2 * config.elements + 1, config.elements]
        yield self.one(config, rng, slots, "ties", 0, lengths)
        yield from self.ahead(config, rng, slots, "random", 0, 24 * lanes + 1)
        for kind, temperature, draw in (
            ("equal", 0, 0), ("rising", 0, 1), ("close", 300, 1), ("equal", 1, 0),
            ("random", 9000, 1), ("extreme", 65535, 1),
        ):  # fmt: skip
            yield self.one(config, rng, slots, kind, temperature, lengths, draw)
        yield self.one(config, rng, slots, "close", 2000, [20 * config.rows + 3], parts=3)
        seed = int(rng.integers(1, 1 << 62)) | 1 << 63
        # With several slots the others draw meanwhile.
        seeds = [{"seed": 1, "slot": 0}, {"seed": seed, "slot": 0}]
        others = list(range(1, config.slots))
        draws = [40 * config.rows] if several else []
        case = self.one(config, rng, slots, "close", 2000, draws, parts=4, among=others)
        slots[0].state = seed
        states = [slot.state for slot in slots]
        yield replace(
            case,
            inputs={**case.inputs, "i_seed": seeds},
            finals={"state": states},
            name="seed",
        )
        yield self.one(config, rng, slots, "close", 300, [19])
        yield from self.ahead(config, rng, slots, "close", 300, 19, seed=seed ^ 1)
        for k in sorted({1, (config.top_k + 1) // 2, config.top_k}) if config.top_k else ():
            slots[0].top_k = k
            yield self.one(config, rng, slots, "close", 300, lengths)
            yield self.one(config, rng, slots, "ties", 0, [20 * config.rows + 3], 0, parts=3)
            yield from self.ahead(config, rng, slots, "close", 300, 19)

    def one(self, config, rng, slots, kind, temperature, lengths, draw=1, parts=2, among=None):
        """Passes of the given lengths, cut into some parts, in some of the slots or all."""
        unit = max(config.rows, config.elements)
        temperatures = [temperature, *rng.integers(1 << 16, size=len(slots) - 1).tolist()]
        draws = [draw, *rng.integers(2, size=len(slots) - 1).tolist()]
        jobs, beats, tokens = [], [], []
        for length in lengths:
            order = rng.permutation(range(len(slots)) if among is None else among).tolist()
            of_slots = [
                Draw(
                    self.logits(kind, length, rng, slots[slot].state, temperatures[slot]),
                    config,
                    rng,
                    slot,
                )
                for slot in order
            ]
            cuts = rng.integers(-(-length // unit), size=parts - 1) * unit
            new_jobs, new_beats = segments(of_slots, sorted({*cuts.tolist()} - {0}))
            jobs += new_jobs
            beats += new_beats
            for slot, part in zip(order, of_slots, strict=True):
                state = slots[slot]
                before, state.temperature = state.state, temperatures[slot]
                tokens.append({"token": state.draw(part.logits), "slot": slot})
                state.state = state.state if draws[slot] else before
        return Case(
            {"i_job": jobs, "i_logits": beats},
            {"o_token": tokens},
            {
                "temperature": temperatures,
                "draw": sum(bit << k for k, bit in enumerate(draws)),
                **({"top_k": slots[0].top_k} if config.top_k else {}),
            },
            {"state": [slot.state for slot in slots]},
            name=f"{kind}-{temperature}-{slots[0].top_k}",
        )

    def logits(self, kind, length, rng, state, temperature):
        return logits_of(kind, length, rng)

    def ahead(self, config, rng, slots, kind, temperature, length, seed=None, order=0):
        """A job, perhaps a seed, then logits that find their noise; for `order` see `Seeded`."""
        slot, lanes = int(rng.integers(len(slots))), min(config.rows, config.elements)
        state = slots[slot]
        jobs, beats = segments([Draw(logits_of(kind, length, rng), config, rng, slot)])
        yield Case({"i_job": jobs}, name="job")
        seeds = [] if seed is None else [{"seed": seed, "slot": slot}]
        if seeds and not order:
            yield Case({"i_seed": seeds}, name="seed of the job's slot")
            seeds = []
        if seed is not None and order != 2:
            state.state = seed
        state.temperature = temperature
        logits = np.concatenate([beat["values"] for beat in beats])[:length]
        token = {"token": state.draw(logits), "slot": slot}
        if order == 2:
            state.state = next_draw(seed)
        # One clock for each part and those of the pipeline.
        clocks = len(beats) * config.elements // lanes + 6 + exact_log2(lanes)
        if state.top_k:
            clocks += 2 - exact_log2(lanes) + state.top_k * (2 + exact_log2(lanes))
        yield Case(
            {"i_logits": beats, "i_seed": seeds},
            {"o_token": [token]},
            {
                "order": order,
                "temperature": [temperature] * len(slots),
                "draw": (1 << len(slots)) - 1,
                **({"top_k": state.top_k} if config.top_k else {}),
            },
            {"state": [slot.state for slot in slots]},
            # A seed that comes late begins the noise anew.
            clocks=clocks if order != 1 else None,
            name=f"{kind}-{temperature}-{state.top_k}-ahead",
        )


class ManyBench(SamplerBench):
    """Many more tokens, drawn at any temperature; seeds as and after a draw begins."""

    name = "sampler-many"
    configs = {"2-lanes-of-4-2-slots": SamplerBench.configs["2-lanes-of-4-2-slots"]}
    cocotb_configs = ()
    bug_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        slots = [golden.Sampler() for _ in range(config.slots)]
        for kind in (*["close", "random", "extreme"] * 8, "rising", "equal"):
            temperature = int(rng.integers(1 << int(rng.integers(1, 17))))
            lengths = rng.integers(1, 70, 4).tolist()
            yield self.one(config, rng, slots, kind, temperature, lengths, parts=3)
        yield self.one(config, rng, slots, "near", 300, rng.integers(9, 70, 20).tolist())
        yield self.one(config, rng, slots, "rising", 0, [config.max_vocab])
        for order in (1, 2) * 4:
            seed = int(rng.integers(1, 1 << 62))
            yield from self.ahead(config, rng, slots, "close", 300, 50, seed, order)
        yield from self.between(config, rng, slots)

    def logits(self, kind, length, rng, state, temperature):
        if kind != "near":
            return super().logits(kind, length, rng, state, temperature)
        # All scores within one step of a logit, so that their lowest bits decide.
        noise = golden.gumbel(golden.uniforms(state, length))
        return np.clip(-noise * temperature >> GUMBEL_FRACTION, -LARGEST, LARGEST)

    def between(self, config, rng, slots):
        """A seed between two parts of a pass: its draw goes on."""
        slot, state, temperature = 0, slots[0], 300
        logits = logits_of("close", 6 * config.elements, rng)
        jobs, beats = segments([Draw(logits, config, rng, slot)], [2 * config.elements])
        state.temperature = temperature
        token, seed = state.draw(logits), int(rng.integers(1, 1 << 62))
        state.state = next_draw(seed)
        plain = {"temperature": [temperature] * len(slots), "draw": (1 << len(slots)) - 1}
        yield Case({"i_job": jobs[:1], "i_logits": beats[:2]}, {}, plain, name="first part")
        yield Case({"i_job": jobs[1:]}, {}, plain, name="job of the second")
        yield Case(
            {"i_seed": [{"seed": seed, "slot": slot}], "i_logits": beats[2:]},
            {"o_token": [{"token": token, "slot": slot}]},
            {**plain, "order": 1},
            {"state": [slot.state for slot in slots]},
            name="seed and second part",
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(SamplerBench())
test_many, _, _ = bench_tests(ManyBench())


def seeds_during_a_pass(draw, unit=Sampler):
    """Two passes in two slots, both seeded while the first slot draws.

    That slot's draw has begun and keeps its noise; the seed is there for its next. The other's has
    not, and begins with its seed. Return the tokens and those that are right.
    """
    config = chip(2, 4, slots=2)
    dut = Seeded(config, unit)
    rng = np.random.default_rng(5)
    seeds = [12345, 54321]
    first = 0x8FF34785799E5CBD  # draws a token after the seed that comes
    slots = [golden.Sampler(3000, first), golden.Sampler(5000, seeds[1])]
    expected, tokens, passes = [], [], []
    for number in range(2):
        draws = [Draw(rng.integers(-999, 999, 40), config, rng, slot) for slot in (0, 1)]
        passes.append(segments(draws, [16]))
        for state, part in zip(slots, draws, strict=True):
            before = seeds[0] if (number, part.slot) == (0, 0) else state.state
            expected.append((state.draw(part.logits), part.slot))
            state.state = next_draw(before) if draw else before

    async def give(ctx, port, item):
        ctx.set(port.payload, item)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def testbench(ctx):
        ctx.set(dut.temperature, [state.temperature for state in slots])
        ctx.set(dut.draw, 3 * draw)
        await give(ctx, dut.i_seed, {"seed": first, "slot": 0})
        for number, (jobs, beats) in enumerate(passes):
            for index, job in enumerate(jobs):
                await give(ctx, dut.i_job, job)
                while True:
                    beat = beats.pop(0)
                    await give(ctx, dut.i_logits, beat)
                    if beat["end"]:
                        break
                    if number == index == 0 and len(beats) % 2 and seeds:
                        # Let what has been taken pass.
                        await ctx.tick().repeat(20)
                        slot = len(seeds) - 1
                        await give(ctx, dut.i_seed, {"seed": seeds.pop(), "slot": slot})
        await ctx.tick().repeat(40)

    async def collect(ctx):
        ctx.set(dut.o_token.ready, 1)
        async for _, _, valid, token in ctx.tick().sample(dut.o_token.valid, dut.o_token.payload):
            if valid:
                tokens.append((token.token, token.slot))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.add_testbench(collect, background=True)
    simulator.run()
    return tokens, expected


@pytest.mark.parametrize("draw", [0, 1])
def test_seeds_during_a_pass(draw):
    tokens, expected = seeds_during_a_pass(draw)
    assert tokens == expected
    for old, new in (
        ("loads & working & ~begun & ~issue", "loads & working & ~issue"),  # noise of the new seed
        ("m.If(self._loaded[number])", "m.If(self._loaded[0])"),
    ):
        tokens, expected = seeds_during_a_pass(draw, edited(Sampler, old, new))
        assert tokens != expected


@pytest.mark.parametrize("slots", [1, 2])
def test_contract(slots):
    """One logit at a time: two registers of logits, the pipeline, and a token that waits."""
    config = chip(1, 1, max_vocab=2, slots=slots)
    contract = StreamContract(
        items_in=1, input="i_logits", output="o_token", depth=24, induction=10, covers=1
    )
    bug = broken("with m.Elif(self.o_token.ready):", "with m.Else():")
    check_contract(lambda: Seeded(config), contract, {"token not held": lambda: bug(config)})


@pytest.mark.parametrize("top_k", [0, 4])
def test_draws_are_the_golden_ones(top_k):
    """A hundred draws from the same six logits; tests/golden shows that these are samples."""
    config = chip(2, 4, max_vocab=8, top_k=4)
    dut = Seeded(config)
    rng = np.random.default_rng(9)
    logits = np.array([256, 0, -256, 128, 64, 200])
    state = golden.Sampler(temperature=256, seed=1, top_k=top_k)
    expected = [state.draw(logits) for _ in range(100)]
    tokens = []

    async def give(ctx):
        for _ in expected:
            (job,), beats = segments([Draw(logits, config, rng)])
            for port, item in [(dut.i_job, job), *((dut.i_logits, beat) for beat in beats)]:
                ctx.set(port.payload, item)
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)

    async def take(ctx):
        ctx.set(dut.temperature, [state.temperature])
        ctx.set(dut.top_k, top_k)
        ctx.set(dut.draw, 1)
        ctx.set(dut.o_token.ready, 1)
        for _ in expected:
            *_, token = await ctx.tick().sample(dut.o_token.payload).until(dut.o_token.valid)
            tokens.append(token.token)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(give)
    simulator.add_testbench(take)
    simulator.run()
    assert tokens == expected
    assert len(set(tokens)) == (top_k or len(logits))
