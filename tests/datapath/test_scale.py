"""Scale: equal to the golden functions for sums of all sizes and all constants."""

# amaranth: UnusedElaboratable=no

from sterna.golden import scale
from sterna.golden.scale import ROOT_BITS
from sterna.spec.fixed import DENOMINATOR_BITS, SCALE_BITS, SUM_BITS, normalise
from sterna_rtl.datapath.scale import Scale
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)
from tests.datapath.bench_quantizer import chip, random_constants

CONFIG = chip(2, 2)


def random_sum(rng):
    """Return a sum of any size; the smallest, 0 and the largest more often than others."""
    bits = int(rng.choice([0, 1, 2, SUM_BITS, *rng.integers(0, SUM_BITS + 1, 6)]))
    value = int(rng.integers(1 << bits)) | (1 << bits >> 1)
    return (1 << bits) - 1 if rng.random() < 0.1 else value


def bits_of(rng, bits):
    """Return a number of so many bits."""
    return int(rng.integers(1 << bits)) | (1 << bits >> 1)


def step_behind(denominator):
    """Return the first denominator behind one that has another root."""
    root, step = scale.inverse_root(denominator), 1 << max(denominator.bit_length() - ROOT_BITS, 0)
    denominator -= denominator % step
    while scale.inverse_root(denominator) == root:
        denominator += step
    return denominator


class Requests:
    """Requests and their scales; remembers each slot's root as the unit does."""

    def __init__(self, slots):
        self.roots = [(0, 0)] * slots

    def add(self, rng, fresh):
        constants = random_constants(rng)
        sums = {"sum1": random_sum(rng), "sum2": random_sum(rng)}
        if rng.random() < 0.1:
            sums = {"sum1": 0, "sum2": 0}
        return self.request(rng, fresh, sums, constants)

    def add_near(self, rng, fresh):
        """On either side of a step of the root, all bits of sums count; few shifts are clamped."""
        low = 1 << SCALE_BITS - 1
        # Bits of the parts: one as many as any, the others about as many, or none.
        most = int(rng.integers(1, DENOMINATOR_BITS))
        bits = [max(0, most - int(rng.choice([0, 1, 4, 60]))) for _ in range(3)]
        sum2 = bits_of(rng, int(rng.integers(1, SUM_BITS + 1)))
        # Of a product of 32 bits, moved up by 15 places at most, now and then by more.
        up = min(bits[1] - 2 * SCALE_BITS, int(rng.choice([15, 15, 17])))
        up -= normalise(sum2, SCALE_BITS)[1]
        eps = int(rng.integers(low, 2 * low)) if bits[1] else 0, min(max(up, -128), 127)
        constant = bits_of(rng, min(bits[2], 32))
        least = scale.denominator(0, sum2, eps, constant)
        sum1 = step_behind(least + bits_of(rng, min(bits[0], SUM_BITS))) - least
        sum1 = min(max(sum1 - int(rng.integers(2)), 0), (1 << SUM_BITS) - 1)
        constants = {
            "eps_mantissa": eps[0],
            "eps_exponent": eps[1],
            "eps_constant": constant,
            "scale_mantissa": int(rng.integers(low, 2 * low)),
        }
        return self.request(rng, fresh, {"sum1": sum1, "sum2": sum2}, constants)

    def request(self, rng, fresh, sums, constants):
        slot = int(rng.integers(len(self.roots)))
        largest = int(rng.integers(1 << int(rng.integers(33))))
        mantissa, exponent = normalise(largest, SCALE_BITS)
        if fresh:
            eps = constants["eps_mantissa"], constants["eps_exponent"]
            total = scale.denominator(*sums.values(), eps, constants["eps_constant"])
            self.roots[slot] = scale.inverse_root(total)
        if "scale_exponent" not in constants:
            others = exponent + self.roots[slot][1] + 2 * SCALE_BITS
            near = -int(rng.integers(64)) - others
            constants = {**constants, "scale_exponent": min(max(near, -128), 127)}
        constant = constants["scale_mantissa"], constants["scale_exponent"]
        mantissa_out, shift = scale.output_scale(largest, self.roots[slot], constant)
        request = {
            "fresh": fresh,
            "slot": slot,
            "sums": sums,
            "mantissa": mantissa,
            "exponent": exponent,
            **constants,
        }
        return request, {"mantissa": mantissa_out, "shift": shift}


class ScaleBench(UnitBench):
    """Requests of both kinds, many at a time and one."""

    name = "scale"
    configs = {"1-slot": CONFIG, "3-slots": chip(2, 2, slots=3)}
    bug_configs = ("3-slots",)
    stalls = (
        Stalls(),
        Stalls("random", "random"),
        Stalls("long", "long"),
        Stalls(outputs="3-in-4"),
        Stalls(outputs="late"),
    )
    bugs = {
        name: lambda config, old=old, new=new: edited(Scale, old, new)(config)
        for name, old, new in (
            ("odd exponent of the root", "shift.even.eq(1)", "shift.even.eq(0)"),
            ("bits of the denominator", "moved.value[-ROOT_BITS:]", "moved.value[-ROOT_BITS:] | 1"),
            ("products of 15 bits", "Mux(upper, product", "Mux(0, product"),
            ("shift of 0", " & product[-2:].any().replicate(6)", ""),
            ("eps term not turned back", "moved.value[::-1]", "moved.value"),
            ("eps term up too far", "Mux(value < 0, 0,", "Mux(0, 0,"),
            ("shift not clamped", "Mux(value[bits:].any(), limit, value[:bits])", "value[:bits]"),
            ("constant forgotten", "sums.sum1 + request.eps_constant", "sums.sum1"),
            ("root of the first slot", "root = of_slot(roots, slot)", "root = roots[0]"),
            ("one root for all slots", "slot.eq(request.slot)", "slot.eq(0)"),
            ("root of the next slot", "of_slot(roots, slot)\n", "of_slot(roots, request.slot)\n"),
            (
                "exponent of the first slot",
                "exponent + of_slot(roots, slot).exponent",
                "exponent + roots[0].exponent",
            ),
            ("output lost", "with m.If(scales.i.ready):", "with m.If(1):"),
        )
    }

    def dut(self, config):
        return Scale(config)

    def cases(self, config, rng):
        requests = Requests(config.slots)
        pairs = [requests.add(rng, fresh) for fresh in (0, 1, *rng.integers(2, size=120))]
        inputs, outputs = zip(*pairs, strict=True)
        yield Case({"i": inputs}, {"o": outputs}, name="many")
        pairs = [requests.add_near(rng, fresh) for fresh in rng.integers(2, size=60)]
        inputs, outputs = zip(*pairs, strict=True)
        yield Case({"i": inputs}, {"o": outputs}, name="near")
        for fresh, latency in (0, 6), (1, 21):
            request, result = requests.add(rng, fresh)
            yield Case({"i": [request]}, {"o": [result]}, clocks=1 + latency, name=f"{fresh=}")


class ManyBench(ScaleBench):
    """Many more requests."""

    name = "scale-many"
    configs = {"3-slots": ScaleBench.configs["3-slots"]}
    cocotb_configs = ()
    # Requests take an even number of clocks: only stalls show what changes on every other.
    stalls = (Stalls("random", "random"),)

    def cases(self, config, rng):
        requests = Requests(config.slots)
        for add, count in (requests.add, 1000), (requests.add_near, 2000):
            pairs = [add(rng, fresh) for fresh in rng.integers(2, size=count)]
            inputs, outputs = zip(*pairs, strict=True)
            yield Case({"i": inputs}, {"o": outputs}, name=add.__name__)


test_pysim, test_cocotb, test_planted_bugs = bench_tests(ScaleBench())
test_many, _, _ = bench_tests(ManyBench())


def test_contract():
    """Outputs hold."""
    held, dropped = "(m, scales.o, self.o)", "self.o.valid.eq(scales.o.valid & self.i.ready)"
    bug = held, f"{held}; m.d.comb += {dropped}"
    bugs = {"output not held": lambda: edited(Scale, *bug)(CONFIG)}
    check_contract(lambda: Scale(CONFIG), StreamContract(depth=12, covers=1), bugs)
