"""Quantizer: equal to the golden functions, as fast as it says, and true to the stream contract."""

# amaranth: UnusedElaboratable=no

from sterna_sim.kit import bench_tests
from tests.datapath.bench_quantizer import QuantizerBench

test_pysim, test_cocotb, test_planted_bugs = bench_tests(QuantizerBench())
