"""The k largest logits: their order, ties, and more of them than there are logits."""

import numpy as np

from sterna.golden.best import best


def test_order_and_ties():
    logits = np.array([3, 9, -1, 9, 3, 4])
    assert best(logits, 4).tolist() == [1, 3, 5, 0]
    assert best(logits, 9).tolist() == [1, 3, 5, 0, 4, 2]


def test_equal_logits_keep_their_order():
    assert best(np.full(40, -7), 16).tolist() == list(range(16))
