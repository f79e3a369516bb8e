"""Claims judged on tables of runs that are made for it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from advsparse.evaluate.claims import Claim, Comparison, Measure, Reason, Setting
from advsparse.evaluate.judging import judge, judge_all
from advsparse.evaluate.verdicts import Class

N = 200
TEXT = {"claim": "c", "where": "figure 1", "statement": "a is larger"}


def claim(*parts, **values) -> Claim:
    return Claim(**TEXT, parts=list(parts), **values)


def compare(**values) -> Comparison:
    return Comparison(**{"reads": "t", "a": {"by": "a"}, "b": {"by": "b"}} | values)


def hits(share, count=N, start=0):
    """So many of the images, beginning with one of them."""
    return np.roll(np.arange(count) < round(share * count), start)


def table(*rows, **common):
    return {"t": pd.DataFrame([common | row for row in rows])}


def runs(*rows, count=3):
    return [table(*rows) for _ in range(count)]


A, B = {"by": "a", "samples": hits(0.7)}, {"by": "b", "samples": hits(0.4)}


def effects(found):
    return {str(one.key): one.effect for one in found.found}


@pytest.mark.parametrize(
    ("rows", "expects", "kind"),
    [
        ((A, B), "above", Class.SUPPORTED),
        ((A, B), "below", Class.CONTRADICTED),
        ((A, B), "alike", Class.CONTRADICTED),
        ((A, B), "not_below", Class.SUPPORTED),
        ((A, B), "not_above", Class.CONTRADICTED),
        ((A, A | {"by": "b"}), "alike", Class.SUPPORTED),
        ((A, A | {"by": "b"}), "above", Class.NO_DIFFERENCE),
        ((A, A | {"by": "b"}), "not_below", Class.SUPPORTED),
    ],
)
def test_rates_are_compared_as_the_claim_expects(rows, expects, kind):
    found = judge(claim(compare(expects=expects)), runs(*rows))
    assert found.verdict.kind is kind and found.verdict.runs == 3 and found.images == (N, N)


@pytest.mark.parametrize("expects", ["above", "below", "not_above"])
def test_an_effect_is_told_of_a_on_b_whatever_is_claimed(expects):
    a = np.r_[np.ones(30), np.zeros(70)]
    rows = {"by": "a", "samples": a}, {"by": "b", "samples": np.roll(a, 40)[::-1] * 0.5}
    part = compare(expects=expects, scale="difference", margin=0.1)
    (found,) = judge(claim(part), runs(*rows, count=1)).found
    low, high = (value if expects == "above" else -value for value in found.effect.interval)
    low, high = sorted((low, high))
    assert 0.05 < low < 0.15 < high < 0.26
    assert str(found) == f"+0.15 [{low:.3g}, {high:.3g}]"
    turned = compare(a={"by": "b"}, b={"by": "a"}, expects=expects, scale="difference", margin=0.1)
    (other,) = judge(claim(turned), runs(*rows, count=1)).found
    assert str(other).startswith("-0.15 [-0.2")


def test_one_number_of_a_run_is_told_without_an_interval():
    rows = {"by": "a", "samples": np.array(0.5)}, {"by": "b", "samples": np.array(0.2)}
    part = compare(scale="number", margin=0.1, expects="below")
    (found,) = judge(claim(part), runs(*rows, count=1)).found
    assert str(found) == "+0.3"
    rows = {"by": "a", "samples": np.array(3.0)}, {"by": "b", "samples": np.array(2.0)}
    (found,) = judge(claim(compare(scale="ratio")), runs(*rows, count=1)).found
    assert str(found) == "x 1.5"
    rows = {"by": "a", "samples": np.array(0.2)}, {"by": "b", "samples": np.array(0.2)}
    (found,) = judge(claim(part), runs(*rows, count=1)).found
    assert str(found) == "+0"


def test_effects_are_told_by_what_differs_between_them():
    table_rows = [A | {"metric": "one"}, B | {"metric": "one"}]
    table_rows += [A | {"metric": "other"}, B | {"metric": "other"}]
    parts = [compare(rows={"metric": metric, "by": "*"}) for metric in ("one", "other")]
    assert [*effects(judge(claim(*parts), runs(*table_rows)))] == [
        "a against b, one",
        "a against b, other",
    ]
    assert [*effects(judge(claim(parts[0]), runs(*table_rows)))] == ["a against b"]


def test_images_are_paired():
    """Of 40 % and 35 % the same images make a certain difference, others none."""
    order = np.random.default_rng(0).permutation(N)
    wide, part = (
        {"by": by, "samples": order < share * N} for by, share in (("a", 0.4), ("b", 0.35))
    )
    assert judge(claim(compare()), runs(wide, part, count=1)).verdict.kind is Class.SUPPORTED
    other = part | {"samples": np.roll(part["samples"], 1)}
    assert judge(claim(compare()), runs(wide, other, count=1)).verdict.kind is Class.UNDECIDED


def test_sides_of_other_images_are_no_pairs():
    with pytest.raises(ValueError, match="sides of 200 and 100 values can't be paired"):
        judge(claim(compare()), runs(A, B | {"samples": hits(0.4, 100)}))


def test_ratios_are_of_images_that_have_both_values():
    a = np.r_[2.0, 6.0, np.nan, 0.0, 5.0]
    b = np.r_[1.0, 3.0, 1.0, 1.0, np.nan]
    rows = {"by": "a", "samples": a}, {"by": "b", "samples": b}
    found = judge(claim(compare(scale="ratio", size=2.0)), runs(*rows))
    (one,) = found.found
    assert [*one.effect.runs[0]] == pytest.approx([math.log(2)] * 2)
    assert str(one) == "x 2 [2, 2]" and found.verdict.kind is Class.SUPPORTED
    assert found.images == (2, 2)
    below = judge(claim(compare(scale="ratio", expects="below")), runs(*rows))
    assert str(below.found[0]) == "x 2 [2, 2]" and below.verdict.kind is Class.CONTRADICTED


@pytest.mark.parametrize(
    ("scale", "expects", "size", "kind"),
    [
        ("ratio", "below", 0.5, Class.SUPPORTED),
        ("ratio", "below", 0.8, Class.DIRECTION),
        ("difference", "below", -2.0, Class.SUPPORTED),
        ("difference", "below", 2.0, Class.DIRECTION),
        ("difference", "above", 2.0, Class.CONTRADICTED),
    ],
)
def test_the_papers_size_is_of_a_on_b(scale, expects, size, kind):
    rows = [{"by": by, "samples": np.full(20, value)} for by, value in (("a", 2.0), ("b", 4.0))]
    part = compare(scale=scale, expects=expects, size=size, margin=0.1)
    assert judge(claim(part), runs(*rows)).verdict.kind is kind


def test_a_side_may_be_a_number():
    found = judge(claim(compare(b=0.7, expects="alike", margin=0.1)), runs(A))
    (one,) = found.found
    assert str(one.key) == "a against 0.7" and abs(one.effect.value) < 1e-12
    assert found.verdict.kind is Class.SUPPORTED


def test_one_number_a_run():
    def run(a, b):
        return table({"by": "a", "samples": np.array(a)}, {"by": "b", "samples": np.array([b])})

    part = compare(scale="number", margin=0.1)
    found = judge(claim(part, unit="run"), [run(1.0, 0.5), run(1.2, 0.6), run(1.1, 0.5)])
    assert found.verdict.kind is Class.SUPPORTED and found.images == (1, 1)
    alone = judge(claim(part, unit="run"), [run(1.0, 0.5)])
    assert alone.verdict.kind is Class.UNDECIDED and str(alone.found[0]) == "+0.5"


# Which rows.


def row(share, **columns):
    return columns | {"samples": hits(share)}


def test_each_row_of_a_is_compared_with_each_of_b_that_shares_its_place():
    rows = [
        row(0.5, by="a", budget=1),
        row(0.2, by="b", budget=1, name="x"),
        row(0.3, by="b", budget=1, name="y"),
        row(0.6, by="a", budget=2),
        row(0.1, by="b", budget=2, name="x"),
        row(0.9, by="c", budget=2),
    ]
    found = judge(claim(compare(b={"by": "b", "name": "*"}, for_each=["budget"])), runs(*rows))
    assert {key: round(one.value, 3) for key, one in effects(found).items()} == {
        "budget 1: a against b, x": 0.3,
        "budget 1: a against b, y": 0.2,
        "budget 2: a against b, x": 0.5,
    }


def test_extremes_are_called_so_whichever_row_they_are():
    first = table(row(0.9, weight=1.0), row(0.5, weight=0.1), row(0.2, weight=0.01))
    second = table(row(0.8, weight=0.1), row(0.2, weight=0.01))
    part = compare(a={"weight": "largest"}, b={"weight": "smallest"})
    found = judge(claim(part), [first, second])
    assert [*effects(found)] == ["largest weight against smallest weight"]
    assert found.found[0].effect.value == pytest.approx(0.65) and found.verdict.runs == 2
    # One that is both is compared with nothing.
    alone = judge(claim(part), [table(row(0.9, weight=1.0))])
    assert str(alone.verdict) == "not judged: nothing to compare"


def test_rows_that_are_told_alike_are_no_more_runs():
    found = judge(claim(compare()), runs(A, B, B, A))
    assert len(found.found) == 4 and {len(one.effect.runs) for one in found.found} == {3}
    assert "a against b (4)" in effects(found)


def test_words_and_lists_choose_rows():
    rows = [row(0.5, by="a"), row(0.2, by="b_one"), row(0.3, by="b_two"), row(0.1, by="c")]
    found = judge(claim(compare(b={"by": "b_*"})), runs(*rows))
    assert [*effects(found)] == ["a against b_one", "a against b_two"]
    found = judge(claim(compare(b={"by": ["c", "b_one"]})), runs(*rows))
    assert [*effects(found)] == ["a against b_one", "a against c"]
    marked = [row(0.5, best=True, by="a"), row(0.2, best=False, by="b")]
    found = judge(claim(compare(a={"best": True}, b={"best": False, "by": "*"})), runs(*marked))
    assert [*effects(found)] == ["best against b"]


def test_a_curve_is_its_mean():
    rows = [row(0.4, by="a", budget=1), row(0.6, by="a", budget=2)]
    rows += [row(0.3, by="b", budget=1), row(0.3, by="b", budget=2)]
    found = judge(claim(compare(over=["budget"])), runs(*rows))
    ((key, effect),) = effects(found).items()
    assert key == "a against b" and effect.value == pytest.approx(0.2)
    assert set(np.unique(effect.runs[0])) == {0.0, 0.5, 1.0}


def test_runs_are_crossed_with_those_who_judge():
    """Two runs, each of whose attacks two classifiers judge."""
    shares = {1: [(0.9, 0.2), (0.7, 0.2)], 2: [(0.5, 0.1), (0.6, 0.5)]}
    tables = [
        table(*(row(share, by=by, judge=judge)
                for judge, pair in enumerate(shares[run])
                for by, share in zip("ab", pair, strict=True)))
        for run in (1, 2)
    ]  # fmt: skip
    found = judge(claim(compare(crossed="judge")), tables)
    ((key, effect),) = effects(found).items()
    assert key == "a against b" and len(effect.runs) == 2
    np.testing.assert_allclose(effect.crossed, [[0.7, 0.5], [0.4, 0.1]])
    assert effect.value == pytest.approx(0.425) and effect.runs[0].mean() == pytest.approx(0.6)
    below = judge(claim(compare(crossed="judge", expects="below")), tables)
    np.testing.assert_allclose(below.found[0].effect.crossed, -effect.crossed)
    # One judge alone crosses nothing.
    alone = judge(claim(compare(crossed="judge")), [table(A | {"judge": 0}, B | {"judge": 0})] * 3)
    assert alone.found[0].effect.crossed is None and alone.found[0].effect.unit == "rate"


def test_a_trend_rises_as_a_whole_and_takes_no_step_back():
    def verdict(*shares, expects="above"):
        rows = [row(share, atoms=2**index) for index, share in enumerate(shares)]
        part = compare(a={}, b={}, along="atoms", expects=expects)
        return judge(claim(part), runs(*rows[::-1]))

    found = verdict(0.2, 0.4, 0.6)
    assert found.verdict.kind is Class.SUPPORTED
    assert {key: round(one.value, 3) for key, one in effects(found).items()} == {
        "atoms 1 to atoms 4": 0.4,
        "atoms 1 to atoms 2": 0.2,
        "atoms 2 to atoms 4": 0.2,
    }
    assert verdict(0.2, 0.5, 0.4, 0.6).verdict.kind is Class.CONTRADICTED
    assert verdict(0.6, 0.4, 0.2, expects="below").verdict.kind is Class.SUPPORTED
    assert verdict(0.6, 0.2, 0.4, expects="below").verdict.kind is Class.CONTRADICTED
    assert verdict(0.5, 0.49, 0.6).verdict.kind is Class.SUPPORTED  # within the margin
    two = verdict(0.2, 0.4)
    assert [*effects(two)] == ["atoms 1 to atoms 2"] and len(two.found) == 1
    assert [one.measure.expects for one in found.found] == ["above", "not_below", "not_below"]
    assert verdict(0.2).verdict.kind is Class.FAILED


def test_the_trend_of_ratios_is_of_images_with_all_values():
    rows = [
        {
            "atoms": atoms,
            "samples": np.array([value, value, np.nan if atoms == 4 else 1.0, atoms - 1.0]),
        }
        for atoms, value in ((1, 1.0), (4, 3.0), (2, 2.0))
    ]
    part = compare(a={}, b={}, along="atoms", scale="ratio")
    (trend, *_) = judge(claim(part), runs(*rows)).found
    assert [*trend.effect.runs[0]] == pytest.approx([math.log(3)] * 2)


# Both coordinates, one of two, one point of many.


def plane(by, rate, size, **columns):
    there = hits(rate)
    yield columns | {"by": by, "metric": "rate", "samples": there}
    yield columns | {"by": by, "metric": "size", "samples": np.where(there, size, np.nan)}


RATE = {"rows": {"metric": "rate"}}
SIZE = Measure(rows={"metric": "size"}, expects="below", scale="ratio")


@pytest.mark.parametrize(
    ("rate", "size", "kind"),
    [
        (0.5, 0.5, Class.SUPPORTED),
        (0.48, 0.5, Class.SUPPORTED),  # as often, to within the margin
        (0.3, 0.5, Class.CONTRADICTED),
        (0.8, 2.0, Class.CONTRADICTED),
    ],
)
def test_a_trade_off_is_better_on_both_coordinates(rate, size, kind):
    rows = [*plane("a", rate, size), *plane("b", 0.5, 1.0)]
    part = compare(**RATE, expects="not_below", and_also=[SIZE])
    assert judge(claim(part), runs(*rows)).verdict.kind is kind


@pytest.mark.parametrize(
    ("rate", "size", "kind"),
    [
        (0.8, 2.0, Class.SUPPORTED),
        (0.2, 0.5, Class.SUPPORTED),
        (0.5, 1.0, Class.CONTRADICTED),
        (0.3, 2.0, Class.CONTRADICTED),
    ],
)
def test_what_is_beaten_on_no_coordinate(rate, size, kind):
    rows = [*plane("a", rate, size), *plane("b", 0.5, 1.0)]
    assert judge(claim(compare(**RATE, or_else=[SIZE])), runs(*rows)).verdict.kind is kind


def test_one_point_of_a_curve_is_enough_and_all_are_needed_against_it():
    better, worse = {"rate": 0.6, "size": 0.5}, {"rate": 0.2, "size": 2.0}

    def verdict(*points):
        rows = [row for n, p in enumerate(points) for row in plane("a", **p, name=str(n))]
        part = compare(
            a={"by": "a", "name": "*"}, **RATE, expects="not_below", and_also=[SIZE], one_of="a"
        )
        return judge(claim(part), runs(*rows, *plane("b", 0.5, 1.0))).verdict.kind

    assert verdict(better, worse) is Class.SUPPORTED
    assert verdict(worse, worse) is Class.CONTRADICTED


def test_the_best_of_many_points_is_paid_for():
    """Twenty points without an effect: the best of them is none, or more would be supported."""
    rng = np.random.default_rng(0)
    supported = 0
    for _ in range(60):
        rows = [{"by": "a", "name": str(n), "samples": rng.random(60) < 0.5} for n in range(20)]
        rows.append({"by": "b", "samples": rng.random(60) < 0.5})
        part = compare(a={"by": "a", "name": "*"}, one_of="a")
        supported += judge(claim(part), [table(*rows)]).verdict.kind is Class.SUPPORTED
    assert supported <= 8  # of 60, at 5 % each; without the correction it is about 20


# What the paper leaves open, what failed, what is no evidence.


def test_a_verdict_for_each_value_of_what_is_open():
    rows = [row(0.5, by="a", budget=1), row(0.2, by="b", budget=1)]
    opened = Setting(column="budget", says="the budget")
    same = [*rows, row(0.5, by="a", budget=2), row(0.3, by="b", budget=2)]
    found = judge(claim(compare(), open=opened), runs(*same))
    assert found.verdict.kind is Class.SUPPORTED
    assert [*effects(found)] == ["budget 1: a against b", "budget 2: a against b"]
    other = [*rows, row(0.2, by="a", budget=2), row(0.5, by="b", budget=2)]
    found = judge(claim(compare(), open=opened), runs(*other))
    assert str(found.verdict) == "depends on a setting the paper leaves open: the budget"
    assert judge(claim(compare()), runs(*other)).verdict.kind is Class.CONTRADICTED


def test_what_is_open_may_be_a_word_and_concern_some_tables_alone():
    rows = [
        row(share, by=by, kind=kind, budget=budget)
        for kind in ("new", "old")
        for budget in (1, 2)
        for by, share in (("a", 0.5), ("b", 0.2))
    ]
    other = compare(reads="u", a={"by": "c"}, b={"by": "d"})
    parts = [compare(for_each=["budget"]), other]
    tables = {**table(*rows), "u": table(row(0.6, by="c"), row(0.1, by="d"))["t"]}
    found = judge(claim(*parts, open=Setting(column="kind", says="the kind")), [tables] * 3)
    assert found.verdict.kind is Class.SUPPORTED
    assert [*effects(found)] == [
        "new, budget 1: a against b",
        "new, budget 2: a against b",
        "new: c against d",
        "old, budget 1: a against b",
        "old, budget 2: a against b",
        "old: c against d",
    ]


def test_all_that_failed_of_a_claim_is_named():
    def failed(attack, **columns):
        return columns | {"attack": attack, "failed": "no luck"}

    part = compare(a={"weight": "largest"}, b={"weight": "smallest"}, rows={"metric": "rate"})
    grid = [row(0.9, weight=1.0, metric="rate"), row(0.2, weight=0.5, metric="rate")]
    # Which of them would have been the largest is not known, and of one no column but the weight.
    lost = table(
        *grid,
        failed("cw", weight=0.1, metric="rate"),
        failed("pgd", weight=0.2, metric=None),
    )
    found = judge(claim(part), [*[table(*grid)] * 2, lost])
    assert found.verdict.runs == 2 and found.without == ("run 2: cw, pgd failed",)
    called = table(*grid, failed("cw", weight=0.1, metric="rate", called="cw of one network"))
    assert judge(claim(part), [*[table(*grid)] * 2, called]).without == (
        "run 2: cw of one network failed",
    )


def test_what_failed_is_looked_for_in_each_table():
    parts = [compare(), compare(reads="u")]
    good = {**table(A, B), "u": table(A, B)["t"]}
    lost = {**table(A, B), "u": table(A, {"by": "b", "attack": "cw", "failed": "no luck"})["t"]}
    found = judge(claim(*parts), [good, good, good, lost])
    assert found.verdict.runs == 3 and found.without == ("run 3: cw failed",)


def test_runs_in_which_something_failed_are_left_out():
    lost = table(A | {"failed": None}, {"by": "b", "attack": "cw", "failed": "no luck"})
    elsewhere = table(A, B, {"by": "c", "attack": "pgd", "failed": "no luck"})
    found = judge(claim(compare()), [*runs(A, B, count=2), lost, elsewhere])
    assert found.verdict.runs == 3 and found.without == ("run 2: cw failed",)
    none = judge(claim(compare()), [lost, "uap", lost])
    assert str(none.verdict) == "not judged: cw, uap failed" and none.found == none.without == ()
    assert judge(claim(compare()), [{}]).verdict.what == "nothing was measured"


def test_a_run_without_any_table_is_left_out_and_named():
    found = judge(claim(compare()), ["uap", *runs(A, B, count=3), "cw, pgd"])
    assert found.verdict == judge(claim(compare()), runs(A, B, count=3)).verdict
    assert found.without == ("run 0: uap failed", "run 4: cw, pgd failed")
    # One that is made less often than others has not failed there.
    assert judge(claim(compare()), [*runs(A, B, count=3), {}, "cw"]).without == (
        "run 4: cw failed",
    )


def test_a_claim_one_part_of_which_can_not_be_seen_is_not_judged_by_the_rest():
    rows = [*plane("a", 0.5, 0.5), *plane("b", 0.0, 1.0)]  # no image that both fool
    rate, size = compare(**RATE), compare(rows={"metric": "size"}, scale="ratio", expects="below")
    assert judge(claim(rate), runs(*rows)).verdict.kind is Class.SUPPORTED
    found = judge(claim(rate, size), runs(*rows))
    assert str(found.verdict) == "not judged: nothing to compare" and found.images == (0, 0)


def test_pairs_that_not_all_runs_have_are_left_out_unless_none_is_left():
    part = compare(b={"by": "b", "name": "*"})
    some = table(A, B | {"name": "x"}, B | {"name": "y"})
    fewer = table(A, B | {"name": "x"})
    assert [*effects(judge(claim(part), [some, fewer]))] == ["a against b, x"]
    apart = judge(claim(part), [fewer, table(A, B | {"name": "y"})])
    assert [*effects(apart)] == ["a against b, x", "a against b, y"] and apart.verdict.runs == 1


def test_the_papers_own_number_needs_its_data():
    part = compare(b=0.7, expects="alike")
    found = judge(claim(part, absolute=True), runs(A), comparable=False)
    assert str(found.verdict) == "not comparable" and found.found and found.verdict.runs == 3
    assert judge(claim(part, absolute=True), runs(A)).verdict.kind is Class.SUPPORTED
    assert judge(claim(part), runs(A), comparable=False).verdict.kind is Class.SUPPORTED


def test_a_reason_is_given_where_it_was_seen_and_is_called_for():
    seen = Reason(says="because", shown_by=[compare(a={"by": "b"}, b={"by": "a"})])
    not_seen = Reason(says="perhaps", shown_by=[compare()])
    nowhere = Reason(says="elsewhere", shown_by=[compare(reads="none")])
    reasons = [seen, not_seen, nowhere]
    against = runs(A | {"samples": hits(0.2)}, B)
    assert judge(claim(compare(), reasons=reasons), against).reasons == ("because",)
    assert judge(claim(compare(expects="below"), reasons=reasons), against).reasons == ()


def test_a_reason_that_reads_what_failed_is_not_given():
    lost = Reason(says="because", shown_by=[compare(a={"by": "b"}, b={"by": "c"})])
    against = runs(A | {"samples": hits(0.2)}, B, {"by": "c", "failed": "no luck"})
    found = judge(claim(compare(), reasons=[lost]), against)
    assert found.verdict.kind is Class.CONTRADICTED and found.reasons == ()


def test_a_discovery_is_one_among_all_claims_of_a_paper():
    # Of 22 images that disagree 16 speak for it: p = 0.026.
    weak = [{"by": "a", "samples": hits(16 / 60, 60)}, {"by": "b", "samples": hits(0.1, 60, 20)}]
    alone = judge(claim(compare()), [table(*weak)])
    assert 0.01 < alone.verdict.p < 0.05
    nothing = [row(0.5, by="a"), {"by": "b", "samples": hits(0.5, start=N // 2)}]
    tables = {"weak": [table(*weak)], "nothing": [table(*nothing)]}
    names = ["weak", *["nothing"] * 5, "lost"]
    claims = [claim(compare(), unit=name) for name in names]
    found = judge_all(claims, lambda one: tables.get(one.unit, ["cw"]), lambda one: True)
    assert [one.verdict.kind for one in found[:6]] == [Class.UNDECIDED] * 6
    assert str(found[-1].verdict) == "not judged: cw failed"
    (only,) = judge_all(claims[:1], lambda one: tables[one.unit], lambda one: True)
    assert only.verdict == alone.verdict


def test_reasons_go_with_the_decision_that_they_are_of():
    seen = Reason(says="because", shown_by=[compare(a={"by": "b"}, b={"by": "a"})])
    # Of 22 images that disagree 16 speak against it: enough alone, and not among many.
    weak = [{"by": "b", "samples": hits(16 / 60, 60)}, {"by": "a", "samples": hits(0.1, 60, 20)}]
    nothing = [row(0.5, by="a"), {"by": "b", "samples": hits(0.5, start=N // 2)}]
    tables = {"weak": [table(*weak)], "nothing": [table(*nothing)]}
    claims = [claim(compare(), unit=name, reasons=[seen]) for name in ["weak", *["nothing"] * 5]]
    (alone,) = judge_all(claims[:1], lambda one: tables[one.unit], lambda one: True)
    assert alone.verdict.kind is Class.CONTRADICTED and alone.reasons == ("because",)
    among = judge_all(claims, lambda one: tables[one.unit], lambda one: True)[0]
    assert among.verdict.kind is Class.UNDECIDED and among.reasons == ()
    assert among.claim is claims[0] and among.found and among.images == (60, 60)


def test_each_claim_says_whether_its_data_is_the_papers():
    part = compare(b=0.7, expects="alike")
    claims = [claim(part, absolute=True, unit=name) for name in ("ours", "theirs", "lost")]
    found = judge_all(
        claims,
        lambda one: ["cw"] if one.unit == "lost" else runs(A),
        lambda one: one.unit == "theirs",
    )
    assert [str(one.verdict) for one in found] == [
        "not comparable",
        "supported",
        "not judged: cw failed",
    ]
    assert [one.claim for one in found] == claims
