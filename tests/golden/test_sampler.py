"""Golden sampler: its generators' periods, the noise against the real thing, and the draws."""

import math

import numpy as np
import pytest

from sterna.golden.sampler import Sampler, gumbel, uniforms
from sterna.spec.tables import GUMBEL_FRACTION
from sterna.spec.xorshift import UNIFORM_BITS, leap, next_draw, next_element

FRACTION_BITS = 8
"""Of the logits in these tests."""

DRAWS = 8000
CHI_SQUARE = {3: 21.1, 5: 25.7, 7: 29.9, 9: 33.7, 25: 62.0, 49: 96.4}
"""Exceeded by one sample in 10,000, by degrees of freedom."""


def times(matrix, state):
    """Product of a matrix, given by its columns, and a state over GF(2)."""
    product = 0
    for column in matrix:
        product ^= column if state & 1 else 0
        state >>= 1
    return product


def power(matrix, exponent):
    result = tuple(1 << bit for bit in range(64))
    for bit in format(exponent, "b"):
        result = tuple(times(result, column) for column in result)
        if bit == "1":
            result = tuple(times(matrix, column) for column in result)
    return result


@pytest.mark.parametrize("step", [next_draw, next_element])
def test_period_is_full(step):
    """2**64 - 1 steps lead back to where one began, and no divisor of them does."""
    period = (1 << 64) - 1
    primes = (3, 5, 17, 257, 641, 65537, 6700417)
    assert math.prod(primes) == period
    matrix = tuple(step(1 << bit) for bit in range(64))
    identity = tuple(1 << bit for bit in range(64))
    assert power(matrix, period) == identity
    assert all(power(matrix, period // prime) != identity for prime in primes)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 64])
def test_leap_is_that_many_steps(steps):
    state = 0x9E3779B97F4A7C15
    expected = state
    for _ in range(steps):
        expected = next_element(expected)
    assert times(leap(steps), state) == expected


@pytest.mark.parametrize("state", [1, 1 << 63, (1 << 64) - 1, 0x123456789ABCDEF])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 1000])
def test_uniforms_are_those_of_single_steps(state, count):
    draws, expected = uniforms(state, count), []
    for _ in range(count):
        state = next_element(state)
        expected.append((state + (state >> 32) & 0xFFFFFFFF) >> 8)
    assert draws.tolist() == expected


def test_uniforms_fill_their_range_evenly():
    """256 classes of the upper and of the lower bits."""
    draws = uniforms(12345, 1 << 16)
    assert draws.min() >= 0
    assert draws.max() < 1 << UNIFORM_BITS
    for classes in (draws >> UNIFORM_BITS - 8, draws & 255):
        counts = np.bincount(classes, minlength=256)
        assert ((counts - 256) ** 2 / 256).sum() < 342  # 255 degrees of freedom, one in 5,000


def test_gumbel_is_close_to_the_logarithms():
    """But for the upper end of w, whose draws hardly ever win and which has its own bound."""
    rng = np.random.default_rng(1)
    uniform = rng.integers(0, 1 << UNIFORM_BITS, 1_000_000)
    w = (uniform + 0.5) / 2.0**UNIFORM_BITS
    error = np.abs(gumbel(uniform) / 2.0**GUMBEL_FRACTION + np.log(-np.log1p(-w)))
    usual, upper = error[w < 63 / 64], error[w >= 63 / 64]
    print(f"Gumbel noise: error {usual.max():.2e} at most, {usual.mean():.2e} on average")
    print(f"beyond w = 63/64: {upper.max():.2f} at most, {upper.mean():.3f} on average")
    assert usual.max() < 1.3e-2
    assert usual.mean() < 4e-4
    assert upper.mean() < 0.05


def test_gumbel_falls_with_the_uniform():
    """Never by more than it should nor up by more than the rounding of tables and products."""
    noise = gumbel(np.arange(0, 1 << UNIFORM_BITS, 97))
    assert noise[0] == gumbel(np.array([0]))[0] == noise.max()
    assert np.diff(noise).max() <= 2


def probabilities(logits, temperature):
    scaled = logits / temperature if temperature else logits
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


def tokens_drawn(logits, temperature, count=DRAWS, seed=2024, top_k=0):
    sampler = Sampler(temperature, seed, top_k)
    return np.array([sampler.draw(logits) for _ in range(count)])


def statistic(observed, expected):
    return ((observed - expected) ** 2 / expected).sum()


@pytest.mark.parametrize(
    ("logits", "temperature"),
    [
        ([0, 0, 0, 0], 1.0),
        ([256, 0, -256, 128, 64, 200], 1.0),
        ([256, 0, -256, 128, 64, 200], 0.5),
        ([1000, 900, 800, 700, 950, 990, 600, 1010], 2.0),
        (list(range(0, 500, 50)), 0.7),
    ],
)
def test_draws_follow_the_softmax(logits, temperature):
    """Chi-square of 8,000 draws."""
    logits = np.array(logits)
    scale = round(temperature * 2**FRACTION_BITS)
    expected = DRAWS * probabilities(logits, scale)
    observed = np.bincount(tokens_drawn(logits, scale), minlength=len(logits))
    chi_square = statistic(observed, expected)
    print(f"chi-square {chi_square:.1f} with {len(logits) - 1} degrees of freedom")
    assert chi_square < CHI_SQUARE[len(logits) - 1]


@pytest.mark.parametrize(
    ("logits", "temperature", "kept"),
    [
        ([256, 0, -256, 128, 64, 200], 1.0, [0, 3, 4, 5]),
        ([100, 300, 300, 100, 300, 100, 100, 400], 2.0, [0, 1, 2, 3, 4, 7]),
        (list(range(0, 500, 50)), 0.7, [6, 7, 8, 9]),
    ],
)
def test_draws_among_the_best_follow_their_softmax(logits, temperature, kept):
    """Chi-square of 8,000 draws; of equal logits those of the lower tokens are kept."""
    logits = np.array(logits)
    scale = round(temperature * 2**FRACTION_BITS)
    observed = np.bincount(tokens_drawn(logits, scale, top_k=len(kept)), minlength=len(logits))
    assert observed[kept].sum() == DRAWS
    chi_square = statistic(observed[kept], DRAWS * probabilities(logits[kept], scale))
    print(f"chi-square {chi_square:.1f} with {len(kept) - 1} degrees of freedom")
    assert chi_square < CHI_SQUARE[len(kept) - 1]


def test_consecutive_draws_are_independent():
    """Chi-square of the pairs (draw n, draw n + 1) against the product of their frequencies."""
    logits = np.array([256, 0, -100, 128, 64, 200])
    tokens = tokens_drawn(logits, 1 << FRACTION_BITS)
    pairs = np.zeros((len(logits), len(logits)))
    np.add.at(pairs, (tokens[:-1], tokens[1:]), 1)
    expected = pairs.sum(1, keepdims=True) * pairs.sum(0) / pairs.sum()
    assert statistic(pairs, expected) < CHI_SQUARE[(len(logits) - 1) ** 2]


def test_seeds_differ():
    """Neighbouring seeds draw different texts."""
    logits = np.zeros(50, dtype=np.int64)
    texts = {tuple(tokens_drawn(logits, 256, 20, seed)) for seed in range(1, 33)}
    assert len(texts) == 32


def test_temperature_0_is_the_first_of_the_largest():
    sampler = Sampler(0, 1)
    assert sampler.draw(np.array([3, 7, 7, -5])) == 1
    assert sampler.draw(np.array([-32767, -32767])) == 0
    assert sampler.state == next_draw(next_draw(1))


def test_noise_of_an_element_does_not_depend_on_how_many_there_are():
    """So that every chip draws the same tokens, whatever it pads."""
    assert np.array_equal(uniforms(77, 1000)[:13], uniforms(77, 13))
