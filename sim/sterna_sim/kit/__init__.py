"""Verification kit: one bench per unit, two simulators, planted bugs, one formal contract."""

from .bench import Case, Memory, UnitBench
from .bugs import check_planted_bug, check_planted_bugs, edited
from .cocotb_runner import build, run_cocotb, run_module, to_verilog
from .formal import FormalError, StreamContract, check_contract, prove
from .never import Answer, prove_never
from .player import CheckError
from .pysim import run_pysim
from .stalls import ALL_STALLS, Stalls
from .suite import bench_tests

__all__ = [
    "ALL_STALLS",
    "Answer",
    "Case",
    "CheckError",
    "FormalError",
    "Memory",
    "Stalls",
    "StreamContract",
    "UnitBench",
    "bench_tests",
    "build",
    "check_contract",
    "check_planted_bug",
    "check_planted_bugs",
    "edited",
    "prove",
    "prove_never",
    "run_cocotb",
    "run_module",
    "run_pysim",
    "to_verilog",
]
