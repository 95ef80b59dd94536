"""Choice: the token of the largest score among the first candidates, ties, what is kept."""

import numpy as np

from sterna.spec.tables import GUMBEL_FRACTION
from sterna_rtl.datapath.choice import Choice
from sterna_sim.kit import Case, StreamContract, UnitBench, bench_tests, check_contract, edited
from tests.datapath.logits import chip


def candidates(logits, noise, tokens, k):
    """A pass as `Best` gives it; anything in places that are empty."""
    rest = k - len(logits)
    return [
        {"token": token, "logit": logit, "noise": value, "exists": exists, "last": place == k - 1}
        for place, (token, logit, value, exists) in enumerate(
            zip(
                [*tokens, *[0] * rest],
                [*logits, *[32767] * rest],
                [*noise, *[70975] * rest],
                [1] * len(logits) + [0] * rest,
                strict=True,
            )
        )
    ]


def broken(old, new):
    return lambda config: edited(Choice, old, new)(config)


class ChoiceBench(UnitBench):
    """Passes back to back at several counts and temperatures."""

    name = "choice"
    configs = {
        "8-best": chip(4, 8, top_k=8),
        "3-best": chip(1, 1, top_k=3),
        "1-best": chip(2, 2, top_k=1),
    }
    bug_configs = ("8-best",)
    bugs = {
        "among all candidates": broken("(place < self.count)", "1"),
        "one too few": broken("(place < self.count)", "(place + 1 < self.count)"),
        "one of those that are none": broken("candidate.exists & (place", "(place"),
        "first of equal scores": broken("(score > best) | lower", "(score > best)"),
        "highest of equal scores": broken(
            "tokens[1] < self.o.payload", "tokens[1] > self.o.payload"
        ),
        "best of the pass before": broken("(stages[2].first | (score", "((score"),
        "temperature signed": broken("* self.temperature", "* self.temperature.as_signed()"),
        "logit without its fraction": broken("<< GUMBEL_FRACTION", "<< (GUMBEL_FRACTION - 1)"),
        "token not held": broken("(place != 0) | ~deciding", "1"),
        "kept in the wrong place": broken("write.addr.eq(place)", "write.addr.eq(0)"),
    }
    not_stalled = {"o": "one token a pass, too few to meet every stall"}

    def dut(self, config):
        return Choice(config)

    def cases(self, config, rng):
        k = config.top_k
        for count in sorted({k, 1, (k + 1) // 2}):
            for spread, temperature in (
                (30000, 9000),
                (32767, 65535),
                (200, 300),
                (1, 65535),
                (3, 0),
            ):
                yield self.one(config, rng, count, spread, temperature, [k, k, 1, k, max(k - 1, 1)])
        # Scores that differ in their lowest bits, or not at all.
        for bits in (1, 2, 3, 5, 8, 11):
            noise = rng.integers(1 << bits, size=(6, k)).tolist()
            passes = [([(9, one) for one in each], rng.permutation(k).tolist()) for each in noise]
            yield self.given(config, k, 1, passes, 0)
        # Logit and noise that make up for each other: the lower token is the second candidate.
        equal = [(7, 0), (5, 2 << GUMBEL_FRACTION)] + [(-9, 0)] * k
        for rank in range(k):
            yield self.given(config, k, 1, [(equal[:k], list(range(k, 0, -1)))], rank)
            yield self.given(config, k, 1, [(equal[:k], list(range(k)))], rank)

    def one(self, config, rng, count, spread, temperature, lengths):
        passes, k = [], config.top_k
        for length in lengths:
            logits = np.sort(rng.integers(-spread, spread + 1, length))[::-1].tolist()
            noise = rng.integers(-7475, 70976, length).tolist()
            tokens = rng.permutation(config.max_vocab)[:length].tolist()
            passes.append((list(zip(logits, noise, strict=True)), tokens))
        return self.given(config, count, temperature, passes, int(rng.integers(k)))

    def given(self, config, count, temperature, passes, rank):
        k, items, drawn = config.top_k, [], []
        for pairs, tokens in passes:
            items += candidates(*map(list, zip(*pairs, strict=True)), tokens, k)
            scored = [
                ((logit << GUMBEL_FRACTION) + noise * temperature, -token)
                for (logit, noise), token in zip(pairs[:count], tokens, strict=False)
            ]
            drawn.append(-max(scored)[1])
        ranked = {name: items[rank - k][name] for name in ("token", "logit", "exists")}
        return Case(
            {"i": items},
            {"o": drawn},
            {"temperature": temperature, "count": count, "rank": rank},
            {"ranked": ranked},
            name=f"{count}-{temperature}",
        )


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ChoiceBench())


def test_contract():
    """A token comes only after a candidate, and stays until it is taken."""
    config = chip(1, 1, max_vocab=2, top_k=1)
    contract = StreamContract(items_in=1, depth=14, induction=6, covers=1)
    bug = edited(Choice, "with m.Elif(self.o.ready):", "with m.Else():")
    check_contract(lambda: Choice(config), contract, {"token not held": lambda: bug(config)})
