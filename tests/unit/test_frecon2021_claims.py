"""What the claims of frecon2021 read, and the verdicts on data made as the paper says, or not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import ROW_COLUMNS, make_metadata, write_arrays, write_rows
from advsparse.config.loading import WORKFLOW
from advsparse.errors import ArtifactError
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.judging import judge
from advsparse.evaluate.verdicts import Class
from papers.frecon2021.found import (
    COMPROMISE,
    accuracy,
    alike,
    attacks,
    learning,
    live,
    nearest,
    sweep,
    tables,
)
from papers.frecon2021.points import experiment_table

CLAIMS = {
    claim.claim: claim
    for claim in read_claims(WORKFLOW / "papers/frecon2021/reference/claims.yaml")
}
N = 100
SHOWN = {"lambda1": 0.1, "lambda2": 0.1}
NO_LUCK = "RuntimeError: no luck"


def attack(kind, rate, rmse, name=None, active=3, dead=0, failed=None, **settings):
    """An attack that fools the first of the images, at a size that is the same for all of them."""
    name = name or kind
    values = "_".join(f"{key}={value}" for key, value in settings.items())
    samples = {
        "fooling_rate": np.arange(N) < round(rate * N),
        "rmse": np.full(N, float(rmse)),
        "active_atoms": np.full(N, float(active)),
        "dead_start": np.array(float(dead)),
    }
    told = {"id": f"{name}/{values}" if values else name, "name": name, "kind": kind}
    told |= settings | ({"atoms": settings.get("atoms", 8)} if kind == "scada" else {})
    return told | {"samples": {} if failed else samples, "failed": failed}


def grid(rate, rmse, **options):
    """A grid whose fooling rate and rMSE are functions of lambda1 and lambda2."""
    return [
        attack("scada", rate(a, b), rmse(a, b), lambda1=a, lambda2=b, **options)
        for a in (0.01, 0.1)
        for b in (0.001, 0.1)
    ]


# Alone at (0.1, 0.001) it fools much, at the highest rMSE; fewer are fooled, nearer by, elsewhere.
AS_CLAIMED = grid(
    lambda a, b: 0.3 + 3 * a - 1 * b + (0.15 if b < 0.01 else 0),
    lambda a, b: 0.01 * (1 + 9 * a) / (1 + 9 * b),
)
OTHERS = [
    attack("fgsm", 0.2, 0.001, eps=0.1),
    attack("pgd", 0.25, 0.002, name="pgd_l2", eps=0.1),
    attack("deepfool", 0.3, 0.003),
    attack("uap", 0.9, 0.05, eps=0.1),
]
SWEEP = [
    attack("scada", rate, rmse, name="scada_atoms", atoms=m)
    for m, rate, rmse in ((1, 0.9, 0.03), (2, 0.8, 0.02), (8, 0.6, 0.01))
]
ALL = AS_CLAIMED + OTHERS


def run(tradeoff=ALL, swept=SWEEP, **more):
    return tables(tradeoff, SHOWN) | {"sweep": sweep(swept)} | more


def verdict(name, *arguments, count=3, **more):
    return judge(CLAIMS[name], [run(*arguments, **more)] * count).verdict


OF_ATTACKS = (
    "sparse_codes", "regularization", "lambda1", "lambda2", "compromise", "specific", "universal",
    "between", "atoms",
)  # fmt: skip


@pytest.mark.parametrize("name", OF_ATTACKS)
def test_data_made_as_the_paper_claims_supports_it(name):
    assert verdict(name).kind is Class.SUPPORTED


def test_a_trade_off_is_better_where_a_point_fools_as_often_nearer_by():
    for opponent, name in ((attack("uap", 0.5, 0.05, eps=1), "tradeoff_universal"),
                           (attack("fgsm", 0.5, 0.05, eps=1), "tradeoff_specific")):  # fmt: skip
        assert verdict(name, [*AS_CLAIMED, opponent]).kind is Class.SUPPORTED
        nearer = opponent | {"samples": opponent["samples"] | {"rmse": np.full(N, 1e-4)}}
        assert verdict(name, [*AS_CLAIMED, nearer]).kind is Class.CONTRADICTED


def test_deepfool_that_beats_every_point_is_no_longer_left_out():
    strong = attack("deepfool", 1.0, 1e-4)
    found = judge(CLAIMS["tradeoff_specific"], [run([*AS_CLAIMED, strong])] * 3)
    assert found.verdict.kind is Class.CONTRADICTED
    assert len(found.reasons) == 1 and "DeepFool" in found.reasons[0]
    assert verdict("specific", [*AS_CLAIMED, *OTHERS[:2], strong]).kind is Class.CONTRADICTED


def test_what_depends_on_budgets_says_so():
    weak, strong = attack("fgsm", 0.1, 0.001, eps=1), attack("fgsm", 0.9, 0.002, eps=2)
    found = verdict("specific", [*AS_CLAIMED, strong, weak])
    assert str(found) == "depends on a setting the paper leaves open: the attacks' budgets"


def test_a_compromise_that_another_point_matches_nearer_by_is_none():
    compromise = attack("scada", 0.8, 0.03, lambda1=0.1, lambda2=0.001)
    weaker = attack("scada", 0.5, 0.01, lambda1=0.01, lambda2=0.001)
    assert verdict("compromise", [compromise, weaker]).kind is Class.SUPPORTED
    nearer = attack("scada", 0.8, 0.01, lambda1=0.01, lambda2=0.1)
    assert verdict("compromise", [compromise, weaker, nearer]).kind is Class.CONTRADICTED


@pytest.mark.parametrize("name", ["lambda1", "lambda2"])
def test_a_weight_that_does_the_reverse_contradicts_it(name):
    reverse = grid(lambda a, b: 0.9 - 3 * a + 2 * b, lambda a, b: 0.01 / (1 + 9 * a) * (1 + 9 * b))
    found = judge(CLAIMS[name], [run(reverse)] * 3)
    assert found.verdict.kind is Class.CONTRADICTED and found.reasons == ()
    sparser = []
    for one in reverse:
        active = np.full(N, 6.0 if one["lambda1"] < 0.1 else 2.0)
        sparser.append(one | {"samples": one["samples"] | {"active_atoms": active}})
    reasons = judge(CLAIMS[name], [run(sparser)] * 3).reasons
    assert len(reasons) == (name == "lambda1")


def test_more_atoms_fool_less_often_and_are_nearer():
    """From universal to specific, as figure 3 has the two ends."""
    assert verdict("atoms").kind is Class.SUPPORTED
    more_often = [attack("scada", 0.5 + 0.1 * m, 0.03 / m, atoms=m) for m in (1, 2, 4)]
    found = judge(CLAIMS["atoms"], [run(swept=more_often)] * 3)
    assert found.verdict.kind is Class.CONTRADICTED and len(found.reasons) == 1
    dead = attack("scada", 0.0, 0.0, dead=1, atoms=64)
    assert verdict("atoms", ALL, [*SWEEP, dead]).kind is Class.SUPPORTED


@pytest.mark.parametrize("name", OF_ATTACKS)
def test_dead_starts_are_no_evidence(name):
    dead = grid(lambda a, b: 0.0, lambda a, b: 0.0, dead=1, active=0)
    buried = [attack("scada", 0.0, 0.0, dead=1, atoms=m) for m in (1, 2)]
    found = verdict(name, [*dead, *OTHERS], buried)
    if name == "universal":
        assert found.kind is Class.SUPPORTED
    else:
        assert str(found) == "not judged: nothing to compare"


@pytest.mark.parametrize("missing", ["fgsm", "pgd", "deepfool", "uap"])
@pytest.mark.parametrize("name", OF_ATTACKS)
def test_attacks_may_be_left_out(missing, name):
    assert verdict(name, [one for one in ALL if one["kind"] != missing]).kind in Class


def test_a_claim_is_not_judged_where_an_attack_that_it_needs_has_failed():
    lost = attack("fgsm", 0, 0, failed=NO_LUCK, eps=0.1)
    table = [*AS_CLAIMED, lost, *OTHERS[1:]]
    kinds = {name: verdict(name, table) for name in OF_ATTACKS}
    failed = {name for name, one in kinds.items() if one.kind is Class.FAILED}
    assert failed == {"specific", "universal", "between"}
    assert str(kinds["specific"]) == "not judged: fgsm/eps=0.1 failed"
    all_lost = [one | {"samples": {}, "failed": NO_LUCK} for one in ALL]
    for name in OF_ATTACKS:
        assert verdict(name, all_lost, all_lost[:1]).kind is Class.FAILED


def test_fewer_than_half_of_the_atoms():
    for active, atoms, kind in ((12, 32, Class.SUPPORTED), (7, 8, Class.CONTRADICTED)):
        point = attack("scada", 0.9, 0.01, active=active, atoms=atoms, **SHOWN)
        assert verdict("sparse_codes", [point]).kind is kind


def test_accuracy_is_beside_the_papers_where_that_may_be_compared():
    found = {"of": "reproduced", "attack": "lenet", "failed": None}
    for rate, kind in ((0.62, Class.SUPPORTED), (0.4, Class.CONTRADICTED)):
        right = pd.DataFrame([found | {"samples": np.arange(5000) < 5000 * rate}])
        runs = [{"accuracies": right}] * 3
        assert judge(CLAIMS["accuracy"], runs).verdict.kind is kind
        assert judge(CLAIMS["accuracy"], runs, comparable=False).verdict.kind is Class.INCOMPARABLE


# The tables.


def rows(table, *columns):
    return list(table[list(columns)].itertuples(index=False, name=None))


def test_sizes_are_of_the_images_that_are_fooled():
    table = run([attack("scada", 0.25, 0.02, lambda1=0.1, lambda2=0.001)])["grid"]
    of = table.set_index("metric")["samples"]
    assert of["fooling_rate"].sum() == N / 4
    assert np.isnan(of["rmse"]).sum() == 3 * N / 4 and np.nanmax(of["rmse"]) == 0.02


def test_budgets_are_levels_and_what_has_none_is_at_each():
    points = [
        attack("scada", 0.6, 0.01, lambda1=0.1, lambda2=0.001),
        attack("scada", 0.6, 0.01, name="cut", shorten=True, lambda1=0.1, lambda2=0.001),
        attack("fgsm", 0.5, 0.01, eps=2.0),
        attack("fgsm", 0.5, 0.01, name="cut_fgsm", shorten=True, eps=2.0),
        attack("fgsm", 0.2, 0.01, eps=0.5),
        attack("deepfool", 0.9, 0.01),
        attack("noise", 0.1, 0.01, eps=1.0),
        attack("uap", 0.9, 0.01, eps=1.0),
    ]  # fmt: skip
    table = run(points)["points"]
    table = table[table["metric"] == "rmse"]
    expected = [
        (f"budget {level} of 2", group, name, best)
        for level in (1, 2)
        for group, name, best in (
            ("SCADA", "scada/lambda1=0.1_lambda2=0.001", True),
            ("specific", f"fgsm/eps={(0.5, 2.0)[level - 1]}", False),
            ("specific", "deepfool", False),
            ("universal", "uap/eps=1.0", False),
        )
    ]
    assert rows(table, "budget", "group", "attack", "compromise") == expected


def test_activity_counts_dead_starts_and_no_failures():
    points = [
        attack("scada", 0.0, 0.0, dead=1, active=0, lambda1=1, lambda2=0.1),
        attack("scada", 0.5, 0.1, active=2, lambda1=0.1, lambda2=0.1),
        attack("scada", 0, 0, failed=NO_LUCK, lambda1=0.01, lambda2=0.1),
    ]
    table = run(points)["activity"]
    assert rows(table, "lambda1", "lambda2") == [(1, 0.1), (0.1, 0.1)]
    assert [one[0] for one in table["samples"]] == [0.0, 2.0]


def test_what_failed_has_a_row_for_all_that_it_would_show():
    lost = attack("scada", 0, 0, failed=NO_LUCK, lambda1=0.1, lambda2=0.1)
    made = run([lost, *OTHERS])
    assert rows(made["codes"], "attack", "of", "failed") == [(lost["id"], "active atoms", NO_LUCK)]
    assert rows(made["grid"], "attack", "metric", "failed", "compromise") == [
        (lost["id"], metric, NO_LUCK, False) for metric in ("fooling_rate", "rmse")
    ]
    assert rows(run(AS_CLAIMED)["activity"], "attack") == [(one["id"],) for one in AS_CLAIMED]


def test_points_may_be_without_scada():
    table = run(OTHERS)["points"]
    assert rows(table[table["metric"] == "rmse"], "budget", "group", "attack") == [
        ("budget 1 of 1", group, one["id"])
        for one, group in zip(OTHERS, ["specific"] * 3 + ["universal"], strict=True)
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
    points = [{"lambda1": a, "lambda2": b} for a, b in weights]
    assert nearest(points, COMPROMISE) is points[expected]
    assert nearest([], COMPROMISE) is None


def test_live_points_are_those_that_learned():
    points = [
        attack("scada", 0.5, 0.1),
        attack("scada", 0.0, 0.0, dead=1),
        attack("scada", 0, 0, failed=NO_LUCK),
        {"failed": None, "samples": {}},
    ]
    assert live(points) == [points[0], points[3]]


# What is read.


def line(attack, metric, value=0.0, model="lenet", attacked="lenet", note=""):
    told = {"paper": "p", "experiment": "e", "dataset": "d", "model": model, "attacked": attacked}
    told |= {"attack": attack, "defense": "none", "metric": metric, "value": value, "n": 2}
    return told | {"ci_low": 0.0, "ci_high": 1.0, "seed": 0, "repetition": 1, "note": note}


def written(folder, lines, samples):
    made = make_metadata("rows", params={}, code="", seed=0)
    path = folder / "tradeoff.csv"
    write_rows(path, pd.DataFrame(lines, columns=list(ROW_COLUMNS)), made)
    write_arrays(path.with_suffix(".npz"), samples, made)
    return path


def test_attacks_are_read_with_what_each_image_did(tmp_path):
    lines = [
        line("none", "accuracy", attacked=""),
        line("scada/lambda1=1", "fooling_rate"),
        line("scada/lambda1=1", "fooling_rate", model="other"),
        line("fgsm", "failed", note=NO_LUCK),
    ]
    samples = {
        "lenet:none:accuracy": np.array([True, False]),
        "lenet:scada/lambda1=1:fooling_rate": np.array([True, True]),
        "lenet:scada/lambda1=1:dead_start": np.array(0.0),
        "other:scada/lambda1=1:fooling_rate": np.array([False, True]),
    }
    path = written(tmp_path, lines, samples)
    points = [
        {"id": "scada/lambda1=1", "name": "scada", "kind": "scada", "settings": {"lambda1": 1}},
        {"id": "fgsm", "name": "fgsm", "kind": "fgsm", "settings": {"eps": 0.1}},
    ]
    first, second = attacks(path, points)
    assert first["lambda1"] == 1 and first["failed"] is None
    assert {name: one.tolist() for name, one in first["samples"].items()} == {
        "fooling_rate": [True, True],
        "dead_start": 0.0,
    }
    assert second["failed"] == NO_LUCK and second["samples"] == {} and second["eps"] == 0.1
    (row,) = accuracy(path, "lenet").to_dict("records")
    assert row.pop("samples").tolist() == [True, False]
    assert row == {"of": "reproduced", "attack": "lenet", "failed": None}


def test_an_accuracy_that_is_not_known_says_why(tmp_path):
    lines = [
        line("fgsm", "failed", model="other", attacked="other", note="another"),
        line("fgsm", "fooling_rate", note="nothing"),
        line("fgsm", "failed", note=NO_LUCK),
    ]
    path = written(tmp_path, lines, {"x": np.zeros(1)})
    (row,) = accuracy(path, "lenet").to_dict("records")
    assert row == {"of": "reproduced", "attack": "lenet", "samples": None, "failed": NO_LUCK}


def test_rows_and_what_is_beside_them_are_those_of_their_stage(tmp_path):
    path = written(tmp_path, [line("none", "accuracy")], {"lenet:none:accuracy": np.ones(1)})
    other = make_metadata("fit", params={}, code="", seed=0)
    beside = path.with_suffix(".npz")
    kept = beside.read_bytes()
    write_arrays(beside, {"lenet:none:accuracy": np.ones(1)}, other)
    for read in (lambda: accuracy(path, "lenet"), lambda: attacks(path, [])):
        with pytest.raises(ArtifactError, match=r"\.npz: it was written by stage 'fit'"):
            read()
    beside.write_bytes(kept)
    frame = pd.DataFrame([line("none", "accuracy")], columns=list(ROW_COLUMNS))
    write_rows(path, frame, other)
    for read in (lambda: accuracy(path, "lenet"), lambda: attacks(path, [])):
        with pytest.raises(ArtifactError, match=r"\.csv: it was written by stage 'fit'"):
            read()


def test_learning_is_told_by_its_loss_and_by_patterns_of_atoms(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 1, 8), (2, 1, 8, 8))
    arrays = {"loss": np.array([np.inf, 8.0, 4.0, 2.0]), "atoms": ramp}
    write_arrays(tmp_path / "fit.npz", arrays, make_metadata("fit", params={}, code="", seed=0))
    table = learning(tmp_path / "fit.npz", None)
    found = {row[:2]: row[2] for row in rows(table, "what", "of", "samples")}
    assert found["loss", "start"] == pytest.approx(np.log(8))
    assert found["loss", "end"] == pytest.approx(np.log(2))
    assert found["atoms", "learned"] > 0.9
    assert rows(table, "failed") == [(None,)] * 3
    assert rows(learning(None, NO_LUCK), "what", "of", "attack", "failed") == [
        (what, of, "SCADA's learning", NO_LUCK)
        for what, of in (("loss", "start"), ("loss", "end"), ("atoms", "learned"))
    ]
    runs = [{"learning": table}] * 3
    for name in ("loss_falls", "spatial_patterns"):
        assert judge(CLAIMS[name], runs).verdict.kind is Class.SUPPORTED
        lost = judge(CLAIMS[name], [{"learning": learning(None, NO_LUCK)}])
        assert str(lost.verdict) == "not judged: SCADA's learning failed"


def test_neighbours_of_random_atoms_are_not_alike():
    atoms = np.random.default_rng(0).standard_normal((8, 3, 32, 32))
    assert abs(alike(atoms)) < 0.03
    stripes = np.resize([1.0, -1.0], (1, 1, 8, 8))  # alike down, unlike across
    assert alike(stripes) == pytest.approx(0.0, abs=0.01)
    assert alike(np.cumsum(atoms, -1)) > 0.4 and alike(np.ones((1, 1, 4, 4))) == 0.0


def test_experiment_table_reads_rows_of_several_models():
    rows = pd.DataFrame(
        [line("none", "accuracy", 0.5, model, "") for model in ("a", "b")]
        + [line("fgsm", metric, 0.25, "a", "a") for metric in ("fooling_rate", "rmse")]
        + [line("fgsm", "fooling_rate", 0.75, "b", "a")]  # carried over, of which the paper is mute
    )
    points = [{"id": "fgsm", "name": "fgsm", "kind": "fgsm", "settings": {"norm": "linf"}}]
    (found,) = experiment_table(rows, points).to_dict("records")
    assert found["fooling_rate"] == 0.25 and found["fooling_rate_high"] == 1.0
    assert found["norm"] == "linf" and found["active_atoms"] is None
