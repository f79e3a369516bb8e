"""Two rows of a table compared, against the tests' own formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from advsparse.evaluate.comparisons import COMPARISONS, Compared

RNG = np.random.default_rng(0)
NARROW, WIDE = RNG.normal(0, 1, 200), RNG.normal(0.3, 3, 20)
LEVEL = 0.05


def compare(way, a, b, level=LEVEL):
    return COMPARISONS[way].compare(a, b, level)


def sampled(way, a, b, level=LEVEL):
    return compare(way, {"samples": a}, {"samples": b}, level)


@pytest.mark.parametrize(
    ("low", "high", "different"),
    [
        (0.3, 0.5, False),
        (0.6, 0.9, False),  # they touch
        (0.61, 0.9, True),
        (0.1, 0.4, False),  # on the other side
        (0.1, 0.39, True),
        (0.0, 1.0, False),
    ],
)
def test_intervals_differ_where_no_value_is_in_both(low, high, different):
    a, b = {"value": 0.35, "low": low, "high": high, "n": 7.0}, {"value": 0.5, "n": 9}
    found = compare("intervals", a, b | {"low": 0.4, "high": 0.6})
    assert found == Compared(0.35, 0.5, different, None, None, 7)
    assert isinstance(found.different, bool) and isinstance(found.n, int)


def welch(x, y):
    """t and p by the formulas of Welch 1947."""
    of_x, of_y = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    t = (x.mean() - y.mean()) / math.sqrt(of_x + of_y)
    freedom = (of_x + of_y) ** 2 / (of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1))
    return t, 2 * stats.t.sf(abs(t), freedom)


@pytest.mark.filterwarnings("ignore:Precision loss")
@pytest.mark.parametrize(
    ("x", "y"), [(WIDE, NARROW), (NARROW, WIDE), (NARROW[:9] + 2, NARROW), (WIDE, np.ones(4))]
)
def test_means_are_compared_by_a_test_that_does_not_take_variances_to_be_equal(x, y):
    t, p = welch(x, y)
    found = sampled("welch", x, y)
    assert (found.statistic, found.p) == pytest.approx((t, p), rel=1e-9)
    assert found == Compared(x.mean(), y.mean(), bool(p < 0.05), found.statistic, found.p, len(x))


@pytest.mark.parametrize(
    ("x", "y", "p"), [(0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (-2.0, 3.0, 0.0)]
)
def test_constant_samples_are_the_same_or_not(x, y, p):
    found = sampled("welch", np.full(5, x), np.full(3, y))
    assert found == Compared(x, y, p == 0, 0.0, p, 5)


@pytest.mark.parametrize(("x", "y"), [(WIDE, NARROW), (NARROW + 9, NARROW[::2]), (NARROW, WIDE)])
def test_spreads_are_compared_about_the_medians(x, y):
    # Brown and Forsythe 1974: an analysis of variance of the distances from the medians.
    f, p = stats.f_oneway(abs(x - np.median(x)), abs(y - np.median(y)))
    found = sampled("levene", x, y)
    assert (found.statistic, found.p) == pytest.approx((f, p), rel=1e-9)
    spreads = [math.sqrt(((v - v.mean()) ** 2).mean()) for v in (x, y)]
    assert (found.a, found.b) == pytest.approx(spreads, rel=1e-12)
    assert (found.different, found.n) == (p < 0.05, len(x))


@pytest.mark.parametrize("way", ["welch", "levene"])
def test_a_difference_is_one_below_the_level(way):
    p = sampled(way, WIDE, NARROW).p
    assert 0 < p < 1
    assert not sampled(way, WIDE, NARROW, level=p).different
    assert sampled(way, WIDE, NARROW, level=math.nextafter(p, 1)).different
