"""InverseRoot: all numbers of small widths, corners and samples of the real one."""

# amaranth: UnusedElaboratable=no

from math import isqrt

import numpy as np
import pytest

from sterna.golden.scale import rsqrt
from sterna_rtl.arith.rsqrt import InverseRoot
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)


def expected(number, bits):
    return min(isqrt((1 << (4 * bits - 2)) // number), (1 << bits) - 1)


class InverseRootBench(UnitBench):
    """Equal to Python's integer square root, after as many clocks as it says."""

    name = "inverse-root"
    configs = {f"{bits}-bits": bits for bits in (4, 2, 6, 16)}
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
    bugs = {
        name: lambda bits, old=old, new=new: edited(InverseRoot, old, new)(bits)
        for name, old, new in (
            ("weight not halved", "once.eq(once >> _STEPS)", "once.eq(once)"),
            ("weight the same for both bits", "later = once >> 1", "later = once"),
            ("bit that is set", "trial + thrice", "trial + once"),
            ("bit that is not set", "trial - once", "trial"),
            ("two bits too few", "self.o.valid.eq(left == 1)", "self.o.valid.eq(left == 2)"),
        )
    }

    def dut(self, config):
        return InverseRoot(config)

    def cases(self, config, rng):
        low, high = 1 << (2 * config - 2), 1 << (2 * config)
        if config < 6:
            numbers = np.arange(low, high)
        else:
            # Around the numbers at which the root steps.
            roots = rng.integers(1 << 15, 1 << 16, 40)
            steps = [
                (1 << 62) // int(root) ** 2 + offset for root in roots for offset in (-1, 0, 1)
            ]
            numbers = np.append(np.clip(steps, low, high - 1), rng.integers(low, high, 100))
            numbers = np.append(numbers, [low, low + 1, high - 1])
        for some in (numbers, [low]):
            roots = [expected(int(number), config) for number in some]
            # The next number comes with the root.
            yield Case({"i": some}, {"o": roots}, clocks=1 + (1 + config // 2) * len(some))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(InverseRootBench())


def test_golden_root():
    """What the scale takes it for."""
    for number in (1 << 30, 3 << 30, (1 << 32) - 1, 3141592653):
        assert rsqrt(number) == expected(number, 16)


def test_contract():
    """Outputs hold, one for every input."""
    bug = "(left == 0) & can_load(self.o)", "(left == 0)"
    contract = StreamContract(items_in=1, depth=14)
    bugs = {"output not held": lambda: edited(InverseRoot, *bug)(4)}
    check_contract(lambda: InverseRoot(4), contract, bugs)


def test_out_of_range():
    for bits in (0, 3):
        with pytest.raises(ValueError, match="even number of at least 2"):
            InverseRoot(bits)
