"""The cycle expectation: clocks of one token from the tape's shape and the units' latencies."""

from __future__ import annotations

from sterna.model.layout import Image
from sterna.spec.chip import ChipConfig

__all__ = ["expected_clocks"]


def expected_clocks(image: Image, config: ChipConfig) -> float:
    """Clocks from a token's embedding request to the token drawn after it."""
    raise NotImplementedError
