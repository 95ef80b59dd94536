"""Best: the golden order at every lane count, ties, few logits, and the stream contract."""

import numpy as np
from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from sterna.golden.best import best
from sterna_rtl.datapath.best import Best
from sterna_rtl.layouts import Layouts
from sterna_rtl.lib.stream import connect_stream
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from tests.datapath.logits import chip, logits_of
from tests.datapath.parts import parts


class Shown(Component):
    """The unit; what it says of a place that is empty is zero."""

    def __init__(self, config, unit=Best):
        self.unit = unit(config)
        layouts = Layouts(config)
        super().__init__(
            {
                "i": In(stream.Signature(layouts.part)),
                "o": Out(stream.Signature(layouts.candidate)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        connect_stream(m, self.i, unit.i)
        connect_stream(m, unit.o, self.o)
        with m.If(~unit.o.payload.exists):
            for name in ("token", "logit", "noise"):
                m.d.comb += self.o.payload[name].eq(0)
        return m


def candidates(logits, noise, k):
    """What the golden function gives; a place that is empty says only that."""
    order = best(logits, k)
    return [
        {
            "token": int(order[place]),
            "logit": int(logits[order[place]]),
            "noise": int(noise[order[place]]),
            "exists": 1,
            "last": place == k - 1,
        }
        if place < len(order)
        else {"token": 0, "logit": 0, "noise": 0, "exists": 0, "last": place == k - 1}
        for place in range(k)
    ]


def broken(old, new):
    return lambda config: Shown(config, edited(Best, old, new))


class BestBench(UnitBench):
    """Passes back to back."""

    name = "best"
    configs = {
        "4-lanes": chip(4, 8, top_k=8),
        "2-lanes-odd": chip(2, 2, top_k=5),
        "1-lane": chip(1, 4, top_k=3),
        "1-best": chip(4, 4, top_k=1),
        "16-best": chip(8, 8, top_k=16),
        "2-tokens": chip(4, 4, max_vocab=2, top_k=2),
    }
    cocotb_configs = ("4-lanes", "1-lane")
    bug_configs = ("4-lanes", "1-lane")
    bugs = {
        "last of equals in a lane": broken("(logit - self.i.logit)[-1]", "self.i.logit >= logit"),
        "last of equals in a beat": broken(
            "_key.falling.eq(~head.position)", "_key.falling.eq(head.position)"
        ),
        "mask ignored": broken("& part.mask[lane]", ""),
        "logits signed the wrong way": broken("part.values[lane] ^ _BIAS", "part.values[lane]"),
        "place not cleared": broken("ResetInserter(clear)(ranked)", "ranked"),
        "one too few": broken("init=self.length - 1", "init=max(self.length - 2, 0)"),
        "slot of another": broken("write.addr.eq(slots[-1])", "write.addr.eq(slots[0])"),
        "compared too early": broken("with m.If(wait == self.halvings)", "with m.If(1)"),
        "next pass while merging": broken("self.i.ready.eq(~merging)", "self.i.ready.eq(1)"),
        "empty places exist": broken("self.exists.eq(place != count)", "self.exists.eq(1)"),
    }

    def dut(self, config):
        return Shown(config)

    def cases(self, config, rng):
        few = [1, 2, config.top_k + 1, config.top_k, 3]
        lengths = [min(length, config.max_vocab) for length in few]
        yield self.one(config, rng, "random", lengths)
        long = min(24 * min(config.rows, config.elements) + 3, config.max_vocab)
        for kind in ("ties", "rising", "falling", "extreme", "equal", "close"):
            yield self.one(config, rng, kind, [long])

    def logits(self, config, rng, kind, length):
        return logits_of(kind, length, rng)

    def one(self, config, rng, kind, lengths):
        """Passes of the given lengths."""
        items, results = [], []
        for length in lengths:
            logits = self.logits(config, rng, kind, length)
            noise = rng.integers(-7475, 70976, length)
            items += parts(logits, noise, config, rng)
            results += candidates(logits, noise, config.top_k)
        clocks = len(items) + Best(config).clocks if len(lengths) == 1 else None
        return Case({"i": items}, {"o": results}, clocks=clocks, name=kind)


class ManyBench(BestBench):
    """Many more passes; in some, one lane has all of the best."""

    name = "best-many"
    configs = {"4-lanes": BestBench.configs["4-lanes"]}
    bug_configs = cocotb_configs = tuple(configs)
    stalls = (Stalls(),)

    def cases(self, config, rng):
        longest = min(60, config.max_vocab)
        for kind in ("random", "close", "ties", "extreme", "falling", "equal") * 4:
            yield self.one(config, rng, kind, rng.integers(1, longest + 1, 12).tolist())
        yield self.one(config, rng, "one lane", [longest] * 80)

    def logits(self, config, rng, kind, length):
        if kind != "one lane":
            return super().logits(config, rng, kind, length)
        lanes, spread = min(config.rows, config.elements), int(rng.choice([5, 200]))
        logits, lane = rng.integers(-spread, spread, length), int(rng.integers(lanes))
        # Falling, so that many come behind a few that are larger.
        logits -= np.arange(length) // lanes * spread // 3
        logits[lane::lanes] += 1000
        return logits


test_pysim, test_cocotb, test_planted_bugs = bench_tests(BestBench())
_, test_many, _ = bench_tests(ManyBench())


def test_contract():
    """Two lanes: a candidate comes only after a part, and stays until it is taken."""
    config = chip(2, 2, max_vocab=4, top_k=2)
    contract = StreamContract(items_in=1, items_out=2, depth=14, induction=3, covers=2)
    bug = edited(Best, "with m.If(self.o.ready):", "with m.If(1):")
    check_contract(lambda: Best(config), contract, {"candidate not held": lambda: bug(config)})
