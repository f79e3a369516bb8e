"""The tables of canu2021: from certificates and attacks to claims."""

from __future__ import annotations

import numpy as np
import pytest

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.judging import judge
from advsparse.evaluate.verdicts import Class
from papers.canu2021 import found

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
    tables = {"times": None, "distances": None, "certificates": None, "rivals": None}
    runs = [tables | {claim.parts[0].reads: table} | others for _ in range(3)]
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
