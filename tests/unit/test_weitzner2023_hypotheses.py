"""What the tests of weitzner2023 say of its claims."""

import numpy as np
import pytest
from scipy import stats

from papers.weitzner2023.hypotheses import levene, welch

RNG = np.random.default_rng(0)
LOW, HIGH = RNG.normal(0, 1, 200), RNG.normal(1, 1, 200)
WIDE = RNG.normal(0, 3, 200)


@pytest.mark.parametrize(
    ("x", "y", "expects", "speaks"),
    [
        (HIGH, LOW, "above", 1),
        (LOW, HIGH, "above", -1),
        (LOW, HIGH, "below", 1),
        (HIGH, LOW, "below", -1),
        (LOW, LOW + 1e-3, "above", 0),
        (LOW, LOW + 1e-3, "alike", 1),
        (LOW, HIGH, "alike", -1),
    ],
)
def test_a_difference_speaks_for_or_against_a_claim(x, y, expects, speaks):
    assert welch("claim", "what", "a", "b", x, y, expects).speaks == speaks


def test_levene_compares_spreads_not_means():
    assert levene("claim", "what", "a", "b", WIDE, LOW).speaks == 1
    assert levene("claim", "what", "a", "b", HIGH, LOW).speaks == 0


def test_welch_does_not_take_variances_to_be_equal():
    found = welch("claim", "what", "a", "b", WIDE[:20], LOW)
    assert found.p == stats.ttest_ind(WIDE[:20], LOW, equal_var=False).pvalue
    assert found.p != stats.ttest_ind(WIDE[:20], LOW).pvalue


def test_constant_samples_have_a_p_value():
    zeros = np.zeros(5)
    assert welch("claim", "what", "a", "b", zeros, zeros).p == 1
    assert welch("claim", "what", "a", "b", zeros + 1, zeros).p == 0
