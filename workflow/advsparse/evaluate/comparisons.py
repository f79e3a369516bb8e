"""Two rows of a table compared: by their intervals, or by a statistical test of their samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Compared:
    """The two sides of a comparison, and whether they differ."""

    a: float
    b: float
    different: bool
    statistic: float | None = None
    p: float | None = None
    n: int = 0


@dataclass(frozen=True)
class Way:
    """One way to compare."""

    name: str
    words: str
    """Of the criterion; with the level."""
    compare: Callable[[pd.Series, pd.Series, float], Compared]


def _intervals(a: pd.Series, b: pd.Series, level: float) -> Compared:
    apart = a["low"] > b["high"] or a["high"] < b["low"]
    return Compared(a["value"], b["value"], bool(apart), n=int(a["n"]))


def _welch(a: pd.Series, b: pd.Series, level: float) -> Compared:
    """Welch's t-test of two means: a t-test that does not take variances to be equal."""
    from scipy import stats

    x, y = a["samples"], b["samples"]
    of_a, of_b = float(np.mean(x)), float(np.mean(y))
    if np.ptp(x) == np.ptp(y) == 0:  # no test is defined for two constants
        statistic, p = 0.0, float(of_a == of_b)
    else:
        found = stats.ttest_ind(x, y, equal_var=False)
        statistic, p = float(found.statistic), float(found.pvalue)
    return Compared(of_a, of_b, p < level, statistic, p, len(x))


def _levene(a: pd.Series, b: pd.Series, level: float) -> Compared:
    """Levene's test of two spreads, about the medians, as SciPy has it."""
    from scipy import stats

    x, y = a["samples"], b["samples"]
    found = stats.levene(x, y)
    p = float(found.pvalue)
    spreads = float(np.std(x)), float(np.std(y))
    return Compared(*spreads, p < level, float(found.statistic), p, len(x))


COMPARISONS = {
    "intervals": Way("95 % intervals", "95 % intervals apart", _intervals),
    "welch": Way("t-test (Welch)", "means by Welch's t-test, p < {level:g}", _welch),
    "levene": Way("Levene", "spreads by Levene's test, p < {level:g}", _levene),
}
