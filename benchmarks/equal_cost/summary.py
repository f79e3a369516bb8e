"""From the distances of all runs to the numbers of the page."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.attacks import OURS
from benchmarks.equal_cost.measuring import BUDGETS, NORMS
from benchmarks.equal_cost.optimality import optimality

LESS = 0.005
"""What the best of ours may have less than the best published attack."""
ENSEMBLE, ENOUGH = "nearest", 0.99
"""The attack that is to come so near to all others together, at the larger budget."""

Key = tuple[str, str, int]
"""Network, norm and seed: what attacks have in common."""


def best_known(runs: list[dict[str, Any]]) -> dict[Key, np.ndarray]:
    """The least distance of each image, over all attacks and budgets."""
    best: dict[Key, np.ndarray] = {}
    for run in runs:
        key = run["network"], run["norm"], run["seed"]
        distances = np.array(run["distances"])
        best[key] = np.minimum(best.get(key, np.inf), distances)
    return best


def entries(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each network, norm and attack, what it reached at each budget."""
    best = best_known(runs)
    groups: dict[tuple[str, ...], dict[int, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        group = run["network"], run["norm"], run["library"], run["name"]
        groups[group][run["budget"]].append(run)
    return [
        {
            **dict(zip(("network", "norm", "library", "name"), group, strict=True)),
            "budgets": {str(budget): _reached(found[budget], best) for budget in BUDGETS},
        }
        for group, found in groups.items()
    ]


def _reached(runs: list[dict[str, Any]], best: dict[Key, np.ndarray]) -> dict[str, Any]:
    """Of one attack at one budget: LO of each seed, the rest over all seeds."""
    los = [
        optimality(np.array(run["distances"]), best[run["network"], run["norm"], run["seed"]])
        for run in runs
    ]
    distances = np.concatenate([run["distances"] for run in runs])
    median = float(np.quantile(distances, 0.5, method="lower"))
    return {
        "optimality": [round(lo, 4) for lo in los],
        "success": round(float(np.isfinite(distances).mean()), 4),
        "median": float(f"{median:.4g}") if np.isfinite(median) else None,
        "seconds": float(f"{np.mean([run['seconds'] for run in runs]):.3g}"),
        "passes": round(float(np.mean([run["passes"] for run in runs])), 1),
    }


def mean(entry: dict[str, Any], budget: int) -> float:
    """LO over the seeds."""
    return float(np.mean(entry["budgets"][str(budget)]["optimality"]))


def goals(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Beside the best published attack, the best of ours and the ensemble, at each budget."""
    rows = []
    for network in dict.fromkeys(one["network"] for one in found):
        for norm in NORMS:
            here = [one for one in found if (one["network"], one["norm"]) == (network, norm)]
            if not here:
                continue
            for budget in BUDGETS:
                own = [one for one in here if one["library"] == OURS]
                peers = [one for one in here if one["library"] != OURS]
                ours, theirs = (
                    max(some, key=lambda one: mean(one, budget)) for some in (own, peers)
                )
                ensemble = next(one for one in own if one["name"] == ENSEMBLE)
                rows.append({
                    "network": network,
                    "norm": norm,
                    "budget": budget,
                    "peer": f"{theirs['library']} {theirs['name']}",
                    "theirs": mean(theirs, budget),
                    "own": ours["name"],
                    "ours": mean(ours, budget),
                    "ensemble": mean(ensemble, budget),
                })  # fmt: skip
    return rows
