"""Epilogue: equal to the golden functions, as fast as it says, and true to the stream contract."""

from sterna_sim.kit import bench_tests
from tests.datapath.bench_epilogue import EpilogueBench, LongBench

test_pysim, _, test_planted_bugs = bench_tests(EpilogueBench())
_, test_cocotb, _ = bench_tests(LongBench())
