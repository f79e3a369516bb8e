"""Claims as data: which rows are compared, and what that says."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import Claim, comparisons, judge, read_claims
from advsparse.evaluate.comparisons import COMPARISONS

RNG = np.random.default_rng(0)
LOW, HIGH = RNG.normal(0, 1, 200), RNG.normal(1, 1, 200)
WIDE = RNG.normal(0, 3, 200)

TEXT = {"claim": "c", "where": "figure 1", "statement": "a is larger", "reads": "t"}


def claim(**values) -> Claim:
    return Claim(**TEXT | {"a": {"by": "a"}, "b": {"by": "b"}, "by": "welch"} | values)


def table(*rows) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def samples(a, b) -> pd.DataFrame:
    return table({"by": "a", "samples": a}, {"by": "b", "samples": b})


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
    finding, (one,) = judge(claim(expects=expects), {"t": samples(x, y)})
    assert one.speaks == speaks and finding.comparisons == (speaks,)


def test_welch_does_not_take_variances_to_be_equal():
    (one,) = comparisons(claim(expects="above"), samples(WIDE[:20], LOW))
    assert one.found.p == stats.ttest_ind(WIDE[:20], LOW, equal_var=False).pvalue
    assert one.found.p != stats.ttest_ind(WIDE[:20], LOW).pvalue


def test_levene_compares_spreads_not_means():
    wider = claim(expects="above", by="levene")
    assert judge(wider, {"t": samples(WIDE, LOW)})[0].comparisons == (1,)
    assert judge(wider, {"t": samples(HIGH, LOW)})[0].comparisons == (0,)


def test_constant_samples_have_a_p_value():
    compare, zeros = COMPARISONS["welch"].compare, np.zeros(5)
    assert compare({"samples": zeros}, {"samples": zeros}, 0.05).p == 1
    assert compare({"samples": zeros + 1}, {"samples": zeros}, 0.05).p == 0


def interval(attack, budget, value):
    place = {"attack": attack, "budget": budget, "clamped": False}
    return place | {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 100}


def test_each_row_of_a_is_compared_with_each_of_b_that_shares_its_place():
    rows = [interval("da", 1.0, 0.5), interval("uap", 1.0, 0.8), interval("noise", 1.0, 0.52)]
    rows += [interval("da", 10.0, 0.7), interval("uap", 10.0, 0.4)]
    below = claim(
        a={"attack": "da"},
        b={"attack": ["uap", "noise"]},
        for_each=["budget"],
        expects="below",
        by="intervals",
    )
    finding, found = judge(below, {"t": table(*rows)})
    assert [(one.a, one.b) for one in found] == [
        ("budget 1 da", "budget 1 uap"),
        ("budget 1 da", "budget 1 noise"),
        ("budget 10 da", "budget 10 uap"),
    ]
    assert finding.comparisons == (1, 0, -1)


def test_extremes_are_taken_among_the_rows_that_match_the_rest():
    rows = [interval("da", weight, value) for weight, value in ((1, 0.1), (2, 0.2), (3, 0.9))]
    rows += [interval("uap", weight, 0.0) for weight in (0, 4)]
    extremes = claim(
        rows={"attack": "d*"},
        a={"budget": "largest"},
        b={"budget": "smallest"},
        expects="above",
        by="intervals",
    )
    finding, (one,) = judge(extremes, {"t": table(*rows)})
    assert (one.a, one.b, finding.comparisons) == ("budget 3", "budget 1", (1,))


def test_nothing_to_compare_is_no_verdict():
    finding, found = judge(claim(expects="above"), {"t": table({"by": "c", "samples": LOW})})
    assert found == [] and finding.verdict == "can't be judged"


def test_the_criterion_says_what_is_compared_and_how():
    one = claim(a={"weight": "smallest"}, b={"weight": "largest"}, for_each=["x"], expects="alike")
    assert one.criterion == (
        "t: smallest weight no different from largest weight, for each x; means by Welch's t-test, "
        "p < 0.05"
    )


def test_an_unknown_key_of_a_claim_is_refused(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("- {claim: c, where: w, statement: s, reads: t, a: {}, b: {}, expect: above}")
    with pytest.raises(ValidationError, match="expect"):
        read_claims(path)


@pytest.mark.parametrize(
    "path", sorted((WORKFLOW / "papers").glob("*/reference/claims.yaml")), ids=lambda p: p.parts[-3]
)
def test_shipped_claims_are_read_and_named_once(path):
    names = [claim.claim for claim in read_claims(path)]
    assert names and len(set(names)) == len(names)
