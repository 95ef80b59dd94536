"""The benches whose units are mutated, each on its first configuration for planted bugs."""

from __future__ import annotations

from sterna_sim.kit import UnitBench
from tests.lib.test_queue import QueueBench
from tests.lib.test_regroup import RegroupBench
from tests.link.test_cobs import DecoderBench, WriterBench
from tests.tape.test_unpack import UnpackerBench

__all__ = ["UNITS", "config_of"]

UNITS: tuple[type[UnitBench], ...] = (
    DecoderBench,
    UnpackerBench,
    RegroupBench,
    QueueBench,
    WriterBench,
)


def config_of(bench: UnitBench) -> str:
    """Return the configuration that is mutated."""
    return next(iter(bench.bug_configs or bench.configs))
