"""The verdicts on frecon2021's claims, on points made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import judge, read_claims
from advsparse.evaluate.findings import Finding
from advsparse.evaluate.statistics import proportion
from papers.frecon2021.found import COMPROMISE, nearest, tables
from papers.frecon2021.points import experiment_table

CLAIMS = {
    claim.claim: claim
    for claim in read_claims(WORKFLOW / "papers/frecon2021/reference/claims.yaml")
}
OF_ATTACKS = sorted(set(CLAIMS) - {"accuracy"})
PAPER = {"of": "paper", "value": 0.628, "low": 0.628, "high": 0.628}


def point(kind, rate, rmse, name=None, dead=None, spread=0.05, **settings):
    name = name or kind
    return {
        "id": f"{name}/{rate}-{rmse}",
        "name": name,
        "kind": kind,
        "norm": "l2",
        "lambda1": settings.get("lambda1"),
        "lambda2": settings.get("lambda2"),
        "atoms": settings.get("atoms", 8 if kind == "scada" else None),
        "fooling_rate": rate,
        "fooling_rate_low": rate - spread,
        "fooling_rate_high": rate + spread,
        "rmse": rmse,
        "rmse_low": 0.95 * rmse,
        "rmse_high": 1.05 * rmse,
        "active_atoms": settings.get("active", 3.0),
        "active_atoms_low": settings.get("active", 3.0) - 0.3,
        "active_atoms_high": settings.get("active", 3.0) + 0.3,
        "n": 128,
        "failed": None,
        "dead_start": dead if dead is not None else (0.0 if kind == "scada" else None),
    }


def grid(rate, rmse, dead=0.0):
    """A grid whose fooling rate and rMSE are functions of lambda1 and lambda2."""
    return [
        point("scada", rate(a, b), rmse(a, b), dead=dead, lambda1=a, lambda2=b)
        for a in (0.01, 0.1)
        for b in (0.001, 0.1)
    ]


def judged(name, table, sweep=(), hits=(), comparable=True) -> Finding:
    sweep = list(sweep) or [point("scada", 0.0, 0.0, dead=1.0, atoms=1)]
    accuracies = [{"of": "reproduced", **proportion(hits)._asdict()}, PAPER]
    found = tables(pd.DataFrame(table), pd.DataFrame(sweep), table[0]["id"], accuracies)
    return judge(CLAIMS[name], found, comparable)[0]


AS_CLAIMED = grid(
    lambda a, b: 0.5 + 2 * a - 3 * b + (0.2 if b < 0.01 else 0),
    lambda a, b: 0.01 * (1 + 9 * a) / (1 + 9 * b),
)
DEAD = grid(lambda a, b: 0.0, lambda a, b: 0.0, dead=1.0)
OTHERS = [
    point("fgsm", 0.2, 0.001),
    point("pgd", 0.25, 0.002, name="pgd_l2"),
    point("deepfool", 0.3, 0.003),
    point("uap", 0.55, 0.05),
]


@pytest.mark.parametrize("name", sorted(set(OF_ATTACKS) - {"tradeoff_specific"}))
def test_data_made_as_the_paper_claims_holds(name):
    sweep = [point("scada", 0.5, 0.03, atoms=1), point("scada", 0.9, 0.01, atoms=32)]
    assert judged(name, AS_CLAIMED + OTHERS, sweep).verdict.startswith("holds"), name


@pytest.mark.parametrize("name", OF_ATTACKS)
@pytest.mark.parametrize("table", [DEAD, DEAD + OTHERS, AS_CLAIMED[:1]], ids=len)
def test_dead_starts_and_single_points_are_no_evidence(name, table):
    found = judged(name, table, [point("scada", 0.0, 0.0, dead=1.0, atoms=m) for m in (1, 2)])
    expected = "can't be judged"
    if name == "universal" and len(table) > 4:
        expected = "holds"
    if name == "sparse_codes" and table is not DEAD and not table[0]["dead_start"]:
        expected = "holds"
    assert found.verdict == expected


@pytest.mark.parametrize("missing", ["fgsm", "pgd", "deepfool", "uap"])
@pytest.mark.parametrize("name", OF_ATTACKS)
def test_attacks_may_be_left_out(missing, name):
    table = AS_CLAIMED + [other for other in OTHERS if other["kind"] != missing]
    assert judged(name, table, [point("scada", 0.5, 0.01, atoms=1)]).verdict


def test_accuracy_is_beside_the_papers_where_that_may_be_compared():
    hits = np.arange(1000) < 620
    assert judged("accuracy", AS_CLAIMED, hits=hits).verdict == "holds"
    assert judged("accuracy", AS_CLAIMED, hits=~hits).verdict == "does not hold"
    elsewhere = judged("accuracy", AS_CLAIMED, hits=~hits, comparable=False)
    assert elsewhere.verdict.startswith("not comparable") and not elsewhere.contradicted
    assert elsewhere.text == "reproduced (0.38), paper (0.628)"


def test_points_nearer_than_all_of_scada_are_counted_apart():
    found = judged("tradeoff_specific", AS_CLAIMED + OTHERS)
    assert found.verdict == "can't be judged"
    assert found.text == "nothing to compare; 3 without a counterpart"
    beaten = point("deepfool", 0.2, 0.04, name="weak")
    assert judged("tradeoff_specific", [*AS_CLAIMED, *OTHERS, beaten]).verdict == "holds"
    better = point("deepfool", 1.0, 0.04, name="strong")
    found = judged("tradeoff_specific", [*AS_CLAIMED, *OTHERS, beaten, better])
    assert found.verdict == "mixed: 1 for, 1 against, 0 within the noise"


def test_a_compromise_that_others_match_nearer_by_is_none():
    compromise = point("scada", 0.8, 0.03, lambda1=0.1, lambda2=0.001)
    weaker = point("scada", 0.5, 0.01, lambda1=0.01, lambda2=0.001)
    assert judged("compromise", [compromise, weaker]).verdict == "holds"
    nearer = point("scada", 0.8, 0.01, lambda1=0.01, lambda2=0.1)
    assert judged("compromise", [compromise, weaker, nearer]).verdict == "does not hold"


def test_specific_attacks_that_fool_more_often_speak_against_the_claim():
    strong = [point("deepfool", 1.0, 0.003)]
    assert judged("specific", AS_CLAIMED + strong).verdict == "does not hold"
    mixed = judged("specific", AS_CLAIMED + strong + OTHERS[:1])
    assert mixed.verdict == "mixed: 1 for, 1 against, 0 within the noise"


def test_differences_within_the_intervals_decide_nothing():
    flat = grid(lambda a, b: 0.5 + a / 100, lambda a, b: 0.01 + a / 1e4)
    for name in ("lambda1", "lambda2"):
        assert judged(name, flat).verdict == "within the noise"
    sweep = [point("scada", 0.70, 0.010, atoms=1), point("scada", 0.72, 0.010, atoms=32)]
    for name in ("atoms_fool", "atoms_near"):
        assert judged(name, AS_CLAIMED, sweep).verdict == "within the noise"


@pytest.mark.parametrize("name", ["atoms_fool", "atoms_near"])
def test_more_atoms_must_fool_more_and_be_nearer(name):
    one, many = point("scada", 0.5, 0.03, atoms=1), point("scada", 0.9, 0.01, atoms=32)
    assert judged(name, AS_CLAIMED, [many, one]).verdict == "holds"
    dead = point("scada", 0.0, 0.0, dead=1.0, atoms=64)
    assert judged(name, AS_CLAIMED, [many, one, dead]).verdict == "holds"
    worse = point("scada", 0.2, 0.09, atoms=64)
    assert judged(name, AS_CLAIMED, [many, one, worse]).verdict == "does not hold"


def test_a_claim_is_not_judged_where_an_attack_that_it_needs_has_failed():
    failed = point("fgsm", float("nan"), float("nan")) | {"failed": "RuntimeError: no luck"}
    table = [*AS_CLAIMED, failed, *OTHERS[1:]]
    sweep = [point("scada", 0.5, 0.03, atoms=1), point("scada", 0.9, 0.01, atoms=32)]
    found = {name: judged(name, table, sweep) for name in OF_ATTACKS}
    lost = {"specific", "universal", "tradeoff_specific"}
    assert {name for name in found if found[name].failed} == lost
    assert found["specific"].verdict == "not judged: fgsm/nan-nan failed"
    assert found["specific"].text == "RuntimeError: no luck"


@pytest.mark.parametrize("name", OF_ATTACKS)
def test_no_claim_is_judged_where_all_attacks_have_failed(name):
    lost = {"failed": "RuntimeError: no luck", "fooling_rate": None, "rmse": None}
    table = [one | lost for one in AS_CLAIMED + OTHERS]
    assert judged(name, table, [point("scada", 0.5, 0.03, atoms=1) | lost]).failed


def test_half_of_the_atoms_is_half_of_those_learned():
    many = [point("scada", 0.9, 0.01, lambda1=0.1, lambda2=0.1, atoms=32, active=12.0)]
    assert judged("sparse_codes", many).verdict == "holds"
    few = [point("scada", 0.9, 0.01, lambda1=0.1, lambda2=0.1, atoms=8, active=7.0)]
    assert judged("sparse_codes", few).verdict == "does not hold"


def test_experiment_table_reads_rows_of_several_models():
    def row(model, attack, metric, value):
        return {
            "model": model,
            "attacked": "" if attack == "none" else "a",
            "attack": attack,
            "metric": metric,
            "value": value,
            "ci_low": 0.0,
            "ci_high": 1.0,
            "n": 128,
            "note": "",
        }

    rows = pd.DataFrame(
        [row(model, "none", "accuracy", 0.5) for model in ("a", "b")]
        + [row("a", "fgsm", metric, 0.25) for metric in ("fooling_rate", "rmse")]
        + [row("b", "fgsm", "fooling_rate", 0.75)]  # carried over, which the paper knows nothing of
    )
    points = [{"id": "fgsm", "name": "fgsm", "kind": "fgsm", "settings": {"norm": "linf"}}]
    (line,) = experiment_table(rows, points).to_dict("records")
    assert line["fooling_rate"] == 0.25 and line["fooling_rate_high"] == 1.0
    assert line["norm"] == "linf" and line["active_atoms"] is None


# ------------------------------------------------------------------------------ rows of the tables

NAN, NO_LUCK = float("nan"), "RuntimeError: no luck"
MEASURED = ("attack", "value", "low", "high", "n", "failed")


def failed_point(kind, name=None):
    return point(kind, NAN, NAN, name=name) | {"failed": NO_LUCK, "dead_start": None}


# SCADA's compromise is the first of PLANTED; OFTEN fools as often and is nearer.
PAPERS = point("scada", 0.5, 0.02, lambda1=0.1, lambda2=0.001)
BEST = point("scada", 0.6, 0.03, lambda1=0.01, lambda2=0.1)
OFTEN = point("scada", 0.5, 0.015, lambda1=0.01, lambda2=0.001)
SELDOM = point("scada", 0.3, 0.001, lambda1=0.01, lambda2=0.01)
BURIED = point("scada", 0.9, 0.0001, dead=1.0, lambda1=0.1, lambda2=0.001)
LOST = failed_point("scada")
PLANTED = [PAPERS, BEST, OFTEN, SELDOM, BURIED, LOST]
WEAK, STRONG = point("fgsm", 0.2, 0.002), point("fgsm", 0.4, 0.01)
AS_FAR = point("fgsm", 0.8, 0.02)
NEAREST = point("deepfool", 0.1, 0.0005)
LOST_PGD = failed_point("pgd", "pgd_l2")
UNIVERSAL, LOST_UAP = point("uap", 0.45, 0.02), failed_point("uap", "uap_lost")
ALL = [*PLANTED, WEAK, STRONG, AS_FAR, NEAREST, LOST_PGD, UNIVERSAL, LOST_UAP]


def rows(name, points, *columns, shown=0, sweep=(PAPERS,), accuracies=(PAPER,)):
    """The rows of a table as tuples, of its columns, which are all named; None is missing."""
    shown = points[shown]["id"]
    table = tables(pd.DataFrame(points), pd.DataFrame(sweep), shown, accuracies)[name]
    assert set(table) == set(columns if len(table) else ())
    table = table.astype(object).where(table.notna(), None)
    return list(table.reindex(columns=columns).itertuples(index=False, name=None))


def measured(one, metric):
    """What a table says of a point under MEASURED."""
    return (one["id"], one[metric], one[f"{metric}_low"], one[f"{metric}_high"], 128, None)


def not_measured(one):
    return (one["id"], None, None, None, None, NO_LUCK)


def test_the_accuracies_are_the_rows_that_are_given():
    assert rows("accuracies", ALL, *PAPER) == [tuple(PAPER.values())]


@pytest.mark.parametrize("shown", [0, 4])
def test_codes_are_those_of_the_shown_point_unless_it_is_dead(shown):
    columns = ("of", *MEASURED) if shown == 0 else ("of", "value", "low", "high")
    halves = ("half of the atoms", *[None] * (shown == 0), 4, 4, 4, *[None, None] * (shown == 0))
    active = ("active atoms", *measured(PAPERS, "active_atoms"))
    assert rows("codes", ALL, *columns, shown=shown) == [*[active] * (shown == 0), halves]


@pytest.mark.parametrize("name", ["grid", "sweep"])
def test_grid_and_sweep_have_each_metric_of_each_live_point(name):
    grid, sweep = (ALL, (BEST,)) if name == "grid" else ([BEST], PLANTED)
    columns = ("lambda1", "lambda2", "atoms", "metric", *MEASURED)
    assert rows(name, grid, *columns, sweep=sweep) == [
        (one["lambda1"], one["lambda2"], one["atoms"], metric, *measured(one, metric))
        for one in (PAPERS, BEST, OFTEN, SELDOM)
        for metric in ("fooling_rate", "rmse")
    ] + [
        (None, None, 8, metric, LOST["id"], None, None, None, 128, NO_LUCK)
        for metric in ("fooling_rate", "rmse")
    ]


def test_the_compromise_is_beside_the_nearest_of_those_that_fool_as_often():
    assert rows("as_often", ALL, "of", *MEASURED) == [
        ("SCADA's compromise", *not_measured(LOST)),
        ("SCADA's compromise", *measured(PAPERS, "rmse")),
        ("the least of others that fool as often", *measured(OFTEN, "rmse")),
    ]


def test_where_no_other_fools_as_often_the_least_is_infinite():
    assert rows("as_often", [PAPERS, SELDOM], "of", *MEASURED) == [
        ("SCADA's compromise", *measured(PAPERS, "rmse")),
        ("the least of others that fool as often", "none", *[np.inf] * 3, None, None),
    ]


def test_a_compromise_alone_is_beside_nothing():
    assert rows("as_often", [PAPERS, BURIED]) == []


def test_attacks_are_compared_at_their_strongest_that_is_nearer_than_the_compromise():
    assert rows("nearer", ALL, "of", "opponent", *MEASURED) == [
        ("SCADA's compromise", "SCADA", *not_measured(LOST)),
        ("the attack", "an attack", *not_measured(LOST_PGD)),
        ("SCADA's compromise", "fgsm", *measured(PAPERS, "fooling_rate")),
        ("the attack", "fgsm", *measured(STRONG, "fooling_rate")),
        ("SCADA's compromise", "deepfool", *measured(PAPERS, "fooling_rate")),
        ("the attack", "deepfool", *measured(NEAREST, "fooling_rate")),
    ]


def test_strongest_has_both_metrics_of_each_attack_where_it_fools_most():
    assert rows("strongest", ALL, "group", "name", "metric", *MEASURED) == [
        ("universal", "", "", *not_measured(LOST_UAP)),
        ("universal", "uap", "fooling_rate", *measured(UNIVERSAL, "fooling_rate")),
        ("universal", "uap", "rmse", *measured(UNIVERSAL, "rmse")),
        ("specific", "", "", *not_measured(LOST_PGD)),
        ("specific", "fgsm", "fooling_rate", *measured(AS_FAR, "fooling_rate")),
        ("specific", "fgsm", "rmse", *measured(AS_FAR, "rmse")),
        ("specific", "deepfool", "fooling_rate", *measured(NEAREST, "fooling_rate")),
        ("specific", "deepfool", "rmse", *measured(NEAREST, "rmse")),
    ]


def test_attacks_are_beside_scadas_best_that_is_no_further():
    def both(group, attack, best):
        yield "the attack", group, attack["id"], *measured(attack, "fooling_rate")
        if best:
            yield "SCADA's best", group, attack["id"], *measured(best, "fooling_rate")

    def lost(group, attack):
        yield "SCADA's best", group, "SCADA", *not_measured(LOST)
        yield "the attack", group, "an attack", *not_measured(attack)

    assert rows("no_further", ALL, "of", "group", "opponent", *MEASURED) == [
        *lost("universal", LOST_UAP),
        *both("universal", UNIVERSAL, PAPERS),
        *lost("specific", LOST_PGD),
        *both("specific", WEAK, SELDOM),
        *both("specific", STRONG, SELDOM),
        *both("specific", AS_FAR, PAPERS),
        *both("specific", NEAREST, None),
    ]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([(0.05, 0.001), (0.16, 0.001)], 1),
        ([(0.1, 0.0005), (0.1, 0.0016)], 1),
        ([(0.01, 0.01), (0.1, 0.05)], 1),
        # A weight of 0 is a long way off, but not so far that the other no longer counts.
        ([(0, 0.001), (0.01, 0.1)], 1),
        ([(0, 0.1), (0, 0.001)], 1),
        ([(1e-11, 0.001), (0, 0.001)], 0),
    ],
)
def test_the_nearest_point_is_so_by_ratios(weights, expected):
    grid = pd.DataFrame([{"lambda1": a, "lambda2": b} for a, b in weights])
    assert nearest(grid, COMPROMISE).name == expected
