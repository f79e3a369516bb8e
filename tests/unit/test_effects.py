"""Intervals and tests of effects: they are as often wrong as they say, on runs made for it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from advsparse.evaluate.effects import RESAMPLES, Effect

ALPHA = 0.05
"""The level that is promised, said here anew."""

TIMES = 600
LIKELY = 1e-4
"""A test fails on correct code once in so many thousand choices of a seed; the seeds are fixed."""


def assert_share(hits, share: float, how: str = "two-sided") -> None:
    """That something with a probability of ``share`` may have happened as often as in ``hits``."""
    hits = list(hits)
    found = stats.binomtest(int(sum(hits)), len(hits), share, alternative=how)
    assert found.pvalue > LIKELY, f"{sum(hits)} of {len(hits)}, and not {share:.3f} of them"


def rates(rng, n, more, less):
    """Paired differences of two rates, of which so many disagree each way."""
    return rng.choice([1.0, -1.0, 0.0], size=n, p=[more, less, 1 - more - less])


def runs(rng, count, n, effect, between, within=1.0):
    """Effects on images of several runs, whose networks differ: each has an effect of its own."""
    means = effect + between * rng.standard_normal(count)
    return tuple(mean + within * rng.standard_normal(n) for mean in means)


def tried(make, unit, times=TIMES, seed=0):
    for index in range(times):
        yield Effect(make(np.random.default_rng([seed, index])), unit, seed=index)


@pytest.mark.parametrize("side", ["above", "below"])
def test_one_run_of_skewed_differences_is_wrong_as_often_as_it_says(side):
    made = tried(lambda rng: (rng.exponential(size=200) - 1,), "mean", seed=1)
    assert_share((one.p(side) <= ALPHA for one in made), ALPHA)


@pytest.mark.parametrize("side", ["above", "below"])
def test_paired_rates_are_wrong_no_more_often_than_they_say(side):
    made = list(tried(lambda rng: (rates(rng, 400, 0.3, 0.3),), "rate", seed=2))
    assert_share((one.p(side) <= ALPHA for one in made), ALPHA, "greater")
    assert_share((one.p(side) <= ALPHA for one in made), 0.75 * ALPHA, "less")


def test_mcnemars_test_is_exact():
    d = np.r_[np.ones(12), -np.ones(3), np.zeros(85)]
    either = stats.binomtest(12, 15, alternative="greater").pvalue
    assert Effect((d,), "rate").p("above") == pytest.approx(either)
    assert Effect((-d,), "rate").p("below") == pytest.approx(either)
    assert Effect((np.zeros(50),), "rate").p("above") == 1.0


@pytest.mark.parametrize(("more", "less"), [(12, 3), (3, 12), (6, 6)])
def test_tests_of_paired_rates_at_other_values_are_walds_with_two_more_images(more, less):
    d = np.r_[np.ones(more), -np.ones(less), np.zeros(85)]
    n = len(d) + 2
    p = np.array([more + 1, less + 1]) / n
    centre = p[0] - p[1]
    error = math.sqrt((p.sum() - centre**2) / n)
    effect = Effect((d,), "rate")
    for value in (-0.1, 0.05, 0.2):
        away = (centre - value) / error
        assert effect.p("above", value) == pytest.approx(stats.norm.sf(away))
        assert effect.p("below", value) == pytest.approx(stats.norm.cdf(away))
    assert effect.p("above") == pytest.approx(
        stats.binomtest(more, more + less, alternative="greater").pvalue
    )


@pytest.mark.parametrize(
    ("n", "more", "less"), [(100, 0.2, 0.1), (100, 0.02, 0.05), (30, 0.3, 0.3)]
)
def test_intervals_of_paired_rates_hold_the_difference(n, more, less):
    made = tried(lambda rng: (rates(rng, n, more, less),), "rate", times=2000, seed=3)
    hits = [low <= more - less <= high for low, high in (one.interval for one in made)]
    assert_share(hits, 1 - 2 * ALPHA - 0.015, "less")
    assert_share(hits, 0.96, "greater")


def test_pairing_takes_out_what_images_share():
    """Two sides whose images differ far more than the sides do."""

    def pair(rng):
        image = 5 * rng.standard_normal(100)
        a, b = (image + 0.1 * rng.standard_normal(100) for _ in range(2))
        return (a - b + 0.05,)

    assert_share((one.p("above") <= ALPHA for one in tried(pair, "mean", times=200)), 0.9, "less")


@pytest.mark.parametrize("count", [3, 5, 10])
def test_runs_that_differ_are_what_is_sampled(count):
    """Where images agree within a run, they tell next to nothing of the next."""
    made = list(tried(lambda rng: runs(rng, count, 20, 0.0, 0.5, 0.2), "mean", seed=count))
    assert_share((one.p("above") <= ALPHA for one in made), ALPHA)
    hits = [low <= 0 <= high for low, high in (one.interval for one in made)]
    assert_share(hits, 1 - 2 * ALPHA)


def test_runs_that_do_not_differ_are_no_better_known_than_their_images():
    """Where three runs are alike by chance, Student's interval is next to nothing."""
    made = list(tried(lambda rng: runs(rng, 3, 50, 0.0, 0.0), "mean", seed=4))
    assert_share((one.p("above") <= ALPHA for one in made), ALPHA, "greater")
    widths = [one.interval[1] - one.interval[0] for one in made]
    least = 2 * stats.norm.ppf(1 - ALPHA) / math.sqrt(150)
    assert min(widths) > 0.75 * least


def crossed(rng, rows, columns, between=(0.5, 0.5), within=0.3):
    """Means of surrogates' attacks on classifiers, of which both are drawn anew."""
    of_rows = between[0] * rng.standard_normal((rows, 1))
    of_columns = between[1] * rng.standard_normal((1, columns))
    return of_rows + of_columns + within * rng.standard_normal((rows, columns))


def effect_of(table):
    return Effect(tuple(row[:, None].mean(0) for row in table), "number", crossed=table)


@pytest.mark.parametrize("between", [(0.5, 0.5), (0.0, 0.5), (0.5, 0.0)])
@pytest.mark.parametrize("count", [3, 6])
def test_what_is_crossed_is_wrong_no_more_often_than_it_says(count, between):
    found = [effect_of(crossed(np.random.default_rng([7, n]), count, count, between, 0.1))
             for n in range(TIMES)]  # fmt: skip
    assert_share((one.p("above") <= ALPHA for one in found), ALPHA, "greater")
    hits = [low <= 0 <= high for low, high in (one.interval for one in found)]
    assert_share(hits, 1 - 2 * ALPHA, "less")
    # Not by never deciding anything.
    shifted = [Effect(one.runs, "number", crossed=one.crossed + 3.0) for one in found]
    assert_share((one.p("above") <= ALPHA for one in shifted), 0.8, "less")


def test_the_error_of_a_crossed_mean_is_that_of_its_rows_and_columns():
    table = crossed(np.random.default_rng(3), 3, 5, (0.4, 0.9), 0.2) + 0.5
    shares = table.mean(1).var(ddof=1) / 3, table.mean(0).var(ddof=1) / 5
    error = math.sqrt(sum(shares))
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 2 + shares[1] ** 2 / 4)
    found = effect_of(table)
    assert found.p("above", 0.1) == pytest.approx(stats.t.sf((table.mean() - 0.1) / error, freedom))
    width = stats.t.ppf(1 - ALPHA, freedom) * error
    assert found.interval == pytest.approx((table.mean() - width, table.mean() + width))
    still = effect_of(np.full((3, 4), 0.25))
    assert still.interval == (0.25, 0.25) and still.p("above") == 0.0 == 1 - still.p("below")


def test_the_classifiers_spread_counts_where_runs_alone_hide_it():
    """Every surrogate meets the same classifiers: their means agree whatever these are."""
    tables = [crossed(np.random.default_rng([8, n]), 5, 5, (0.01, 1.0), 0.01) for n in range(200)]
    alone = [Effect(effect_of(table).runs, "number").p("above") <= ALPHA for table in tables]
    assert np.mean(alone) > 0.3
    both = [effect_of(table).p("above") <= ALPHA for table in tables]
    assert_share(both, ALPHA, "greater")


def test_numbers_of_runs():
    values = [1.2, 0.9, 1.4, 0.7]
    effect = Effect(tuple(np.array([value]) for value in values), "number")
    found = stats.ttest_1samp(values, 0.5, alternative="greater")
    assert effect.p("above", 0.5) == pytest.approx(found.pvalue)
    assert effect.p("below", 0.5) == pytest.approx(1 - found.pvalue)
    both = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * ALPHA)
    assert effect.interval == pytest.approx((both.low, both.high))
    alone = Effect((np.array([1.2]),), "number")
    assert math.isnan(alone.p("above")) and all(map(math.isnan, alone.interval))


def test_the_bootstrap_is_scipys_and_its_p_ends_its_interval():
    d = np.random.default_rng(5).exponential(size=60) - 0.8
    effect = Effect((d,), "mean", seed=9)
    low, high = effect.interval
    assert effect.p("above", low) == pytest.approx(ALPHA, abs=5e-4)
    assert effect.p("below", high) == pytest.approx(ALPHA, abs=5e-4)
    assert Effect((d,), "mean", seed=9).interval == effect.interval


def test_intervals_of_skewed_means_are_those_of_scipys_bca():
    """From the same draws, so that what is left is how quantiles are interpolated."""
    d = np.random.default_rng(6).exponential(size=15) ** 2
    effect = Effect((d, d[:9]), "mean", seed=9)

    def mean(*samples, axis):
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    found = stats.bootstrap(
        (d, d[:9]),
        mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * ALPHA,
        method="BCa",
        batch=100,
        rng=np.random.default_rng(9),
    )
    expected = found.confidence_interval
    assert effect.interval == pytest.approx((expected.low, expected.high), rel=2e-3)


@pytest.mark.parametrize("more", [np.r_[np.ones(4), np.zeros(6)], np.array([1.0, 0.0])])
def test_p_of_a_bootstrap_is_the_level_of_bca_with_half_of_the_ties(more):
    runs_ = np.r_[np.ones(9), np.zeros(12), -np.ones(3)], more
    effect = Effect(runs_, "rate", seed=3)

    def mean(*samples, axis):
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    made = stats.bootstrap(
        runs_, mean, n_resamples=RESAMPLES, method="percentile", batch=100,
        rng=np.random.default_rng(3),
    )  # fmt: skip
    drawn, centre = made.bootstrap_distribution, mean(*runs_, axis=0)
    ties = np.mean(drawn == centre)
    assert ties > 0.02
    bias = stats.norm.ppf(np.mean(drawn < centre) + ties / 2)
    # Each image's influence on the mean of two means.
    influences = np.concatenate([(run - run.mean()) / (2 * (len(run) - 1)) for run in runs_])
    acceleration = (influences**3).sum() / (6 * (influences**2).sum() ** 1.5)
    for value in (drawn.max() + 1, drawn.min() - 1, np.median(drawn), 0.123):
        share = np.clip(np.mean(drawn <= value), 1 / (RESAMPLES + 1), RESAMPLES / (RESAMPLES + 1))
        z = stats.norm.ppf(share) - bias
        level = stats.norm.cdf(z / (1 + acceleration * z) - bias)
        assert effect.p("above", value) == pytest.approx(level, rel=1e-9)
        assert effect.p("below", value) == pytest.approx(1 - level, rel=1e-9)


def test_runs_that_agree_by_chance_know_no_more_than_their_images():
    d = np.random.default_rng(2).standard_normal(50)
    d += 0.15 - d.mean()
    three = Effect((d, d[::-1], d), "mean")
    alone = stats.ttest_1samp(np.r_[d, d, d], 0, alternative="greater").pvalue
    assert three.p("above") == pytest.approx(alone, rel=0.2)
    assert three.interval[0] == pytest.approx(0.15 - 1.65 * d.std() / math.sqrt(150), abs=0.02)


def test_effects_without_spread():
    effect = Effect((np.full(20, 0.25),), "mean")
    assert effect.interval == (0.25, 0.25)
    assert [effect.p("above"), effect.p("below"), effect.p("above", 0.25)] == [0.0, 1.0, 1.0]
    alike = Effect((np.full(5, 0.25),) * 3, "mean")
    assert [alike.p("above"), alike.p("below")] == [0.0, 1.0]
    one_number = Effect((np.array([0.25]),) * 3, "number")
    for side in ("above", "below"):
        assert one_number.p(side, 0.25) == 1.0
    assert [one_number.p("above"), one_number.p("below")] == [0.0, 1.0]


def test_as_many_runs_as_are_needed_tell():
    """The power at the number of runs that is named, and at fewer."""
    few = Effect(runs(np.random.default_rng(11), 4, 50, 0.3, 0.4, 0.1), "mean")
    spread = np.std([run.mean() for run in few.runs], ddof=1)
    needed = few.runs_needed()
    assert needed is not None and needed > 3

    def power(count):
        means = few.value + spread * np.random.default_rng(12).standard_normal((4000, count))
        return np.mean(stats.ttest_1samp(means, 0, axis=1, alternative="greater").pvalue <= ALPHA)

    assert power(needed) > 0.78 and power(needed - 1) < 0.82
    assert Effect((np.zeros(9),) * 3, "mean").runs_needed() is None
    assert Effect((np.array([1.0]),), "number").runs_needed() is None


def enough(spread, away, power, most):
    """The first number of runs, from three on, whose t test sees an effect so far away."""
    for count in range(3, most + 1):
        limit = stats.t.ppf(1 - ALPHA, count - 1)
        if stats.nct.sf(limit, count - 1, away / spread * math.sqrt(count)) >= power:
            return count
    return None


@pytest.mark.parametrize(("value", "power"), [(0.0, 0.8), (-0.25, 0.8), (0.75, 0.9)])
def test_runs_needed_are_the_first_whose_test_has_the_power(value, power):
    means = [0.5, 0.1, 0.9]
    for count in (2, 3):
        # How images differ within a run tells nothing where there are several.
        effect = Effect(tuple(m + np.array([-1.0, 1.0]) for m in means[:count]), "mean")
        spread, away = np.std(means[:count], ddof=1), abs(np.mean(means[:count]) - value)
        assert effect.runs_needed(value, power) == enough(spread, away, power, 1000)
    for images in ([1.0, 0.5], [1.0, 0.5, -0.75, 1.5]):
        alone = Effect((np.array(images),), "mean")
        spread = np.std(images, ddof=1) / math.sqrt(len(images))
        away = abs(np.mean(images) - value)
        expected = enough(spread, away, power, 1000) if away else None
        assert alone.runs_needed(value, power) == expected


@pytest.mark.parametrize("spread", [1e-3, *np.linspace(0.3, 3.0, 28)])
def test_runs_needed_are_three_at_least_and_more_the_more_they_differ(spread):
    runs_ = tuple(np.array([1.0 + spread * sign]) for sign in (-1, 0, 1))
    assert Effect(runs_, "number").runs_needed() == enough(spread, 1.0, 0.8, 1000) >= 3


def test_runs_needed_have_an_end():
    # Two runs of mean 1, whose spread is what makes so many necessary.
    def effect(half):
        return Effect((np.array([1.0 - half]), np.array([1.0 + half])), "number")

    low, high = 1.0, 100.0
    while (found := effect((low + high) / 2).runs_needed(most=2000)) != 1001:
        low, high = ((low + high) / 2, high) if (found or 3000) < 1001 else (low, (low + high) / 2)
    edge = effect((low + high) / 2)
    assert edge.runs_needed() is None
    assert edge.runs_needed(most=1001) == 1001 and edge.runs_needed(most=1000) is None
    still = Effect((np.array([1.0]),) * 3, "number")
    assert still.runs_needed() == 3 and still.runs_needed(1.0) is None


def test_nothing_tells_how_many_runs_one_image_needs():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Effect((np.array([1.0]),), "mean").runs_needed() is None


def test_a_run_alone_has_its_own_images_the_unit_and_the_seed():
    rng = np.random.default_rng(1)
    runs_ = tuple(rng.choice([1.0, 0.0, -1.0], 40) for _ in range(3))
    for unit in ("rate", "mean"):
        one = Effect(runs_, unit, seed=5).of_run(1)
        assert one.runs[0] is runs_[1] and (one.unit, one.seed) == (unit, 5)
