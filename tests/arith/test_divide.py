"""Divide: all divisors of small widths, corners and samples of the reciprocal."""

# amaranth: UnusedElaboratable=no

import numpy as np
import pytest
from amaranth import Mux

from sterna.golden.quantizer import reciprocal
from sterna_rtl.arith.divide import Divide
from sterna_sim.kit import (
    Case,
    Stalls,
    StreamContract,
    UnitBench,
    bench_tests,
    check_contract,
    edited,
)

RECIPROCAL = 127 << 26, 17


class DivideBench(UnitBench):
    """Equal to Python's integer division, after as many clocks as it says."""

    name = "divide"
    configs = {
        f"{numerator}-by-{bits}-bits-{digit_bits}": (numerator, bits, digit_bits)
        for numerator, bits in ((1000, 5), (127 << 4, 6), (4095, 7), RECIPROCAL)
        for digit_bits in (4, 3, 2, 1)
    }
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"), Stalls(outputs="late"))
    bugs = {
        name: lambda config, old=old, new=new: edited(Divide, old, new)(*config)
        for name, old, new in (
            (
                "a remainder as large as the divisor",
                "fits.append(~difference[-1])",
                "fits.append(difference > 0)",
            ),
            ("divisor 0", "digit & divisor[-1].replicate(bits)", "digit"),
            ("numerator's low digits", "C(later, later_bits)", "C(0, later_bits)"),
            ("three times", "_times(self.i.payload, digit)", "_times(self.i.payload, 2)"),
            ("a step too many", "self.o.valid.eq(steps == 1)", "self.o.valid.eq(steps == 2)"),
        )
    }
    bug_configs = ("1000-by-5-bits-2",)

    def dut(self, config):
        return Divide(*config)

    def cases(self, config, rng):
        numerator, bits, _ = config
        low, high = 1 << (bits - 1), 1 << bits
        latency = Divide(*config).latency
        divisors = np.arange(low, high)
        if bits > 10:
            # Also around those that divide the numerator without remainder.
            exact = numerator // rng.integers(numerator // high, numerator // low, 40)
            divisors = np.append((exact[:, None] + np.arange(-1, 2)).ravel(), [low, high - 1])
            divisors = np.append(np.clip(divisors, low, high - 1), rng.integers(low, high, 100))
        for some in (divisors, [0], [low]):
            quotients = [numerator // int(divisor) if divisor else 0 for divisor in some]
            # The next divisor comes with the quotient.
            yield Case({"i": some}, {"o": quotients}, clocks=1 + latency * len(some))


test_pysim, test_cocotb, test_planted_bugs = bench_tests(DivideBench())


def test_golden_reciprocal():
    """What the quantizer takes it for."""
    numerator, bits = RECIPROCAL
    for mantissa in (1 << 16, 1 << 16 | 1, 98765, (1 << 17) - 1):
        assert reciprocal(mantissa) == numerator // mantissa
    assert reciprocal(0) == 0
    assert Divide(numerator, bits, 4).latency == 5
    assert Divide(numerator, bits, 2).latency == 9
    assert Divide(numerator, bits, 1).latency == 17


def test_contract():
    """Every divisor of four bits, by proof."""
    bugs = {
        "output not held": ("(steps == 0) & can_load(self.o)", "(steps == 0)"),
        "a remainder as large as the divisor": (
            "fits.append(~difference[-1])",
            "fits.append(difference > 0)",
        ),
    }
    check_contract(
        lambda: Divide(207, 4),
        StreamContract(golden=lambda divisor: Mux(divisor[-1], 207 // divisor, 0), depth=10),
        {name: lambda bug=bug: edited(Divide, *bug)(207, 4) for name, bug in bugs.items()},
    )


@pytest.mark.parametrize("arguments", [(31, 5, 1), (1000, 5, 5), (1000, 5, 0)])
def test_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be"):
        Divide(*arguments)
