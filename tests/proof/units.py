"""The benches whose units are mutated, each on its first configuration for planted bugs."""

from __future__ import annotations

from sterna_sim.kit import UnitBench
from tests.arith.test_curve import CurveBench
from tests.arith.test_gumbel import GumbelBench
from tests.arith.test_largest import LargestBench
from tests.arith.test_rounding import RoundShiftBench
from tests.arith.test_sigmoid import SigmoidBench
from tests.lib.test_queue import QueueBench
from tests.lib.test_regroup import RegroupBench
from tests.link.test_check import CrcAppenderBench
from tests.link.test_cobs import DecoderBench, WriterBench
from tests.link.test_uart import ReceiverBench
from tests.tape.test_unpack import UnpackerBench

__all__ = ["UNITS", "config_of"]

UNITS: dict[type[UnitBench], str] = {
    DecoderBench: "",
    WriterBench: "",
    CrcAppenderBench: "",
    ReceiverBench: "receiver",
    UnpackerBench: "",
    RegroupBench: "",
    QueueBench: "",
    CurveBench: "unit",
    RoundShiftBench: "unit",
    LargestBench: "unit",
    GumbelBench: "unit",
    SigmoidBench: "unit",
}
"""Benches, and the submodule that is the unit where it stands in a wrapper."""


def config_of(bench: UnitBench) -> str:
    """Return the configuration that is mutated."""
    return next(iter(bench.bug_configs or bench.configs))
