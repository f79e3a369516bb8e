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
    assert [(one.place, one.a, one.b) for one in found] == [
        ("budget = 1", "da", "uap"),
        ("budget = 1", "da", "noise"),
        ("budget = 10", "da", "uap"),
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
    assert (one.a, one.b, finding.comparisons) == ("budget = 3", "budget = 1", (1,))


def test_a_row_is_not_compared_with_itself():
    ends = {"a": {"budget": "largest"}, "b": {"budget": "smallest"}, "by": "intervals"}
    finding, found = judge(claim(expects="above", **ends), {"t": table(interval("da", 1.0, 0.5))})
    assert found == [] and finding.text == "nothing to compare"


def test_rows_without_a_counterpart_are_counted():
    rows = [interval("da", 1.0, 0.5), interval("uap", 1.0, 0.8), interval("uap", 2.0, 0.8)]
    sides = {"a": {"attack": "da"}, "b": {"attack": "uap"}, "for_each": ["budget"]}
    finding, found = judge(claim(expects="below", by="intervals", **sides), {"t": table(*rows)})
    assert len(found) == 1 and finding.comparisons == (1,)
    assert finding.text == "budget = 1: da (0.5), uap (0.8); 1 without a counterpart"


def test_of_many_comparisons_the_extremes_are_shown():
    rows = [interval("da", float(b), 0.5) for b in range(7)]
    rows += [interval("uap", float(b), 0.3 + b / 10) for b in range(7)]
    sides = {"a": {"attack": "da"}, "b": {"attack": "uap"}, "for_each": ["budget"]}
    finding, found = judge(claim(expects="below", by="intervals", **sides), {"t": table(*rows)})
    assert len(found) == 7
    assert finding.text == (
        "7 differences, -0.4 [budget = 6: da (0.5), uap (0.9)] "
        "to +0.2 [budget = 0: da (0.5), uap (0.3)]"
    )


def test_a_claim_is_not_judged_where_something_that_it_reads_has_failed():
    failed = interval("uap", 1.0, np.nan) | {"failed": "RuntimeError: no luck"}
    rows = [interval("da", 1.0, 0.5), interval("noise", 1.0, 0.8), failed]
    for b, verdict in (("uap", "not judged: uap failed"), ("noise", "holds")):
        sides = {"a": {"attack": "da"}, "b": {"attack": b}}
        finding, _ = judge(claim(expects="below", by="intervals", **sides), {"t": table(*rows)})
        assert finding.verdict == verdict
    extremes = {"a": {"budget": "largest"}, "b": {"attack": "da"}, "by": "intervals"}
    finding, _ = judge(claim(expects="below", **extremes), {"t": table(*rows)})
    assert finding.text == "RuntimeError: no luck"


def test_an_absolute_claim_needs_the_papers_data_and_scale():
    absolute = claim(expects="above", absolute=True)
    tables = {"t": samples(LOW, HIGH)}
    assert judge(absolute, tables)[0].verdict == "does not hold"
    found, _ = judge(absolute, tables, comparable=False)
    assert found.verdict.startswith("not comparable") and not found.contradicted


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
