"""Statistics of a quantiser input: largest product and two sums of squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterna.spec.fixed import SUM_SHIFT, round_shift

__all__ = ["Statistics", "largest_product", "statistics"]


@dataclass
class Statistics:
    """What one pass over a quantiser input yields, a list entry per token position.

    Attributes
    ----------
    largest : list of int
        max |x * w12|.
    sum1 : list of int
        Sum of (x * w1 / 2**15, rounded)**2; of x**2 where there is no w1.
    sum2 : list of int
        Sum of squares of the values that the eps term refers to.
    """

    largest: list[int]
    sum1: list[int]
    sum2: list[int]


def largest_product(source: np.ndarray, w12: np.ndarray) -> list[int]:
    """Max |x * w12| over each row of `source` [T, N]."""
    return np.abs(source * w12).max(axis=1).tolist()


def statistics(
    source: np.ndarray, w1: np.ndarray | None, w12: np.ndarray, second: np.ndarray | None
) -> Statistics:
    """Gather the statistics of a quantiser input.

    Parameters
    ----------
    source : numpy.ndarray
        [T, N], at most 18 bits.
    w1, w12 : numpy.ndarray
        [N], 16 bits; `w1` None stands for one.
    second : numpy.ndarray or None
        [T, N], values whose squares make the second sum; None for zero.
    """
    t = source if w1 is None else round_shift(source * w1, SUM_SHIFT)
    sum2 = [0] * len(source) if second is None else (second * second).sum(axis=1).tolist()
    return Statistics(largest_product(source, w12), (t * t).sum(axis=1).tolist(), sum2)
