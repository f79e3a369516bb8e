"""The section of docs/benchmarks.md, from its numbers in docs/benchmarks.json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.equal_cost.measuring import BUDGETS, NORMS
from benchmarks.equal_cost.summary import ENOUGH, LESS, goals, mean

TITLE = "Attacks at equal cost"
SPREAD = 0.005
"""Half the range of LO over the seeds from which on it is shown."""

FIGURES = """\
Over the images of all seeds, of the five attacks of ours and the five published ones with the
largest LO at the larger budget: ours in full lines, published ones in broken lines of the same
colour, and dotted the nearest images of all attacks together.
"""

Table = Callable[[list, list[str]], str]


def rendered(one: dict[str, Any], table: Table) -> str:
    """What comes between the title and the origin."""
    parts = [one["settings"], *_alone(one), "### What was reached\n", _goals(one["entries"], table)]
    for network, said in one["networks"].items():
        for norm in NORMS:
            here = [
                entry
                for entry in one["entries"]
                if (entry["network"], entry["norm"]) == (network, norm)
            ]
            if here:
                parts += [f"### {norm}, {network}\n", f"{said[0].upper()}{said[1:]}.\n"]
                parts.append(_attacks(here, table))
    parts += ["### Robust accuracy against the allowed perturbation\n", FIGURES]
    for norm, name in one["figures"].items():
        parts.append(f"![Robust accuracy against the distance, {norm}]({name})\n")
    parts += ["### Settings\n", _settings(one["said"], table)]
    return "\n".join(parts)


def _alone(one: dict[str, Any]) -> list[str]:
    """Which norms were measured by themselves, and when."""
    return [
        f"{norm} was measured by itself, on {when['measured']}, commit {when['commit'][:9]}.\n"
        for norm, when in one.get("alone", {}).items()
    ]


def _goals(entries: list[dict[str, Any]], table: Table) -> str:
    rows = []
    for row in goals(entries):
        reached = row["ours"] >= row["theirs"] - LESS
        ensemble = f"{row['ensemble']:.3f}"
        if row["budget"] == BUDGETS[-1]:
            ensemble += f", {'yes' if row['ensemble'] >= ENOUGH else 'no'}"
        rows.append([
            f"{row['norm']}, {row['network']}",
            str(row["budget"]),
            f"{row['peer']} {row['theirs']:.3f}",
            f"`{row['own']}` {row['ours']:.3f}",
            "yes" if reached else "no",
            ensemble,
        ])  # fmt: skip
    columns = ["norm, network", "passes", "best published", "best of ours", "reached", "`nearest`"]
    return table(rows, columns)


def _attacks(entries: list[dict[str, Any]], table: Table) -> str:
    columns = ["attack", "library"]
    for budget in BUDGETS:
        columns += [f"LO, {budget}", "success", "median", "s", "passes"]
    ranked = sorted(entries, key=lambda entry: -mean(entry, BUDGETS[-1]))
    rows = []
    for entry in ranked:
        cells = [cell for budget in BUDGETS for cell in _cells(entry, budget)]
        rows.append([entry["name"], entry["library"], *cells])
    return table(rows, columns)


def _cells(entry: dict[str, Any], budget: int) -> list[str]:
    found = entry["budgets"][str(budget)]
    half = float(np.ptp(found["optimality"])) / 2
    spread = f" ± {half:.3f}" if half >= SPREAD else ""
    return [
        f"{mean(entry, budget):.3f}{spread}",
        f"{found['success']:.2f}",
        "" if found["median"] is None else f"{found['median']:.3g}",
        f"{found['seconds']:.2g}",
        f"{found['passes']:.0f}",
    ]


def _settings(said: list[list[str]], table: Table) -> str:
    words = "How the attacks are called, where steps that fit the budget are not all:\n"
    return f"{words}\n{table(said, ['attack', 'library', 'norms', 'settings'])}"
