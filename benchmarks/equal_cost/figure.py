"""Robust accuracy against the distance that is allowed: a figure for each norm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advsparse.figures.style import WIDTH, look, plt
from benchmarks.attacks import OURS
from benchmarks.equal_cost.measuring import BUDGETS
from benchmarks.equal_cost.optimality import robust_accuracy
from benchmarks.equal_cost.summary import ENSEMBLE, best_known, mean

MOST = 5
"""Attacks of ours, and published ones, that are drawn: those of largest LO at the larger budget."""
POINTS = 60
UNITS = {"l2": "l2 norm", "linf": "linf norm", "l1": "l1 norm", "l0": "changed entries"}


def drawn(runs: list[dict[str, Any]], entries: list[dict[str, Any]], norm: str, path: Path) -> None:
    """Panels of the networks, one below the other, and of the budgets, side by side.

    Ours have full lines, the ensemble a thick one, and published attacks broken ones of the same
    colour.
    """
    runs = [run for run in runs if run["norm"] == norm]
    best = best_known(runs)
    networks = list(dict.fromkeys(run["network"] for run in runs))
    chosen = _leading([entry for entry in entries if entry["norm"] == norm])
    figure, axes = plt.subplots(
        len(networks), len(BUDGETS), figsize=(WIDTH, 2.4 * len(networks) + 0.9),
        sharey=True, sharex="row", squeeze=False,
    )  # fmt: skip
    for network, line in zip(networks, axes, strict=True):
        known = np.concatenate([best[key] for key in best if key[0] == network])
        eps = np.linspace(0, np.quantile(known[np.isfinite(known)], 0.98), POINTS)
        for budget, ax in zip(BUDGETS, line, strict=True):
            ax.plot(eps, robust_accuracy(known, eps), ":", color="black", label="all together")
            for library, name in chosen:
                found = [
                    run["distances"]
                    for run in runs
                    if (run["network"], run["budget"]) == (network, budget)
                    and (run["library"], run["name"]) == (library, name)
                ]
                _curve(ax, eps, np.concatenate(found), library, name)
            ax.set(title=f"{network}, {budget} passes", ylim=(0, 1), xlim=(0, eps[-1]))
        line[0].set_ylabel("robust accuracy")
    for ax in axes[-1]:
        ax.set_xlabel(f"allowed perturbation, {UNITS[norm]}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    with plt.rc_context({"svg.hashsalt": "advsparse"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _leading(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Of ours and of the published attacks those with the largest LO, over both networks."""
    total: dict[tuple[str, str], list[float]] = {}
    for entry in entries:
        found = total.setdefault((entry["library"], entry["name"]), [])
        found.append(mean(entry, BUDGETS[-1]))
    ranked = sorted(total, key=lambda one: -float(np.mean(total[one])))
    own = [one for one in ranked if one[0] == OURS][:MOST]
    # Of the same attack in several libraries the better one: they would look the same.
    peers = {name: (library, name) for library, name in reversed(ranked) if library != OURS}
    return own + [one for one in ranked if one in peers.values()][:MOST]


def _curve(ax: Any, eps: np.ndarray, distances: np.ndarray, library: str, name: str) -> None:
    style = look(name)
    own = library == OURS
    ax.plot(
        eps,
        robust_accuracy(distances, eps),
        "-" if own else "--",
        color=style.colour,
        marker=style.marker,
        markersize=4,
        markevery=(5 if own else 9, 16),
        linewidth=1.8 if own and name == ENSEMBLE else 1.1,
        label=f"{style.label} ({'ours' if own else library})",
    )
