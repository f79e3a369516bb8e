"""What a run found, as the tables that claims.yaml reads: a row for each attack and metric, with
what each image did.

Dead starts of SCADA are no evidence for anything and are left out. Of an attack that failed a row
says why, in every table that would show it. Sizes of perturbations are of the images that an attack
fools, so that two of them are compared on images that both fool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.dead_starts import why_silent
from advsparse.evaluate.samples import samples_key
from advsparse.prefixes import below

SPECIFIC, UNIVERSAL, SCADA = ("fgsm", "pgd", "deepfool"), ("uap",), ("scada",)
COMPROMISE = {"lambda1": 0.1, "lambda2": 0.001}
METRICS = ("fooling_rate", "rmse")

Attacks = list[dict[str, Any]]
"""Attacks of an experiment: id, name, kind, their settings, what each image did, and why it
failed."""


def tables(tradeoff: Attacks, shown: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """The tables of the experiment of figure 3, by name.

    tradeoff: its attacks, as :func:`attacks` has them; shown: the weights of the point of the grid
    that the paper illustrates.
    """
    grid = [attack for attack in tradeoff if attack["name"] == "scada"]
    best = nearest(live(grid), COMPROMISE)
    made = {
        "codes": _codes(nearest(grid, shown)),
        "grid": _long(grid, lambda attack: {"compromise": attack is best}),
        "activity": _activity(grid),
        "points": _points(tradeoff, best),
    }
    return {name: pd.DataFrame(rows) for name, rows in made.items()}


def sweep(attacks: Attacks) -> pd.DataFrame:
    """The table of attacks with several numbers of atoms."""
    return pd.DataFrame(_long(attacks))


def learning(path: str | Path | None, failed: str | None) -> pd.DataFrame:
    """The logarithm of the loss at the start and at the end of learning, and how alike neighbouring
    pixels of atoms are: a number each; or why nothing was learned."""
    if path is None:
        return pd.DataFrame(
            {"what": what, "of": of, "attack": "SCADA's learning", "failed": failed}
            for what, of in (("loss", "start"), ("loss", "end"), ("atoms", "learned"))
        )
    fit, _ = read_arrays(path, stage="fit")
    loss = fit["loss"][np.isfinite(fit["loss"])]
    found = {
        ("loss", "start"): np.log(loss[0]),
        ("loss", "end"): np.log(loss[-1]),
        ("atoms", "learned"): alike(fit["atoms"]),
    }
    return pd.DataFrame(
        {"what": what, "of": of, "samples": np.array([value]), "failed": None}
        for (what, of), value in found.items()
    )


def attacks(path: str | Path, points: Iterable[Mapping[str, Any]]) -> Attacks:
    """The attacks of an experiment that its own network judges, from its rows and the arrays beside
    them; ``points`` as the rule tells them."""
    rows, _ = read_rows(path, stage="rows")
    samples, _ = read_arrays(Path(path).with_suffix(".npz"), stage="rows")
    rows = rows[rows["attacked"] == rows["model"]]
    model = rows.groupby("attack")["model"].first()
    failed = rows[rows["metric"] == "failed"].set_index("attack")["note"].to_dict()
    found = []
    for point in points:
        key = samples_key(model[point["id"]], point["id"], "")
        own = below(samples, key)
        told = {name: point[name] for name in ("id", "name", "kind")} | dict(point["settings"])
        found.append(told | {"samples": own, "failed": failed.get(point["id"])})
    return found


def accuracy(path: str | Path, model: str) -> pd.DataFrame:
    """Whether each clean test image is classified right; or why nothing is known of it."""
    samples, _ = read_arrays(Path(path).with_suffix(".npz"), stage="rows")
    rows, _ = read_rows(path, stage="rows")
    right = samples.get(samples_key(model, "none", "accuracy"))
    row: dict[str, Any] = {"of": "reproduced", "attack": model, "samples": right, "failed": None}
    if right is None:
        failed = rows[(rows["model"] == model) & (rows["metric"] == "failed")]
        row["failed"] = failed["note"].iloc[0]
    return pd.DataFrame([row])


def live(attacks: Attacks) -> Attacks:
    """Those whose dictionary was learned: all that didn't fail but SCADA's dead starts."""
    return [attack for attack in attacks if why_silent(attack) is None]


def nearest(grid: Attacks, values: Mapping[str, float]) -> dict[str, Any] | None:
    """The point of a grid nearest to some values of its weights, by ratio."""

    def distance(attack: Mapping[str, Any]) -> float:
        ratios = (max(attack[name], 1e-12) / value for name, value in values.items())
        return sum(abs(float(np.log(ratio))) for ratio in ratios)

    return min(grid, key=distance, default=None)


def _codes(point: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Active atoms of each image at the illustrated point, and half of those learned."""
    if point is None:
        return
    row = {"attack": point["id"], "failed": point["failed"]}
    if point["failed"] is not None:
        yield row | {"of": "active atoms"}
    elif live([point]):  # type: ignore[list-item]
        active = point["samples"]["active_atoms"]
        yield row | {"of": "active atoms", "samples": active}
        yield row | {"of": "half of the atoms", "samples": np.full(len(active), point["atoms"] / 2)}


def _long(attacks: Attacks, more=lambda attack: {}) -> Iterator[dict[str, Any]]:
    """Every metric of every attack; of one that failed, why."""
    for attack in attacks:
        row = {name: attack.get(name) for name in ("lambda1", "lambda2", "atoms")}
        row |= {"attack": attack["id"], "failed": attack["failed"]} | more(attack)
        for metric in METRICS:
            if attack["failed"] is not None:
                yield row | {"metric": metric}
            elif live([attack]):
                yield row | {"metric": metric, "samples": measured(attack["samples"], metric)}


def _activity(grid: Attacks) -> Iterator[dict[str, Any]]:
    """Active atoms of each image at each point of the grid, dead starts included."""
    for attack in grid:
        row = {name: attack[name] for name in ("lambda1", "lambda2")} | {"attack": attack["id"]}
        if attack["failed"] is None:
            yield row | {"samples": attack["samples"]["active_atoms"]}


def measured(samples: Mapping[str, np.ndarray], metric: str) -> np.ndarray:
    """A metric of each image: sizes of perturbations of those alone that were fooled."""
    if metric == "rmse":
        return np.where(samples["fooling_rate"], samples["rmse"], np.nan)
    return samples[metric]


def _points(tradeoff: Attacks, best: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """SCADA, specific and universal attacks at each level of budget, of which the first is the
    smallest. What has fewer budgets, or none, is there at each level."""
    groups = {"SCADA": SCADA, "specific": SPECIFIC, "universal": UNIVERSAL}
    of_kind = {kind: group for group, kinds in groups.items() for kind in kinds}
    chosen = [
        attack for attack in tradeoff if attack["kind"] in of_kind and not attack.get("shorten")
    ]
    by_name: dict[str, Attacks] = {}
    for attack in chosen:
        by_name.setdefault(attack["name"], []).append(attack)
    budgets = {name: _ordered(own) for name, own in by_name.items() if own[0]["kind"] != "scada"}
    levels = max(map(len, budgets.values()), default=0)
    for level in range(levels):
        here = {name: own[min(level, len(own) - 1)] for name, own in budgets.items()}
        for attack in [*by_name.get("scada", []), *here.values()]:
            told = {
                "budget": f"budget {level + 1} of {levels}",
                "group": of_kind[attack["kind"]],
                "name": attack["name"],
                "compromise": attack is best,
            }
            yield from _long([attack], lambda attack, told=told: told)


def _ordered(attacks: Attacks) -> Attacks:
    return sorted(attacks, key=lambda attack: attack.get("eps") or 0.0)


def alike(atoms: np.ndarray) -> float:
    """The correlation of horizontally and vertically neighbouring entries, mean over atoms (M x C x
    H x W): 0 where they are drawn at random."""
    found = []
    for atom in atoms.astype(np.float64):
        pairs = ((atom[:, :, :-1], atom[:, :, 1:]), (atom[:, :-1], atom[:, 1:]))
        first, second = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
        if np.ptp(first) and np.ptp(second):
            found.append(np.corrcoef(first, second)[0, 1])
    return float(np.mean(found)) if found else 0.0
