"""Parts of the compact arithmetic: extremes and samples, and every input of the sigmoid."""

import numpy as np

from sterna.golden.sigmoid import sigmoid
from sterna.spec import tables
from sterna.spec.fixed import round_shift, saturate
from sterna_rtl.compact.finish import Finish
from sterna_rtl.compact.multiplier import Multiplier
from sterna_rtl.compact.sigmoid import Sigmoid
from sterna_rtl.compact.sums import Largest, Total
from sterna_sim.kit import Case, Stalls, UnitBench, edited
from sterna_sim.kit.suite import bench_tests
from tests.arith.streamed import Streamed
from tests.compact.parts import Gathered, Together

FEW_STALLS = (Stalls(), Stalls("random", "random"))


def around(bits):
    """Powers of two of a signed number and what is beside them."""
    powers = 1 << np.arange(bits - 1, dtype=np.int64)
    beside = (powers[:, None] + np.arange(-2, 3)).ravel()
    every = np.unique(np.concatenate([beside, -beside]))
    return every[(every >= -(1 << bits - 1)) & (every < 1 << bits - 1)]


def numbers(rng, bits, count):
    """Draw signed numbers of all magnitudes."""
    values = rng.integers(-(1 << bits - 1), 1 << bits - 1, count) >> rng.integers(0, bits, count)
    return np.where(rng.random(count) < 0.3, rng.choice(around(bits), count), values)


def bugs_of(unit, **texts):
    return {
        name.replace("_", " "): lambda _, old=old, new=new: streamed(edited(unit, old, new))
        for name, (old, new) in texts.items()
    }


def streamed(unit):
    whole = Together(unit(), still=("keep",))
    outputs = [name for name in whole.signature.members if name != "value"]
    return Streamed(whole, "value", outputs)


class MultiplierBench(UnitBench):
    """All pairs of numbers beside powers of two, and samples."""

    name = "compact-multiplier"
    stalls = FEW_STALLS
    bugs = bugs_of(
        Multiplier,
        upper_of_low_lost=("Cat(low[_LOW:], high)", "Cat(C(0, 16), high)"),
        low_signed=("self.b[:_LOW]", "self.b[:_LOW].as_signed()"),
        upper_unsigned=("self.a[_LOW:].as_signed()", "self.a[_LOW:]"),
    )

    def dut(self, config):
        return streamed(Multiplier)

    def cases(self, config, rng):
        some = np.unique(np.append(around(18)[::5], [-(1 << 17), (1 << 17) - 1, 0, -1, 1 << 16]))
        pairs = [(int(a), int(b)) for a in some for b in some]
        pairs += list(zip(*(numbers(rng, 18, 500).tolist() for _ in "ab"), strict=True))
        yield Case(
            {"i": [{"a": a, "b": b} for a, b in pairs]},
            {"o": [{"product": a * b} for a, b in pairs]},
            clocks=len(pairs) + Multiplier.latency + 1,
        )


class FinishBench(UnitBench):
    """Products that end beside the limits, with all shifts."""

    name = "compact-finish"
    stalls = FEW_STALLS
    bugs = bugs_of(
        Finish,
        always_rounds=("shifted[0] & self.rounds", "shifted[0]"),
        always_16_bits=("narrow = wide |", "narrow = 0 |"),
        lowest_stays=("| ~narrow | lowest", "| ~narrow"),
        wide_lowest_stays=("& ~(wide & upper.any())", "& ~wide"),
        limit_of_the_wrong_sign=("Mux(beyond, product_sign, total[-1])", "total[-1]"),
        upper_limit_is_lower=("Mux(wide, ~negative, negative)", "negative"),
        a_bit_beyond_is_not_seen=("(shifted[_KEPT:] ^", "(shifted[_KEPT + 1 :] ^"),
    )

    def dut(self, config):
        return streamed(Finish)

    def cases(self, config, rng):
        count = 6000
        shift, rounds, wide = (rng.integers(end, size=count) for end in (32, 2, 2))
        addend = np.where(rng.random(count) < 0.5, 0, numbers(rng, 18, count))
        limit = np.where(wide, (1 << 17) - 1, (1 << 15) - 1) * rng.choice([-1, 1], count)
        wanted = limit - addend + rng.integers(-2, 3, count)
        parts = rng.choice([0, 1, -1], count) + (rng.integers(2, size=count) << shift >> 1)
        product = np.where(rng.random(count) < 0.5, (wanted << shift) + parts, 0)
        product = np.where(product == 0, numbers(rng, 36, count), product)
        product = np.clip(product, -(1 << 35), (1 << 35) - 1)
        items, results = [], []
        columns = (product, addend, shift, rounds, wide)
        for p, c, s, r, w in zip(*(column.tolist() for column in columns), strict=True):
            items.append({"product": p, "addend": c, "shift": s, "rounds": r, "wide": w})
            exact = np.array((round_shift(p, s) if r else p >> s) + c)
            result, clamped = saturate(exact, 18 if w else 16)
            results.append({"result": int(result), "clamped": clamped})
        yield Case({"i": items}, {"o": results}, clocks=count + Finish.latency + 1)


class SigmoidBench(UnitBench):
    """Ends of segments, halves that are rounded, samples: both functions."""

    name = "compact-sigmoid"
    cocotb_configs = ()
    stalls = FEW_STALLS
    bugs = bugs_of(
        Sigmoid,
        halves_up_for_negative_ones=("negative ^ complement", "complement"),
        halves_up_for_the_complement=("negative ^ complement", "negative"),
        position_of_the_next=("row.rise * rest", "row.rise * self.value[:_REST_BITS]"),
        segments_from_above=("2 * tables.SEGMENTS - 1 - segment if", "segment - 64 if"),
    )

    def dut(self, config):
        return streamed(Sigmoid)

    def cases(self, config, rng):
        rises = np.array(tables.sigmoid()[1])
        magnitudes = np.arange(1 << 15)
        halves = magnitudes[rises[magnitudes >> 9] * (magnitudes & 511) % 512 == 256]
        ends = np.clip((np.arange(65)[:, None] * 512 + np.arange(-1, 2)).ravel(), 0, 32767)
        inputs = np.concatenate([halves, ends, rng.integers(1 << 15, size=200)])
        yield sigmoid_case(np.concatenate([inputs, -inputs]))


class ExhaustiveBench(SigmoidBench):
    """Every input, in the compiled unit."""

    name = "compact-sigmoid-exhaustive"
    cocotb_configs = ("default",)
    stalls = (Stalls(),)
    reset_test = False

    def cases(self, config, rng):
        yield sigmoid_case(np.arange(1 - (1 << 15), 1 << 15))


def sigmoid_case(inputs):
    results = sigmoid(inputs, 8)
    items = [{"value": v, "complement": c} for c in (0, 1) for v in inputs]
    outputs = [{"result": r} for r in (*results, *(65536 - results))]
    return Case({"i": items}, {"o": outputs}, clocks=len(items) + Sigmoid.latency + 1)


class SumsBench(UnitBench):
    """Rows of products, many of them of almost the same magnitude."""

    name = "compact-sums"
    bugs = {
        name: lambda _, part=part, old=old, new=new: Gathered(
            **{part.__name__.lower(): edited(part, old, new)}
        )
        for name, part, old, new in (
            ("an equal rest is larger", Largest, "(complements & ~self.more)", "1"),
            ("an equal rest is not larger", Largest, "(complements & ~self.more)", "0"),
            ("one more forgotten", Largest, "self.more.eq(complements)", "self.more.eq(0)"),
            ("carry lost", Largest, "difference[-1]", "~difference[-2]"),
            ("lowest number is the largest", Largest, "self.signed & ~sign", "self.signed & sign"),
            ("addend lost", Largest, "+ (self.addend << SCORE_SHIFT)", ""),
            ("not cleared", Total, "self.total.eq(0)", "self.total.eq(self.total)"),
        )
    }

    def dut(self, config):
        return Gathered()

    def cases(self, config, rng):
        for row in range(12):
            size = int(rng.choice([10, 3000, (1 << 32) - 8, 1 << rng.integers(3, 32)]))
            # First those of which one is the other's complement.
            steps = np.append([0, 1, 0, 1, 2, 1], rng.integers(-3, 4, 24))
            signs = np.append([1, -1, 1, 1, -1, 1], rng.choice([-1, 1], 24))
            products = (size + steps) * signs
            if row < 4:
                products = (numbers(rng, 33, 30)).tolist()
            given = {"addend": 0, "signed": 0, "clear": 0}
            items, shown = (
                [{**given, "product": 0, "clear": 1}],
                [{"total": 0, "rest": 0, "more": 0}],
            )
            if row % 3 == 2:
                given["signed"] = 1
            for product in map(int, products):
                addend = int(rng.integers(-(1 << 15), 1 << 15)) * given["signed"]
                items.append({**given, "product": product, "addend": addend})
                last = dict(shown[-1])
                last["total"] += max(product, 0)
                if given["signed"]:
                    last["rest"] = max(last["rest"], product + (addend << 12) + (1 << 33))
                elif (abs(product), product > 0) > (last["rest"] + last["more"], not last["more"]):
                    more = int(product < 0)
                    last |= {"rest": abs(product) - more, "more": more}
                shown.append(last)
            yield Case({"i": items}, {"o": shown}, clocks=3 * len(items))


test_multiplier, test_multiplier_cocotb, test_multiplier_bugs = bench_tests(MultiplierBench())
test_finish, test_finish_cocotb, test_finish_bugs = bench_tests(FinishBench())
test_sigmoid, _, test_sigmoid_bugs = bench_tests(SigmoidBench())
_, test_exhaustive, _ = bench_tests(ExhaustiveBench())
test_sums, test_sums_cocotb, test_sums_bugs = bench_tests(SumsBench())
