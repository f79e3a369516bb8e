"""Claims as data: which rows are compared, and what that says."""

import locale

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import (
    Claim,
    Comparison,
    comparisons,
    judge,
    read_claims,
    verdict_line,
)
from advsparse.evaluate.comparisons import Compared
from advsparse.evaluate.findings import Finding

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


def test_levene_compares_spreads_not_means():
    wider = claim(expects="above", by="levene")
    assert judge(wider, {"t": samples(WIDE, LOW)})[0].comparisons == (1,)
    assert judge(wider, {"t": samples(HIGH, LOW)})[0].comparisons == (0,)


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


@pytest.mark.parametrize(
    ("side", "values"),
    [
        ({"budget": 2}, [0.2, 0.4]),
        ({"budget": [1, 4]}, [0.1]),
        ({"clamped": True}, [0.3, 0.4]),
        ({"attack": "d*"}, [0.1, 0.2]),
        ({"attack": ["da", "noise"]}, [0.1, 0.4]),
        ({"attack": ["da", "df"], "budget": 2}, [0.2]),
        ({"budget": "largest", "clamped": False}, [0.2]),
        ({"attack": "D*"}, []),
    ],
)
def test_rows_are_chosen_by_what_their_columns_have(side, values):
    rows = [interval("da", 1.0, 0.1), interval("df", 2.0, 0.2)]
    rows += [interval("pgd", 3.0, 0.3) | {"clamped": True}]
    rows += [interval("noise", 2.0, 0.4) | {"clamped": True}, interval("uap", np.nan, 0.9)]
    one = claim(a=side, b={"attack": "uap"}, expects="below", by="intervals")
    assert [found.found.a for found in comparisons(one, table(*rows))] == values


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


DA_AND_UAP = {"a": {"attack": "da"}, "b": {"attack": "uap"}, "for_each": ["budget"]}


def test_rows_without_a_counterpart_are_counted():
    rows = [interval("da", 1.0, 0.5), interval("uap", 1.0, 0.8), interval("uap", 2.0, 0.8)]
    rows += [interval("uap", 2.0, 0.9), interval("da", 0.0, 0.8)]
    below = claim(expects="below", by="intervals", **DA_AND_UAP)
    finding, found = judge(below, {"t": table(*rows)})
    assert len(found) == 1 and finding.comparisons == (1,)
    assert finding.text == "budget = 1: da (0.5), uap (0.8); 3 without a counterpart"
    assert list(comparisons(below, table(*rows))) == found


def test_places_are_told_in_the_order_of_the_rows():
    rows = [interval(attack, budget, 0.5) for budget in (3.0, 1.0, 2.0) for attack in ("uap", "da")]
    for row, shape in zip(rows, "bbccaa", strict=True):
        row["shape"] = shape
    each = {**DA_AND_UAP, "for_each": ["budget", "shape"]}
    found = comparisons(claim(expects="below", by="intervals", **each), table(*rows))
    assert [one.place for one in found] == ["budget = 3, b", "budget = 1, c", "budget = 2, a"]


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        (
            range(6),
            "budget = 0: da (0.5), uap (0.3); budget = 1: da (0.5), uap (0.4); "
            "budget = 2: da (0.5), uap (0.5); budget = 3: da (0.5), uap (0.6); "
            "budget = 4: da (0.5), uap (0.7); budget = 5: da (0.5), uap (0.8)",
        ),
        (
            range(7),
            "7 differences, -0.4 [budget = 6: da (0.5), uap (0.9)] "
            "to +0.2 [budget = 0: da (0.5), uap (0.3)]",
        ),
    ],
)
def test_of_many_comparisons_the_extremes_are_shown(budgets, text):
    rows = [interval("da", float(b), 0.5) for b in budgets]
    rows += [interval("uap", float(b), 0.3 + b / 10) for b in budgets]
    finding, found = judge(
        claim(expects="below", by="intervals", **DA_AND_UAP), {"t": table(*rows)}
    )
    assert len(found) == len(budgets)
    assert finding.text == text


def test_of_many_comparisons_the_extremes_are_those_of_differences():
    # Neither side alone is ordered as their difference is.
    values = [(0.5, 0.4), (0.9, 0.1), (0.8, 0.2), (0.1, 0.3), (0.95, 0.9), (0.2, 0.9), (0.05, 0.0)]
    rows = [interval("da", float(b), a) for b, (a, _) in enumerate(values)]
    rows += [interval("uap", float(b), value) for b, (_, value) in enumerate(values)]
    finding, _ = judge(claim(expects="below", by="intervals", **DA_AND_UAP), {"t": table(*rows)})
    assert finding.text == (
        "7 differences, -0.7 [budget = 5: da (0.2), uap (0.9)] "
        "to +0.8 [budget = 1: da (0.9), uap (0.1)]"
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


def test_of_failures_each_attack_is_named_and_each_reason_once():
    # Whatever failed counts, not only what has the largest budget of all that failed.
    reasons = {"uap": "no luck", "pgd": "no time", "noise": "no luck"}
    rows = [
        interval(attack, budget, np.nan) | {"failed": why}
        for budget, (attack, why) in enumerate(reasons.items())
    ]
    ends = {"a": {"budget": "largest"}, "b": {"budget": "smallest"}, "by": "intervals"}
    finding, found = judge(claim(expects="below", **ends), {"t": table(*rows)})
    assert finding == Finding("no luck; no time", failed=("uap", "pgd", "noise")) and found == []


def test_an_absolute_claim_needs_the_papers_data_and_scale():
    absolute = claim(expects="above", absolute=True)
    tables = {"t": samples(LOW, HIGH)}
    assert judge(absolute, tables)[0].verdict == "does not hold"
    found, _ = judge(absolute, tables, comparable=False)
    assert found.verdict.startswith("not comparable") and not found.contradicted


def test_nothing_to_compare_is_no_verdict():
    finding, found = judge(claim(expects="above"), {"t": table({"by": "c", "samples": LOW})})
    assert found == [] and finding.verdict == "can't be judged"


MEANS = "means by Welch's t-test, p < 0.05"


@pytest.mark.parametrize(
    ("values", "criterion"),
    [
        (
            {"a": {"weight": "smallest"}, "b": {"weight": "largest"}, "for_each": ["x"]},
            f"t: smallest weight no different from largest weight, for each x; {MEANS}",
        ),
        (
            {"a": {"attack": "da", "kind": "*"}, "b": {"attack": ["uap", "pgd"]}},
            f"t: da no different from uap or pgd; {MEANS}",
        ),
        (
            {"expects": "above", "a": {"attack": "da", "budget": 0.5}, "for_each": ["x", "y"]},
            f"t: da 0.5 above b, for each x and y; {MEANS}",
        ),
        (
            {"expects": "below", "level": 0.001},
            "t: a below b; means by Welch's t-test, p < 0.001",
        ),
        ({"by": "levene"}, "t: a no different from b; spreads by Levene's test, p < 0.05"),
        ({"by": "intervals"}, "t: a no different from b; 95 % intervals apart"),
    ],
)
def test_the_criterion_says_what_is_compared_and_how(values, criterion):
    assert claim(**{"expects": "alike"} | values).criterion == criterion


@pytest.mark.parametrize(
    ("place", "p", "text"),
    [
        ("", None, "da (0.1235), uap (1.235e-06)"),
        ("budget = 1", None, "budget = 1: da (0.1235), uap (1.235e-06)"),
        ("", 0.0, "da (0.1235), uap (1.235e-06), p = 0"),
        ("x", 0.01234, "x: da (0.1235), uap (1.235e-06), p = 0.012"),
    ],
)
def test_a_comparison_says_what_was_found(place, p, text):
    found = Compared(0.123456, 1.23456e-6, True, p=p)
    assert str(Comparison(claim(expects="above"), place, "da", "uap", found)) == text


@pytest.mark.parametrize(("comparisons", "reason"), [((1, -1), "too few images"), ((1, 0), "")])
def test_a_line_says_of_a_claim_what_was_found(comparisons, reason):
    one = claim(expects="above", reason="too few images")
    finding = Finding("a (1), b (2)", comparisons)
    assert verdict_line(one, finding, "digits") == {
        "claim": "c",
        "where": "figure 1",
        "paper": "a is larger",
        "criterion": f"t: a above b; {MEANS}",
        "reproduced": "a (1), b (2)",
        "verdict": finding.verdict,
        "likely reason": reason,
        "data": "digits",
    }


def test_claims_are_read_as_utf8_in_every_locale(tmp_path):
    path = tmp_path / "claims.yaml"
    text = "- {claim: c, where: § 4, statement: s, reads: t, a: {x: [1, 2.5]}, b: {x: true}, "
    path.write_text(f"{text}expects: above, by: welch}}", encoding="utf-8")
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        (found,) = read_claims(str(path))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert (found.where, found.a, found.b) == ("§ 4", {"x": [1, 2.5]}, {"x": True})


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
