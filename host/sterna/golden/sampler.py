"""Sampler: argmax, or seeded sampling at a temperature by Gumbel noise.

The token drawn is argmax(logit + T * g) with g = -ln(-ln(u)): a sample of softmax(logit / T). The
noise of element j of draw n depends on the seed, n and j alone, so that every chip configuration
draws the same tokens.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from sterna.golden.best import best
from sterna.spec import tables
from sterna.spec.fixed import round_shift
from sterna.spec.xorshift import UNIFORM_BITS, next_draw, next_element

__all__ = ["Sampler", "gumbel", "uniforms"]

_LOG, _LOG_RISE = (np.array(column, dtype=np.int64) for column in tables.log_mantissa())
_CORRECTION, _CORRECTION_RISE = (
    np.array(column, dtype=np.int64) for column in tables.gumbel_correction()
)
_LN2 = 2839
"""ln 2 with 12 fraction bits."""


@cache
def _tables(doublings: int) -> np.ndarray:
    """Where each byte of a state leads in ``2**doublings`` (linear) steps, uint64 [8, 256]."""
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
    if doublings == 0:
        columns = next_element(bits)
    else:
        columns = _advance(_advance(bits, doublings - 1), doublings - 1)
    leads_to = np.zeros((8, 1), dtype=np.uint64)
    for column in columns.reshape(8, 8).T:
        leads_to = np.concatenate([leads_to, leads_to ^ column[:, None]], axis=1)
    return leads_to


def _advance(states: np.ndarray, doublings: int) -> np.ndarray:
    """Take ``2**doublings`` steps from each of the states."""
    result = np.zeros_like(states)
    for byte, table in enumerate(_tables(doublings)):
        result ^= table[states >> 8 * byte & 255]
    return result


def uniforms(state: int, count: int) -> np.ndarray:
    """The 24-bit uniforms of one draw: high and low half of each state added, upper 24 bits."""
    states = np.array([next_element(state)], dtype=np.uint64)
    for doublings in range((count - 1).bit_length()):
        states = np.concatenate([states, _advance(states, doublings)])
    low, high = states[:count] & 0xFFFFFFFF, states[:count] >> 32
    return ((low + high & 0xFFFFFFFF) >> 32 - UNIFORM_BITS).astype(np.int64)


def gumbel(uniform: np.ndarray) -> np.ndarray:
    """Gumbel noise -ln(-ln(1 - w)) with w = (uniform + 1/2) / 2**24, 12 fraction bits, signed.

    Computed as -ln(w) - c(w) with tables of 64 segments for the mantissa's logarithm and for c.
    """
    w = 2 * uniform + 1
    exponent = np.frexp(w.astype(np.float64))[1].astype(np.int64)  # w in [2**(e-1), 2**e)
    fraction = (w << (25 - exponent)) & 0xFFFFFF
    segment, rest = fraction >> 18, (fraction >> 6) & 0xFFF
    mantissa = _LOG[segment] + round_shift(_LOG_RISE[segment] * rest, 12)
    log = _LN2 * (26 - exponent) - mantissa
    segment, rest = w >> 19, (w >> 7) & 0xFFF
    return log - _CORRECTION[segment] - round_shift(_CORRECTION_RISE[segment] * rest, 12)


class Sampler:
    """Draws tokens from logits.

    Parameters
    ----------
    temperature : int
        Temperature times 2**(fraction bits of the logits), 0..65535; 0 is argmax.
    seed : int
        State of the draw generator, 64 bits, not 0.
    top_k : int
        Draw among the tokens of so many of the largest logits; 0: among all.
    """

    def __init__(self, temperature: int = 0, seed: int = 1, top_k: int = 0) -> None:
        self.temperature = temperature
        self.state = seed
        self.top_k = top_k

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits [V] with noise, ``GUMBEL_FRACTION`` more fraction bits."""
        scores = logits << tables.GUMBEL_FRACTION
        if self.temperature:
            scores = scores + gumbel(uniforms(self.state, len(logits))) * self.temperature
        return scores

    def draw(self, logits: np.ndarray) -> int:
        """Return the token drawn, that of the largest score, and step the generator.

        Of equal scores the lowest token's wins.
        """
        scores = self.scores(logits)
        among = np.sort(best(logits, self.top_k)) if self.top_k else np.arange(len(logits))
        token = int(among[np.argmax(scores[among])])
        self.state = next_draw(self.state)
        return token
