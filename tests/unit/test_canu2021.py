"""The tables of canu2021: from certificates and attacks to claims."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import (
    ROW_COLUMNS,
    make_metadata,
    read_arrays,
    write_arrays,
    write_rows,
)
from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.dead_starts import DEAD
from advsparse.evaluate.judging import judge
from advsparse.evaluate.samples import samples_key
from advsparse.evaluate.verdicts import Class
from papers.canu2021 import defence, found, objectives, tables

CLAIMS = {
    claim.claim: claim for claim in read_claims(WORKFLOW / "papers/canu2021/reference/claims.yaml")
}
N = 40


def stored(path, **arrays):
    write_arrays(path, arrays, make_metadata("certificate", params={}, code="", seed=0))
    return str(path)


def nearest(path, distance, *, open_rows=(), found_at=0.1, proven_at=2.0):
    """Certificates with these distances: an upper bound that comes down once, and a proof."""
    upper = np.asarray(distance, dtype=float)
    lower = upper * (1 - 1e-5)
    lower[list(open_rows)] = 0.0
    count = len(upper)
    x = np.full((count, 4), 0.5, dtype=np.float32)
    times = np.linspace(1, 1.1, count)
    return stored(
        path,
        index=np.arange(count),
        x=x,
        witness=x.astype(float) + 0.1,
        lower=lower,
        upper=upper,
        event_seconds=np.stack([0.01 * times, found_at * times, proven_at * times], 1).ravel(),
        event_lower=np.stack([0 * lower, 0 * lower, lower], 1).ravel(),
        event_upper=np.stack([2 * upper, upper, upper], 1).ravel(),
        event_seconds_ends=3 * np.arange(1, count + 1),
    )


def formulations(path, factor, *, limited=()):
    """Times in which symmetric bounds take ``factor`` times as long as asymmetric ones."""
    rng = np.random.default_rng(0)
    asymmetric = np.exp(rng.normal(0, 0.1, N))
    spent = np.stack(
        [factor * asymmetric, asymmetric, asymmetric / 8, asymmetric / 20, asymmetric / 90,
         asymmetric / 50, asymmetric / 50], 1
    )  # fmt: skip
    closed = np.ones((N, 7), dtype=bool)
    closed[list(limited), 0] = False
    exact = rng.uniform(0.1, 0.2, N)
    lower, upper = (np.tile(exact[:, None], 7) for _ in range(2))
    lower[:, 5], upper[:, 6] = 0.7 * exact, 1.02 * exact
    return stored(path, spent=spent, closed=closed, lower=lower, upper=upper)


def verdict(claim, table, **others):
    empty = {"times": None, "distances": None, "certificates": None, "rivals": None}
    runs = [empty | {claim.parts[0].reads: table} | others for _ in range(3)]
    return judge(claim, runs, comparable=True).verdict


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (5.0, Class.SUPPORTED),
        (1.5, Class.DIRECTION),
        (1.0, Class.NO_DIFFERENCE),
        (0.5, Class.CONTRADICTED),
    ],
)
def test_the_factor_of_asymmetric_bounds(tmp_path, factor, expected):
    times = found.times(formulations(tmp_path / "a.npz", factor), None)
    assert verdict(CLAIMS["asymmetric"], times).kind == expected


def test_times_that_a_limit_cut_off_are_not_compared(tmp_path):
    times = found.times(formulations(tmp_path / "a.npz", 5.0, limited=range(10)), None)
    samples = times.set_index("formulation")["samples"]
    assert np.isnan(samples["symmetric"]).sum() == 10
    assert np.isnan(samples["asymmetric"]).sum() == 10


def test_finding_and_proving(tmp_path):
    path = nearest(tmp_path / "a.npz", np.linspace(0.1, 0.2, N), open_rows=(3, 5))
    table = found.certificates(path, None)
    samples = table.set_index("until")["samples"]
    known = np.isfinite(samples["found"])
    assert known.sum() == N - 2 and not known[3] and not known[5]
    assert np.allclose(samples["proven"][known] / samples["found"][known], 20)
    assert verdict(CLAIMS["proof_is_hard"], table).kind == Class.SUPPORTED


@pytest.mark.parametrize(("gain", "expected"), [(2.0, Class.SUPPORTED), (0.5, Class.CONTRADICTED)])
def test_robust_training(tmp_path, gain, expected):
    distance = np.linspace(0.1, 0.2, N)
    paths = {
        "linf": nearest(tmp_path / "a.npz", distance),
        "robust": nearest(tmp_path / "b.npz", gain * distance, open_rows=(0,)),
        "formulations": formulations(tmp_path / "c.npz", 1.0),
    }
    table = found.distances(paths, {})
    assert verdict(CLAIMS["robust_training"], table).kind == expected
    assert verdict(CLAIMS["relaxation"], table).kind == Class.SUPPORTED


def attacked(path, distance, success=None):
    success = np.ones(N, dtype=bool) if success is None else success
    metadata = make_metadata("attack", params={}, code="", seed=0)
    write_arrays(path, {"distance": distance, "success": success}, metadata)
    return str(path)


def test_attacks_beside_the_nearest_image(tmp_path):
    """Of images whose distance is known and that an attack reaches."""
    rng = np.random.default_rng(0)
    exact = rng.uniform(0.1, 0.2, N)
    reached = np.arange(N) > 1
    paths = {"linf": nearest(tmp_path / "linf.npz", exact, open_rows=(5,))}
    paths["l2"] = nearest(tmp_path / "l2.npz", 5 * exact)
    further = {"deepfool_linf": 1.2, "deepfool_l2": 5.5, "cw_l2": 5.2, "lbfgs_l2": 5.5}
    for name, factor in further.items():
        noise = rng.uniform(0.99, 1.01, N)
        paths[name] = attacked(tmp_path / f"{name}.npz", factor * noise * exact, reached)
    table = found.nearest(paths, {})
    rows = table.set_index(["norm", "attack"])["samples"]
    assert np.isnan(rows["linf", "deepfool"]).nonzero()[0].tolist() == [0, 1, 5]
    assert np.allclose(rows["l2", "exact"], 5 * exact)
    assert verdict(CLAIMS["local_maxima"], table).kind == Class.SUPPORTED
    assert verdict(CLAIMS["winner"], table).kind == Class.SUPPORTED
    gone = found.nearest(paths | {"cw_l2": None}, {"cw_l2": "no memory"})
    said = verdict(CLAIMS["winner"], gone)
    assert said.kind == Class.FAILED and "cw_l2" in str(said)


def test_what_has_failed_is_not_judged(tmp_path):
    times = found.times(None, "no memory")
    said = verdict(CLAIMS["asymmetric"], times)
    assert said.kind == Class.FAILED and "formulations failed" in str(said)
    paths = {"linf": None, "robust": None, "formulations": None}
    table = found.distances(paths, dict.fromkeys(paths, "no memory"))
    assert verdict(CLAIMS["robust_training"], table).kind == Class.FAILED
    assert verdict(CLAIMS["proof_is_hard"], found.certificates(None, "x")).kind == Class.FAILED


def test_bounds_have_met_within_the_gap_or_between_whole_numbers():
    x = np.zeros((4, 3), dtype=np.float32)
    witness = np.array([[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [0.5, 0, 0]])
    arrays = {
        "x": x,
        "witness": witness,
        "lower": np.array([0.0, 0.5, 1.0, 0.49]),
        "upper": np.array([1.0, 2.0, 3.0, 0.5]),
    }
    # One pixel of one, proven that none does; two of two, not proven; and a distance of no count.
    assert found.met(arrays).tolist() == [True, False, False, False]
    arrays["lower"] = np.array([0.0, 1.0, 2.0, 0.499999])
    assert found.met(arrays).tolist() == [True, True, True, True]


ORIGIN = {"role": "cifar10", "dataset": "photos", "stand_in": True, "preset": "demo"}


def experiment(path, attacks, failed=()):
    """Rows and samples of attacks by id, each with what it did to each image, by metric."""
    lines, arrays = [], {}
    common = {"paper": "canu2021", "experiment": "e", "dataset": "photos", "defense": "none"}
    common |= {"seed": 0, "repetition": 0, "model": "lenet", "attacked": "lenet", "note": ""}
    for attack, samples in attacks.items():
        if attack in failed:
            gone = {"metric": "failed", "value": 1.0, "n": 0, "note": "no memory"}
            lines.append(common | {"attack": attack} | gone)
            continue
        for metric, values in samples.items():
            values = np.asarray(values, dtype=float)
            measured = {"metric": metric, "value": np.nanmean(values), "n": len(values)}
            bounds = {"ci_low": measured["value"] - 0.1, "ci_high": measured["value"] + 0.1}
            lines.append(common | {"attack": attack} | measured | bounds)
            arrays[samples_key("lenet", attack, metric)] = values
    frame = pd.DataFrame(lines, columns=list(ROW_COLUMNS))
    made = make_metadata("rows", params={}, code="", seed=0)
    write_rows(path, frame, made)
    write_arrays(path.with_suffix(".npz"), arrays, made)
    return str(path)


def point(name, kind, **settings):
    values = "_".join(f"{key}={settings[key]}" for key in ("atoms", "objective") if key in settings)
    called = f"{name}/{values}" if values else name
    return {"id": called, "name": name, "kind": kind, "settings": settings}


COMPARED = {
    (norm, objective): point(f"objectives_{norm}", kind, norm=norm, objective=objective)
    for norm, kind in (("l2", "cw"), ("linf", "cw_linf"), ("l0", "cw_l0"))
    for objective in ("f1", "f6", "f7")
}


def compared(path, factors, exact, failed=()):
    """Attacks so many times as far off as the nearest image, the first of which they all miss."""
    fooled = np.arange(N) > 0
    attacks = {
        COMPARED[key]["id"]: {
            "fooling_rate": fooled,
            "distance": np.where(fooled, factor * exact[key[0]], np.nan),
        }
        for key, factor in factors.items()
    }
    return experiment(path, attacks, failed)


def settings(**reads):
    return {"reads": reads, "preset": "demo", "failures": {}}


def test_three_distances_and_seven_objectives(tmp_path):
    rng = np.random.default_rng(0)
    exact = {norm: rng.uniform(0.1, 0.2, N) for norm in found.DISTANCES}
    paths = {n: nearest(tmp_path / f"{n}.npz", d, open_rows=(2,)) for n, d in exact.items()}
    scale = {"l2": 1.0, "linf": 1.3, "l0": 2.0}
    best = {"f1": 1.2, "f6": 1.01, "f7": 1.1}
    factors = {key: scale[key[0]] * best[key[1]] for key in COMPARED}
    rows = compared(tmp_path / "rows.csv", factors, exact)
    told = {"points": list(COMPARED.values()), "origin": ORIGIN}
    certificate = {"origin": ORIGIN, "method": {}}
    reads = settings(objectives=told, **dict.fromkeys(found.DISTANCES, certificate))
    made = objectives.objectives(paths | {"objectives": rows}, reads)
    frame = made["frame"].set_index("objective")
    for (norm, objective), factor in factors.items():
        assert np.isclose(frame.loc[objective, f"{norm}: / nearest"], factor, rtol=1e-3)
        expected = factor * exact[norm][1:].mean()
        assert np.isclose(frame.loc[objective, f"{norm}: distance"], expected)
        assert np.isclose(frame.loc[objective, f"{norm}: fooled"], 1 - 1 / N)
    assert "l2: f6 (39 images whose distance is known)" in made["note"]
    distances = {norm: found.distance(path) for norm, path in paths.items()}
    table = found.objectives(rows, told, distances)
    samples = table.set_index(["objective", "norm", "metric"])["samples"]
    assert np.isnan(samples["f6", "l2", "excess"]).nonzero()[0].tolist() == [0, 2]
    assert verdict(CLAIMS["objectives"], table).kind == Class.SUPPORTED
    assert verdict(CLAIMS["distances"], table).kind == Class.SUPPORTED
    worse = compared(tmp_path / "w.csv", factors | {("l2", "f6"): 1.5, ("l0", "f6"): 1.1}, exact)
    table = found.objectives(worse, told, distances)
    assert verdict(CLAIMS["objectives"], table).kind == Class.CONTRADICTED
    assert verdict(CLAIMS["distances"], table).kind == Class.CONTRADICTED
    lost = COMPARED["l2", "f7"]["id"]
    gone = compared(tmp_path / "g.csv", factors, exact, failed=(lost,))
    said = verdict(CLAIMS["objectives"], found.objectives(gone, told, distances))
    assert said.kind == Class.FAILED and lost in str(said)
    assert len(found.objectives(rows, told, distances | {"l0": None})) == len(table) - 3


DEFENDED = [
    point(f"adil_{name}", "scada", atoms=atoms)
    for name in ("atoms", "trained", "injected")
    for atoms in (2, 10)
] + [point(f"pgd_{name}", "pgd") for name in ("lenet", "trained", "injected")]


def defended(path, share, failed=(), seed=0):
    rng = np.random.default_rng(seed)
    attacks = {}
    for told in DEFENDED:
        rate = share.get(told["name"].rpartition("_")[2], 0.9)
        attacks[told["id"]] = {"fooling_rate": rng.permutation(N) < round(rate * N)}
    return experiment(path, attacks, failed)


def test_what_the_defence_gains(tmp_path):
    shares = {"trained": 0.3, "injected": 0.88}
    paths = [defended(tmp_path / f"{run}.csv", shares, seed=run) for run in range(3)]
    told = {"points": DEFENDED, "origin": ORIGIN}
    reads = settings(defence=[told] * 3)
    values = WORKFLOW / "papers/canu2021/reference/values.csv"
    made = defence.defence({"defence": paths, "values": values}, reads)
    frame = made["frame"].set_index(["attack", "network"])
    row = frame.loc["ADiL, 2 atoms", "adversarial training"]
    assert row["fooling rate, paper"] == 0.1562 and np.isclose(row["fooling rate"], 0.3)
    assert np.isclose(row["gain"], 0.6) and row["gain, ci_low"] < 0.6 < row["gain, ci_high"]
    assert row["exceeds sampling error"] == "yes"
    assert frame.loc["ADiL, 10 atoms", "noise injection"]["exceeds sampling error"] == "no"
    assert frame.loc["ADiL, 10 atoms", "no defence"]["fooling rate, paper"] == 0.6015
    assert set(frame.loc["PGD"].index) == {"no defence", "adversarial training", "noise injection"}
    assert f"over {N} images in 3 runs" in made["note"] and "photos" in made["note"]
    table = found.defence(paths[0], told)
    part = CLAIMS["defence"].parts
    assert len(part) == 2 and verdict(CLAIMS["defence"], table).kind != Class.SUPPORTED
    both = defended(tmp_path / "both.csv", {"trained": 0.3, "injected": 0.2})
    assert verdict(CLAIMS["defence"], found.defence(both, told)).kind == Class.SUPPORTED
    assert verdict(CLAIMS["conclusion"], found.defence(both, told)).kind == Class.SUPPORTED
    lost = "adil_trained/atoms=2"
    gone = defended(tmp_path / "gone.csv", shares, failed=(lost,))
    made = defence.defence({"defence": [gone, *paths[1:]], "values": values}, reads)
    row = (
        made["frame"].set_index(["attack", "network"]).loc["ADiL, 2 atoms", "adversarial training"]
    )
    assert np.isnan(row["fooling rate"]) and np.isnan(row["gain"]) and row["remark"] == "no memory"
    said = verdict(CLAIMS["defence"], found.defence(gone, told))
    assert said.kind == Class.FAILED and lost in str(said)


def test_a_dead_start_is_no_robustness(tmp_path):
    dead = "adil_trained/atoms=2"
    told = {"points": DEFENDED, "origin": ORIGIN}
    path = defended(tmp_path / "rows.csv", {"trained": 0.3, "injected": 0.2})
    samples, _ = read_arrays(tmp_path / "rows.npz", stage="rows")
    samples[samples_key("lenet", dead, "fooling_rate")] = np.zeros(N)
    samples[samples_key("lenet", dead, "dead_start")] = np.array(1.0)
    made = make_metadata("rows", params={}, code="", seed=0)
    write_arrays(tmp_path / "rows.npz", samples, made)
    table = found.defence(path, told)
    row = table.set_index("called").loc[dead]
    assert row["samples"] is None and row["failed"] == DEAD
    said = verdict(CLAIMS["defence"], table)
    assert said.kind == Class.FAILED and dead in str(said)
    values = WORKFLOW / "papers/canu2021/reference/values.csv"
    frame = defence.defence({"defence": [path], "values": values}, settings(defence=[told]))[
        "frame"
    ]
    row = frame.set_index(["attack", "network"]).loc["ADiL, 2 atoms", "adversarial training"]
    assert np.isnan(row["fooling rate"]) and row["remark"] == DEAD


def test_numbers_of_the_defence_are_beside_both_manners(tmp_path):
    shares = {"atoms": 0.5, "trained": 0.3, "injected": 0.4}
    path = defended(tmp_path / "rows.csv", shares)
    values = WORKFLOW / "papers/canu2021/reference/values.csv"
    inputs = {name: [path] for name in ("cifar10", "imagenet", "defence")} | {"values": values}
    origin = [{"origin": ORIGIN}]
    made = tables.numbers(inputs, settings(cifar10=origin, imagenet=origin, defence=origin))
    frame = made["frame"].set_index("quantity")
    said = "fooling rate of ADiL with 2 atoms on LeNet"
    assert frame.loc[f"{said}, CIFAR-10"]["reproduced"] == 0.5
    for manner, rate in (("adversarial training", 0.3), ("noise injection", 0.4)):
        row = frame.loc[f"{said}, {manner}, CIFAR-10"]
        assert row["reproduced"] == rate and row["paper"] == 0.1562
    assert len(frame) == 20 + 5 + 2 * 5
