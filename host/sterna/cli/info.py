"""sterna info: what a model file holds."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from sterna.cli.options import JsonOption, ModelOption, load_model, print_json

__all__ = ["info_command"]


def info_command(model: ModelOption, json: JsonOption = False) -> None:
    """Describe a model file."""
    loaded = load_model(model)
    zeros = {name: float(np.mean(trits == 0)) for name, trits in loaded.trits.items()}
    facts = {
        **asdict(loaded.shape),
        "ternary_weights": loaded.shape.ternary_weights,
        "tokenizer": loaded.tokenizer is not None,
        "logit_fraction_bits": loaded.steps[-1].fraction,
        **loaded.meta,
        "zero_fraction": zeros,
        "near_threshold": loaded.meta.get("near_threshold", {}),
    }
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        if not isinstance(value, dict):
            print(f"{name:22} {value}")
    for name, value in zeros.items():
        print(f"{'zeros in ' + name:36} {value:.3f}")
    # A small error in such a weight, or ternarisation in less than float32, changes its trit.
    for name, value in facts["near_threshold"].items():
        print(f"{'near the threshold in ' + name:60} {value:.2%}")
