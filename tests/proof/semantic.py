"""Mistakes that people make in such a machine, each planted where it would be made."""

from __future__ import annotations

from sterna_sim.kit import UnitBench
from tests.arith.test_rounding import RoundShiftBench
from tests.control.test_sequencer import SequencerBench
from tests.datapath.bench_epilogue import EpilogueBench
from tests.datapath.bench_quantizer import QuantizerBench
from tests.datapath.test_engine import EngineBench
from tests.datapath.test_sampler import SamplerBench
from tests.datapath.test_statistics import StatisticsBench
from tests.lib.test_regroup import RegroupBench
from tests.tape.test_unpack import UnpackerBench
from tests.tape.test_walk import WalkBench

__all__ = ["SEMANTIC"]

SEMANTIC: dict[str, tuple[tuple[type[UnitBench], str], ...]] = {
    "swapped signs": (
        (UnpackerBench, "signs of trits 1 and 2 swapped"),
        (EngineBench, "signs swapped"),
        (StatisticsBench, "sign ignored in comparison"),
    ),
    "off by one at the end of a row": (
        (WalkBench, "a word too many"),
        (EpilogueBench, "keeps a beat too many"),
        (QuantizerBench, "no zeros beyond the source"),
    ),
    "stale row sum": (
        (EngineBench, "last job's partial sums added"),
        (RegroupBench, "missing lanes keep old sums"),
        (StatisticsBench, "sums never cleared"),
    ),
    "missing saturation": (
        (RoundShiftBench, "never saturates"),
        (RoundShiftBench, "loses an overflow"),
        (RoundShiftBench, "rounds up past the largest"),
    ),
    "dropped last beat": (
        (RegroupBench, "no flush at the end"),
        (QuantizerBench, "a block too few"),
        (WalkBench, "one time too few"),
    ),
    "wrong rounding": (
        (RoundShiftBench, "rounds down"),
        (EpilogueBench, "f h rounded down"),
        (EpilogueBench, "product with sigmoid rounded down"),
        (QuantizerBench, "rounds down"),
        (StatisticsBench, "rounds down"),
    ),
    "slots mixed up": (
        (SequencerBench, "goes on from its own state"),
        (EpilogueBench, "state of the own slot"),
        (QuantizerBench, "reciprocal of the next job's slot"),
        (StatisticsBench, "one largest for all slots"),
        (SamplerBench, "best of all slots"),
    ),
}
"""Benches and the names of their planted bugs, by the kind of mistake."""
