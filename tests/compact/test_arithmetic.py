"""Compact arithmetic: equal to the golden functions, in the clocks that it says."""

from sterna_rtl.compact.arithmetic import MEMORIES, Arithmetic
from sterna_sim.kit import StreamContract, check_contract, edited
from sterna_sim.kit.suite import bench_tests
from tests.compact.bench_arithmetic import ArithmeticBench, LongBench

test_pysim, _, test_planted_bugs = bench_tests(ArithmeticBench())
_, test_cocotb, _ = bench_tests(LongBench())


def test_contract():
    """What a program leaves holds, whatever the memories show."""
    contract = StreamContract(
        free=tuple(f"{name}__data" for name in MEMORIES), depth=18, induction=10, covers=1
    )
    bug = edited(Arithmetic, "~line[_DIRECT - 1]", "0")
    check_contract(Arithmetic, contract, {"last result not kept": bug})
