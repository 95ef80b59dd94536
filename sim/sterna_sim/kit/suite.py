"""The three tests that every bench gets, ready for pytest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .bench import UnitBench
from .bugs import check_planted_bug
from .cocotb_runner import run_cocotb
from .pysim import run_pysim

__all__ = ["bench_tests"]


def bench_tests(bench: UnitBench) -> tuple[Callable, Callable, Callable]:
    """Return the tests of a bench: pysim, cocotb, planted bugs.

    In a test module::

        test_pysim, test_cocotb, test_planted_bugs = bench_tests(QueueBench())
    """
    if not bench.bugs:
        raise ValueError(f"bench {bench.name} has no planted bug: a test that can't fail")

    slow = {name: pytest.mark.slow for name in bench.slow_configs}
    configs = [pytest.param(name, marks=slow.get(name, ())) for name in bench.configs]

    @pytest.mark.parametrize("config", configs)
    def test_pysim(config: str) -> None:
        run_pysim(bench, config)

    @pytest.mark.parametrize("config", list(bench.cocotb_configs))
    def test_cocotb(config: str) -> None:
        run_cocotb(bench, config)

    @pytest.mark.parametrize("bug", list(bench.bugs))
    def test_planted_bugs(bug: str) -> None:
        check_planted_bug(bench, bug)

    return test_pysim, test_cocotb, test_planted_bugs
