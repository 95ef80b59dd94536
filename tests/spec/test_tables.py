"""Tables against the math library; every segment ends where the next begins."""

import math

import pytest

from sterna.spec import tables
from sterna.spec.tables import GUMBEL_FRACTION, SEGMENTS, gumbel_correction, log_mantissa, sigmoid


@pytest.mark.parametrize("table", [sigmoid, log_mantissa, gumbel_correction])
def test_segments_join(table):
    starts, rises = table()
    assert len(starts) == len(rises) == SEGMENTS
    for segment in range(SEGMENTS - 1):
        assert starts[segment] + rises[segment] == starts[segment + 1]
    # Rises are unsigned in the gateware.
    assert min(rises) >= 0


@pytest.mark.parametrize(
    ("table", "scale", "function"),
    [
        (sigmoid, 1 << 16, lambda i: 1 / (1 + math.exp(-i / 8))),
        (log_mantissa, 1 << GUMBEL_FRACTION, lambda i: math.log(1 + i / 64)),
        (
            gumbel_correction,
            1 << GUMBEL_FRACTION,
            lambda i: math.log(-math.log1p(-i / 64) / (i / 64)) if i else 0,
        ),
    ],
)
def test_starts_are_the_function_rounded(table, scale, function):
    """No entry is so close to a half that floats could round it otherwise."""
    for segment, start in enumerate(table()[0]):
        exact = function(segment) * scale
        assert abs(exact - math.floor(exact) - 0.5) > 1e-9 or exact == 0
        assert start == math.floor(exact + 0.5)


def test_ends():
    starts, rises = sigmoid()
    assert starts[-1] + rises[-1] == round(65536 / (1 + math.exp(-8)))
    starts, rises = log_mantissa()
    assert starts[-1] + rises[-1] == sum(rises) == round(math.log(2) * 4096)


def test_last_segment_of_the_correction_keeps_its_mean():
    """The mean of ln(-ln(1-w) / w) over the last segment, by the midpoints of a million pieces."""
    starts, rises = gumbel_correction()
    pieces = 1_000_000
    total = 0.0
    for piece in range(pieces):
        rest = (piece + 0.5) / pieces / SEGMENTS  # 1 - w
        total += math.log(-math.log(rest) / (1 - rest))
    mean = starts[-1] + rises[-1] / 2
    assert mean / (1 << GUMBEL_FRACTION) == pytest.approx(total / pieces, abs=2e-3)


def test_rounding_is_to_nearest_with_halves_upwards():
    halves = [(-1.5, -1), (-0.5, 0), (0.5, 1), (2.5, 3), (2.4, 2), (-2.6, -3)]
    for value, rounded in halves:
        assert tables._round(tables.Decimal(value)) == rounded
