"""Compact arithmetic: equal to the golden functions, in the clocks that it says."""

from sterna_sim.kit.suite import bench_tests
from tests.compact.bench_arithmetic import ArithmeticBench, LongBench

test_pysim, _, test_planted_bugs = bench_tests(ArithmeticBench())
_, test_cocotb, _ = bench_tests(LongBench())
