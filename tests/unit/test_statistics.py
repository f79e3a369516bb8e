"""Estimates and their intervals, against SciPy, closed forms and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from advsparse.evaluate.statistics import mean, number, proportion

SKEWED = np.random.default_rng(0).gamma(0.7, size=60)
Z = scipy.stats.norm.ppf(0.975)


@pytest.mark.parametrize(
    ("count", "n"), [(0, 1), (1, 1), (0, 7), (7, 7), (3, 10), (1, 200), (113, 200)]
)
def test_shares_have_wilsons_interval_at_95_percent(count, n):
    found = proportion(np.arange(n) < count)
    # Wilson 1927, by its formula.
    p, spread = count / n, Z * math.sqrt(count / n * (1 - count / n) / n + (Z / (2 * n)) ** 2)
    low, high = ((p + Z**2 / (2 * n) + side * spread) / (1 + Z**2 / n) for side in (-1, 1))
    assert (found.value, found.n) == (p, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_counts_are_those_of_true_entries():
    assert proportion(np.array([0, 3, -1, 0])).value == 0.5


def test_means_have_scipys_bootstrap_interval_at_95_percent():
    found = mean(SKEWED, seed=0)
    assert found.value == pytest.approx(SKEWED.mean(), rel=1e-12) and found.n == 60
    theirs = scipy.stats.bootstrap(
        (SKEWED,), np.mean, method="percentile", n_resamples=50_000, rng=np.random.default_rng(1)
    ).confidence_interval
    # A quantile of 2000 resamples scatters by about 3 % of the width; at 90 % it is 16 % shorter.
    width = theirs.high - theirs.low
    ours = np.array([mean(SKEWED, seed)[2:] for seed in range(20)]).mean(0)
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.015 * width)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.12 * width)


def test_intervals_of_means_scatter_as_those_of_2000_resamples():
    bounds = np.array([mean(SKEWED, seed)[2:] for seed in range(60)])
    # A quantile q of n resamples scatters by sqrt(q (1 - q) / n) over the density there.
    resampled = SKEWED.std() / math.sqrt(60)
    expected = resampled * math.sqrt(0.025 * 0.975 / 2000) / scipy.stats.norm.pdf(Z)
    assert (bounds.std(0) / expected).tolist() == pytest.approx([1, 1], rel=0.45)


def test_seeds_decide_the_interval_and_nothing_else():
    one, again, other = (mean(SKEWED, seed) for seed in (1, 1, 2))
    assert one == again and one[:2] == other[:2] and one[2:] != other[2:]


def test_means_of_whole_numbers_and_of_single_images():
    assert mean(np.array([1, 2], np.uint8), 0).value == 1.5
    assert mean(np.array([250, 250], np.uint8), 0)[:] == (250, 2, 250, 250)
    assert mean(np.array([2**25, 1, 1, 1], np.float32), 0).value == 2**23 + 0.75
    assert mean(np.array([3.0]), 0)[:] == (3, 1, 3, 3)


@pytest.mark.parametrize(
    "estimated", [lambda: proportion(np.zeros(0, bool)), lambda: mean(np.zeros(0), 0)]
)
def test_nothing_has_no_estimate(estimated):
    value, n, low, high = estimated()
    assert n == 0 and np.isnan([value, low, high]).all()


def test_numbers_have_no_interval():
    found = number(np.float32(0.5))
    assert (found.value, found.n) == (0.5, 1) and isinstance(found.value, float)
    assert np.isnan([found.low, found.high]).all()
