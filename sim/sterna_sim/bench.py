"""Clocks per token and lane use on the cycle-accurate chip.

`make bench` runs it: one stream, whole tokens from the embedding to the token drawn, padding not
counted as work. All figures are of kind rtl, but for the simulator's own speed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass

from sterna.device.device import Sampling
from sterna.model.layout import lay_out
from sterna.model.model import Model
from sterna.spec.chip import REFERENCE
from sterna_sim.cycles import expected_clocks
from sterna_sim.demo import demo_model
from sterna_sim.device import DirectDevice

__all__ = ["Figures", "main", "measure"]

TOKENS = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model needs on one chip.

    Attributes
    ----------
    model : str
    ternary_weights : int
    clocks_per_token : float
        rtl.
    expected_clocks : int
        By `sterna_sim.cycles`, to compare.
    lane_use : float
        Ternary MACs over lanes times clocks.
    starved, waiting, blocked : float
        Clocks per token in which the engine lacked words, activations, or room for results.
    simulated_clocks_per_second : float
        Of wall time, on this machine.
    """

    model: str
    ternary_weights: int
    clocks_per_token: float
    expected_clocks: int
    lane_use: float
    starved: float
    waiting: float
    blocked: float
    simulated_clocks_per_second: float


def measure(name: str, model: Model) -> Figures:
    """Generate on the reference chip and read its counters."""
    device = DirectDevice(model, REFERENCE)
    try:
        clocks, start = device.chip.clocks, time.perf_counter()
        list(device.generate([1], TOKENS, Sampling(temperature=1.0)))
        speed = (device.chip.clocks - clocks) / (time.perf_counter() - start)
        counters = device.counters()
    finally:
        device.close()
    tokens = counters["tokens"]
    weights = model.shape.ternary_weights
    return Figures(
        model=name,
        ternary_weights=weights,
        clocks_per_token=counters["clocks"] / tokens,
        expected_clocks=expected_clocks(lay_out(model, REFERENCE), REFERENCE),
        lane_use=weights * tokens / (REFERENCE.lanes * counters["clocks"]),
        starved=counters["engine_starved"] / tokens,
        waiting=counters["engine_waiting"] / tokens,
        blocked=counters["engine_blocked"] / tokens,
        simulated_clocks_per_second=speed,
    )


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = demo_model()
    figures = [measure(model.meta["source"], model)]
    if options.json:
        print(json.dumps([asdict(row) for row in figures], indent=2))
        return
    print(f"configuration {REFERENCE.digest}: R = 4, C = 64, E = 8 (rtl)")
    for row in figures:
        for field, value in asdict(row).items():
            print(f"{field:28} {value:.4g}" if isinstance(value, float) else f"{field:28} {value}")


if __name__ == "__main__":
    main()
