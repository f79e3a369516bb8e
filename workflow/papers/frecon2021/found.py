"""What was found, as the tables that claims.yaml reads, each of whose rows is one measured value.

Dead starts of SCADA are no evidence for anything and are left out. Of an attack that failed a row
says why, in every table that would show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from papers.frecon2021.points import done, live

SPECIFIC = ("fgsm", "pgd", "deepfool")
COMPROMISE = {"lambda1": 0.1, "lambda2": 0.001}
METRICS = ("fooling_rate", "rmse")
AGAINST = {"universal": ("uap",), "specific": SPECIFIC}


def tables(
    points: pd.DataFrame,
    sweep: pd.DataFrame,
    shown: str,
    accuracies: Sequence[dict],
) -> dict[str, pd.DataFrame]:
    """The tables, by name.

    points, sweep: the two experiments, as ``points.experiment_table`` has them; shown: the point of
    the grid that the paper illustrates; accuracies: rows of the classifier's, the paper's and ours.
    """
    grid = points[points["name"] == "scada"]
    others = {group: points[points["kind"].isin(kinds)] for group, kinds in AGAINST.items()}
    made = {
        "accuracies": accuracies,
        "codes": _codes(points[points["id"] == shown].iloc[0]),
        "grid": _long(grid),
        "sweep": _long(sweep),
        "as_often": _as_often(grid),
        "nearer": _nearer(grid, others["specific"]),
        "strongest": _strongest(others),
        "no_further": _no_further(grid, others),
    }
    return {name: pd.DataFrame(rows) for name, rows in made.items()}


def _codes(point) -> Iterator[dict]:
    """Active atoms of the illustrated point, and half of those learned."""
    if point["dead_start"] != 1:
        yield {"of": "active atoms", "attack": point["id"], **_measured(point, "active_atoms")}
    half = point["atoms"] / 2
    yield {"of": "half of the atoms", "value": half, "low": half, "high": half}


def _long(points: pd.DataFrame) -> Iterator[dict]:
    """Every metric of every point."""
    for _, point in live(points).iterrows():
        settings = {name: point[name] for name in ("lambda1", "lambda2", "atoms")}
        for metric in METRICS:
            yield settings | {"metric": metric, "attack": point["id"], **_measured(point, metric)}


def _as_often(grid: pd.DataFrame) -> Iterator[dict]:
    """The rMSE of the paper's compromise, and the least of points that fool at least as often.

    That of no point is infinite.
    """
    yield from _failed(grid, of="SCADA's compromise")
    point, grid = compromise(grid), live(done(grid))
    if point is None or len(grid) < 2:
        return
    often = grid[(grid["fooling_rate"] >= point["fooling_rate"]) & (grid["id"] != point["id"])]
    yield {"of": "SCADA's compromise", "attack": point["id"], **_measured(point, "rmse")}
    least = {"value": np.inf, "low": np.inf, "high": np.inf, "attack": "none"}
    if len(often):
        nearest = often.loc[often["rmse"].astype(float).idxmin()]
        least = {"attack": nearest["id"], **_measured(nearest, "rmse")}
    yield {"of": "the least of others that fool as often", **least}


def _nearer(grid: pd.DataFrame, specific: pd.DataFrame) -> Iterator[dict]:
    """Fooling rates of the compromise, and of each attack at its strongest with a smaller rMSE."""
    yield from _failed(grid, of="SCADA's compromise", opponent="SCADA")
    yield from _failed(specific, of="the attack", opponent="an attack")
    point = compromise(grid)
    if point is None:
        return
    smaller = done(specific)[done(specific)["rmse"] < point["rmse"]]
    for name, attack in smaller.groupby("name", sort=False):
        for of, row in (("SCADA's compromise", point), ("the attack", strongest(attack))):
            yield {
                "of": of,
                "opponent": name,
                "attack": row["id"],
                **_measured(row, "fooling_rate"),
            }


def _strongest(others: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    """Both metrics of each attack at its strongest."""
    for group, points in others.items():
        yield from _failed(points, group=group, name="", metric="")
        for name, attack in done(points).groupby("name", sort=False):
            point = strongest(attack)
            for metric in METRICS:
                row = {"group": group, "name": name, "metric": metric, "attack": point["id"]}
                yield row | _measured(point, metric)


def _no_further(grid: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> Iterator[dict]:
    """Fooling rates of attacks, and of SCADA's best point at no larger rMSE than each."""
    of = ("SCADA's best", "the attack")
    for group, points in others.items():
        yield from _failed(grid, of=of[0], group=group, opponent="SCADA")
        yield from _failed(points, of=of[1], group=group, opponent="an attack")
        for _, other in done(points).iterrows():
            within = live(done(grid))
            within = within[within["rmse"] <= other["rmse"]]
            best = [strongest(within)] if len(within) else []
            for who, row in zip(reversed(of), [other, *best], strict=False):
                found = _measured(row, "fooling_rate")
                yield {
                    "of": who,
                    "group": group,
                    "opponent": other["id"],
                    "attack": row["id"],
                    **found,
                }


def compromise(grid: pd.DataFrame) -> pd.Series | None:
    """The live point of a grid nearest to the paper's (0.1, 0.001), by ratio."""
    grid = live(done(grid))
    return nearest(grid, COMPROMISE) if len(grid) else None


def nearest(grid: pd.DataFrame, values: Mapping[str, float]) -> pd.Series:
    """The point of a grid nearest to some values of its weights, by ratio."""
    distance = sum(
        np.log(grid[name].astype(float).clip(lower=1e-12) / value).abs()
        for name, value in values.items()
    )
    return grid.loc[distance.idxmin()]


def strongest(points: pd.DataFrame) -> pd.Series:
    return points.loc[points["fooling_rate"].astype(float).idxmax()]


def _measured(point, metric: str) -> dict:
    """A metric of a point with its interval, or why there is none."""
    bounds = {"low": point[f"{metric}_low"], "high": point[f"{metric}_high"]}
    return {"value": point[metric], **bounds, "n": point["n"], "failed": point["failed"]}


def _failed(points: pd.DataFrame, **columns: str) -> Iterator[dict]:
    """A row for each point that failed."""
    for _, point in points[points["failed"].notna()].iterrows():
        yield {**columns, "attack": point["id"], "failed": point["failed"]}
