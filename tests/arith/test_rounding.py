"""RoundShift: every value and shift of small widths, corners of those in use."""

import numpy as np

from sterna.spec.fixed import round_shift, saturate
from sterna_rtl.arith.rounding import RoundShift
from sterna_sim.kit import Case, Stalls, UnitBench, edited
from sterna_sim.kit.suite import bench_tests
from tests.arith.streamed import Streamed


def corners(value_bits, result_bits, shift):
    """Values around the ends of both ranges, halves included."""
    limit, end = 1 << (value_bits - 1), 1 << (result_bits - 1)
    around = [0, -limit, limit - 1] + [
        ((2 * s * end + half) << shift) >> 1 for s in (1, -1) for half in (-3, -2, -1, 0, 1)
    ]
    values = (np.array(around)[:, None] + np.arange(-1, 2)).ravel()
    return values[(values >= -limit) & (values < limit)]


class RoundShiftBench(UnitBench):
    """Equal to `round_shift` and `saturate`; one result per clock."""

    name = "round-shift"
    configs = {
        "7-to-4": (7, 3, 4),
        "34-to-16": (34, 6, 16),
        "34-to-18": (34, 5, 18),
        "16-to-17": (16, 4, 17),
        "3-to-8": (3, 4, 8),
    }
    cocotb_configs = ()
    stalls = (Stalls(), Stalls("random", "random"))
    bugs = {
        name: lambda widths, old=old, new=new: streamed(edited(RoundShift, old, new), widths)
        for name, old, new in (
            ("rounds up past the largest", "shifter.overflow | extreme", "shifter.overflow"),
            ("never saturates", "Mux(clamped, _limit(sign, bits), rounded)", "rounded"),
            ("rounds down", "shifted[1:].as_signed() + shifted[0]", "shifted[1:].as_signed()"),
            ("loses an overflow", "lost_above | lost", "lost"),
        )
    }
    bug_configs = ("7-to-4",)

    def dut(self, config):
        return streamed(RoundShift, config)

    def cases(self, config, rng):
        value_bits, shift_bits, result_bits = config
        limit = 1 << (value_bits - 1)
        for shift in range(1 << shift_bits):
            if value_bits < 8:
                values = np.arange(-limit, limit)
            else:
                values = rng.integers(-limit, limit, 8)
                values = np.append(values, corners(value_bits, result_bits, shift))
            rounded = round_shift(values.astype(object), shift).astype(np.int64)
            outputs = [
                {
                    "result": int(saturate(value, result_bits)[0]),
                    "clamped": saturate(value, result_bits)[1],
                }
                for value in rounded
            ]
            clocks = len(values) + RoundShift.latency + 1
            yield Case({"i": values}, {"o": outputs}, {"shift": shift}, clocks=clocks)


def streamed(unit, widths):
    return Streamed(unit(*widths), "value", ["result", "clamped"], ["shift"])


test_pysim, _, test_planted_bugs = bench_tests(RoundShiftBench())
