"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value, the number of images it is taken over, and its confidence interval."""

    value: float
    n: int
    low: float
    high: float


def proportion(hits: np.ndarray) -> Estimate:
    """The share of true entries, with Wilson's score interval."""
    from scipy.stats import binomtest

    n, count = len(hits), int(np.count_nonzero(hits))
    if n == 0:
        return Estimate(np.nan, 0, np.nan, np.nan)
    interval = binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / n, n, interval.low, interval.high)


def mean(values: np.ndarray, seed: int) -> Estimate:
    """The mean, with the percentile bootstrap over images, drawn from ``seed``."""
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Estimate(np.nan, 0, np.nan, np.nan)
    draws = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[draws].mean(axis=1), [tail, 1 - tail])
    return Estimate(float(values.mean()), n, float(low), float(high))


def number(value: float) -> Estimate:
    """A quantity that is not sampled: no interval."""
    return Estimate(float(value), 1, np.nan, np.nan)
