"""What the runs of an experiment say of one effect: its size, an interval, and tests of values.

An effect is what a claim speaks of, positive as claimed: for each image of a run a difference of
two sides that were measured on that image, or one number a run. The mean over images, and then over
runs, is estimated. Images of one run share a network, and say nothing of another training: from
three runs on, it is runs that are sampled.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

ALPHA = 0.05
"""The level of one-sided tests; intervals leave it out on each side."""

ENOUGH = 3
"""Runs from which on a verdict speaks of training anew, not of the networks that were trained."""

RESAMPLES = 4999

_ROUNDING = 1e-12
"""Of the largest of some numbers, a spread that is no more than rounding."""

Unit = Literal["rate", "mean", "number"]
"""Of an effect: a difference of rates (each image gives -1, 0 or 1), of means, or of numbers that
are one for a whole run."""

Side = Literal["above", "below"]


@dataclass(frozen=True)
class Effect:
    """An effect as each run found it.

    runs: for each, the effect on each image, of shape N, or a single number; seed: of the
    bootstrap. Runs may have different images, or other numbers of them.
    """

    runs: tuple[np.ndarray, ...]
    unit: Unit
    seed: int = 0
    crossed: np.ndarray | None = None
    """Where each run was judged by something else that is drawn anew too, such as the classifiers
    of all runs: the means over images, runs x judges. ``runs`` then holds the mean over judges."""

    @property
    def value(self) -> float:
        """The mean over runs of their means over images."""
        return float(np.mean(self._of_runs))

    @property
    def images(self) -> int:
        """The number of images of a run, of the least if they differ."""
        return min(len(run) for run in self.runs)

    @cached_property
    def interval(self) -> tuple[float, float]:
        r"""The interval of level 1 - 2 ``ALPHA`` for the expected effect.

        From ``ENOUGH`` runs on, Student's for the mean of the runs' means, or that over images if
        it is wider, which is what chance among so few runs may hide. Of fewer runs, the one over
        images, given the networks; of a single number there is none (NaN).
        """
        if len(self.runs) < ENOUGH:
            return self._over_images.interval
        ends = [self._over_runs.interval]
        if self.unit != "number":
            ends.append(self._over_images.interval)
        return max(ends, key=lambda ends: ends[1] - ends[0])

    def p(self, side: Side, value: float = 0.0) -> float:
        """The p of the test that the expected effect is not on a ``side`` of ``value``.

        The larger of the two that :meth:`interval` is the wider of; NaN where there is none.
        """
        if len(self.runs) < ENOUGH:
            return self._over_images.p(side, value)
        found = self._over_runs.p(side, value)
        if self.unit == "number":
            return found
        return max(found, self._over_images.p(side, value))

    def of_run(self, index: int) -> Effect:
        """The effect as one run alone found it."""
        return Effect((self.runs[index],), self.unit, self.seed)

    def runs_needed(self, value: float = 0.0, power: float = 0.8, most: int = 1000) -> int | None:
        """So many runs would tell an effect of the size seen from ``value``, with this ``power``.

        By the spread of the runs' means, or where there is one run alone, of its images; None if it
        takes more than ``most``, or nothing tells.
        """
        from scipy import stats

        if len(self.runs) > 1:
            spread = float(np.std(self._of_runs, ddof=1))
        elif self.images > 1:
            spread = float(np.std(self.runs[0], ddof=1)) / math.sqrt(self.images)
        else:
            return None
        away = abs(self.value - value)
        if away == 0:
            return None
        if not spread:
            return ENOUGH

        def tells(count: int) -> bool:
            limit = stats.t.ppf(1 - ALPHA, count - 1)
            reached = stats.nct.sf(limit, count - 1, away / spread * math.sqrt(count))
            return bool(reached >= power)

        counts = range(ENOUGH, most + 1)
        index = bisect.bisect_left(counts, True, key=tells)
        return counts[index] if index < len(counts) else None

    @cached_property
    def _of_runs(self) -> np.ndarray:
        return np.array([np.mean(run) for run in self.runs])

    @cached_property
    def _over_runs(self) -> _Student | _Crossed:
        if self.crossed is not None and self.crossed.shape[1] > 1:
            return _Crossed(self.crossed)
        return _Student(self._of_runs)

    @cached_property
    def _over_images(self) -> _Bootstrap | _Discordant | _Nothing:
        if self.unit == "number" or self.images < 2:
            return _Nothing()
        if self.unit == "rate" and len(self.runs) == 1:
            return _Discordant(self.runs[0])
        return _Bootstrap(self.runs, self.seed)


class _Nothing:
    """One number, of which nothing is known but itself."""

    interval = (math.nan, math.nan)

    def p(self, side: Side, value: float) -> float:
        return math.nan


class _Student:
    """Student's t for the mean of independent numbers."""

    def __init__(self, values: np.ndarray) -> None:
        self._mean, self._freedom = float(values.mean()), len(values) - 1.0
        self._error = float(values.std(ddof=1)) / math.sqrt(len(values))

    @property
    def interval(self) -> tuple[float, float]:
        from scipy import stats

        width = stats.t.ppf(1 - ALPHA, self._freedom) * self._error
        return self._mean - width, self._mean + width

    def p(self, side: Side, value: float) -> float:
        from scipy import stats

        away = self._mean - value if side == "above" else value - self._mean
        if self._error == 0:
            return float(away <= 0)
        return float(stats.t.sf(away / self._error, self._freedom))


class _Crossed(_Student):
    """The mean of a table of which rows and columns are both drawn at random.

    Its variance is s_r^2 / R + s_c^2 / C, of the means of R rows and of C columns; what rows and
    columns do together is in both, so that it errs on the side of doubt. Degrees of freedom are
    Satterthwaite's.
    """

    def __init__(self, table: np.ndarray) -> None:
        self._mean = float(table.mean())
        shares = [float(table.mean(axis).var(ddof=1)) / table.shape[1 - axis] for axis in (0, 1)]
        self._error = math.sqrt(sum(shares))
        drawn = [table.shape[1 - axis] - 1 for axis in (0, 1)]
        doubt = sum(share**2 / count for share, count in zip(shares, drawn, strict=True))
        self._freedom = sum(shares) ** 2 / doubt if doubt else float(min(drawn))


class _Discordant:
    """A difference of paired rates: only images on which the sides disagree tell anything.

    The test of no difference is McNemar's, exact: of the images that disagree, half go either way.
    The interval, and tests of other values, are of Bonett and Price (2012): Wald's, with one more
    image that disagrees each way.
    """

    def __init__(self, differences: np.ndarray) -> None:
        self._for, self._against = int((differences > 0).sum()), int((differences < 0).sum())
        count = len(differences) + 2
        more, less = (self._for + 1) / count, (self._against + 1) / count
        self._centre = more - less
        self._error = math.sqrt((more + less - self._centre**2) / count)

    @property
    def interval(self) -> tuple[float, float]:
        from scipy import stats

        width = stats.norm.ppf(1 - ALPHA) * self._error
        return max(-1.0, self._centre - width), min(1.0, self._centre + width)

    def p(self, side: Side, value: float) -> float:
        from scipy import stats

        if value == 0:
            if self._for + self._against == 0:
                return 1.0
            hits = self._for if side == "above" else self._against
            told = stats.binomtest(hits, self._for + self._against, alternative="greater")
            return float(told.pvalue)
        away = self._centre - value if side == "above" else value - self._centre
        return float(stats.norm.sf(away / self._error))


class _Bootstrap:
    """The bootstrap over images, bias-corrected and accelerated (BCa, Efron 1987).

    The images of each run are drawn by themselves. SciPy draws; its own BCa leaves out each image
    in turn, which for a mean comes to a formula.
    """

    def __init__(self, runs: Sequence[np.ndarray], seed: int) -> None:
        from scipy import stats

        # All the same, but for how they were rounded.
        self._constant = all(np.ptp(run) <= _ROUNDING * np.abs(run).max() for run in runs)
        self._mean = float(np.mean([np.mean(run) for run in runs]))
        if self._constant:
            return

        def mean(*samples: np.ndarray, axis: int) -> np.ndarray:
            return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

        found = stats.bootstrap(
            tuple(runs),
            mean,
            n_resamples=RESAMPLES,
            method="percentile",
            vectorized=True,
            batch=100,
            rng=np.random.default_rng(seed),
        )
        self._drawn = np.sort(found.bootstrap_distribution)
        below = np.searchsorted(self._drawn, self._mean, "left")
        ties = np.searchsorted(self._drawn, self._mean, "right") - below
        self._bias = float(stats.norm.ppf((below + ties / 2) / len(self._drawn)))
        self._acceleration = _acceleration(runs)

    @property
    def interval(self) -> tuple[float, float]:
        if self._constant:
            return self._mean, self._mean
        return self._end(ALPHA), self._end(1 - ALPHA)

    def _end(self, level: float) -> float:
        """Where a one-sided interval of a level ends."""
        from scipy import stats

        z = self._bias + stats.norm.ppf(level)
        share = stats.norm.cdf(self._bias + z / (1 - self._acceleration * z))
        return float(np.quantile(self._drawn, share))

    def p(self, side: Side, value: float) -> float:
        """The level at which the interval ends at ``value``."""
        from scipy import stats

        if self._constant:
            away = self._mean - value if side == "above" else value - self._mean
            return float(away <= 0)
        count = len(self._drawn)
        below = float(np.searchsorted(self._drawn, value, "right")) / count
        share = min(max(below, 1 / (count + 1)), count / (count + 1))
        z = stats.norm.ppf(share) - self._bias
        level = float(stats.norm.cdf(z / (1 + self._acceleration * z) - self._bias))
        return level if side == "above" else 1 - level


def _acceleration(runs: Sequence[np.ndarray]) -> float:
    r"""The acceleration of a mean of means: sum d^3 / (6 (sum d^2)^1.5), where d are the images'
    influences on it."""
    influences = np.concatenate(
        [(run - run.mean()) / (len(runs) * max(len(run) - 1, 1)) for run in runs]
    )
    squares = float((influences**2).sum())
    return float((influences**3).sum()) / (6 * squares**1.5) if squares else 0.0
