"""The verdicts on the paper's claims: a criterion for each, and its judge.

Every comparison is of 95 % intervals: it speaks for the claim, against it, or is within the noise.
Dead starts of SCADA are no evidence for anything and are left out. A claim is not judged where an
attack that its criterion speaks of has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advsparse.evaluate.findings import Finding
from papers.frecon2021.points import live

SPECIFIC = ("fgsm", "pgd", "deepfool")
COMPROMISE = {"lambda1": 0.1, "lambda2": 0.001}


@dataclass(frozen=True)
class Evidence:
    """The points of the two experiments, and which of the grid the paper illustrates."""

    table: pd.DataFrame
    sweep: pd.DataFrame
    shown: str

    @property
    def grid(self) -> pd.DataFrame:
        """The live points of SCADA's grid."""
        return live(self._all("grid"))

    @property
    def specific(self) -> pd.DataFrame:
        return self._all("specific")

    @property
    def universal(self) -> pd.DataFrame:
        return self._all("universal")

    def _all(self, group: str) -> pd.DataFrame:
        """All points of a group, those of attacks that failed among them."""
        table = self.table
        return {
            "grid": table[table["name"] == "scada"],
            "specific": table[table["kind"].isin(SPECIFIC)],
            "universal": table[table["kind"] == "uap"],
            "shown": table[table["id"] == self.shown],
            "sweep": self.sweep,
        }[group]

    def failed(self, groups: Iterable[str]) -> dict[str, str]:
        """The attacks of some groups that failed, and why."""
        points = pd.concat([self._all(group)[["id", "failed"]] for group in groups])
        return points[points["failed"].notna()].set_index("id")["failed"].to_dict()

    @property
    def compromise(self) -> pd.Series | None:
        """The live point nearest to the paper's (0.1, 0.001), by ratio."""
        if not len(self.grid):
            return None
        distance = sum(
            np.log(self.grid[name].astype(float).clip(lower=1e-12) / value).abs()
            for name, value in COMPROMISE.items()
        )
        return self.grid.loc[distance.idxmin()]


def higher(a, b, metric: str) -> int:
    """1 if ``a`` lies above ``b`` with their intervals apart, -1 if below, 0 if they overlap."""
    if a[f"{metric}_low"] > b[f"{metric}_high"]:
        return 1
    return -1 if a[f"{metric}_high"] < b[f"{metric}_low"] else 0


def strongest(points: pd.DataFrame) -> pd.Series:
    return points.loc[points["fooling_rate"].astype(float).idxmax()]


def described(point) -> str:
    return f"{point['fooling_rate']:.3f} at rMSE {point['rmse']:.4f}"


def sparse_codes(evidence: Evidence) -> Finding:
    point = evidence.table[evidence.table["id"] == evidence.shown].iloc[0]
    if point["dead_start"] == 1:
        return Finding(f"{point['id']} is a dead start")
    half = point["atoms"] / 2
    few, many = point["active_atoms_high"] <= half, point["active_atoms_low"] > half
    text = f"{point['active_atoms']:.2f} of {int(point['atoms'])} atoms on average ({point['id']})"
    return Finding(text, (1 if few else -1 if many else 0,))


def weight(varied: str, other: str, rising: bool) -> Callable[[Evidence], Finding]:
    """The judge of a claim that fooling rate and rMSE rise as ``varied`` rises (or falls)."""

    def judge(evidence: Evidence) -> Finding:
        ends = []
        for _, line in evidence.grid.groupby(other):
            if len(line) > 1:
                line = line.sort_values(varied, ascending=rising)
                ends.append((line.iloc[0], line.iloc[-1]))
        if not ends:
            return Finding(f"no two live points of the grid differ in {varied} alone")
        comparisons = tuple(
            higher(last, first, metric)
            for first, last in ends
            for metric in ("fooling_rate", "rmse")
        )
        change = np.mean([last["fooling_rate"] - first["fooling_rate"] for first, last in ends])
        ratio = np.exp(np.mean([np.log(last["rmse"] / first["rmse"]) for first, last in ends]))
        text = (
            f"towards the {'largest' if rising else 'smallest'} live {varied}, over {len(ends)} "
            f"values of {other}: fooling rate {change:+.3f}, rMSE x {ratio:.2f}"
        )
        return Finding(text, comparisons)

    return judge


def compromise(evidence: Evidence) -> Finding:
    point, grid = evidence.compromise, evidence.grid
    if len(grid) < 2:
        return Finding("fewer than two live points of the grid")
    better = grid[(grid["rmse"] < point["rmse"]) & (grid["fooling_rate"] >= point["fooling_rate"])]
    apart = [higher(point, other, "rmse") == 1 for _, other in better.iterrows()]
    text = (
        f"{point['id']}: {described(point)}; {len(better)} others fool as often at a smaller rMSE, "
        f"{sum(apart)} of them beyond the noise"
    )
    return Finding(text, (-1 if any(apart) else 0 if len(better) else 1,))


def specific(evidence: Evidence) -> Finding:
    point = evidence.compromise
    if point is None:
        return Finding("SCADA has no live point")
    smaller = evidence.specific[evidence.specific["rmse"] < point["rmse"]]
    best = [strongest(group) for _, group in smaller.groupby("name", sort=False)]
    text = "; ".join(f"{attack['name']} {described(attack)}" for attack in best)
    comparisons = tuple(higher(point, attack, "fooling_rate") for attack in best)
    return Finding(f"SCADA {described(point)}; {text or 'none is nearer'}", comparisons)


def universal(evidence: Evidence) -> Finding:
    if not len(evidence.universal) or not len(evidence.specific):
        return Finding("no UAP, or no specific attack to compare with")
    uap = strongest(evidence.universal)
    best = [strongest(group) for _, group in evidence.specific.groupby("name", sort=False)]
    comparisons = []
    for attack in best:
        more = higher(uap, attack, "fooling_rate")
        further = higher(uap, attack, "rmse")
        comparisons.append(min(more, further))
    text = "; ".join(f"{attack['name']} {described(attack)}" for attack in best)
    return Finding(f"UAP {described(uap)}; {text}", tuple(comparisons))


def tradeoff(others: Callable[[Evidence], pd.DataFrame]) -> Callable[[Evidence], Finding]:
    """The judge of a claim that SCADA fools more often than others at no larger rMSE."""

    def judge(evidence: Evidence) -> Finding:
        comparisons, gains, below = [], [], 0
        for _, other in others(evidence).iterrows():
            within = evidence.grid[evidence.grid["rmse"] <= other["rmse"]]
            if len(within):
                best = strongest(within)
                comparisons.append(higher(best, other, "fooling_rate"))
                gains.append(best["fooling_rate"] - other["fooling_rate"])
            else:
                below += 1
        parts = []
        if gains:
            parts.append(
                f"SCADA's best at no larger rMSE, at {len(gains)} points: "
                f"{min(gains):+.3f} to {max(gains):+.3f}"
            )
        if below:
            top = strongest(others(evidence))
            parts.append(
                f"{below} not compared, nearer than every live point of SCADA; the strongest of "
                f"all fools {described(top)} ({top['id']})"
            )
        return Finding("; ".join(parts) or "nothing to compare", tuple(comparisons))

    return judge


def atoms(evidence: Evidence) -> Finding:
    sweep = live(evidence.sweep).sort_values("atoms")
    if len(sweep) < 2:
        return Finding("fewer than two live numbers of atoms")
    first, last = sweep.iloc[0], sweep.iloc[-1]
    text = "; ".join(f"M = {int(p['atoms'])}: {described(p)}" for p in (first, last))
    return Finding(text, (higher(last, first, "fooling_rate"), higher(first, last, "rmse")))


JUDGES: dict[str, tuple[str, Callable[[Evidence], Finding], tuple[str, ...]]] = {
    "sparse_codes": (
        "at most half of the atoms are active on average",
        sparse_codes,
        ("shown",),
    ),
    "lambda2": (
        "for each lambda1, both are higher at the smallest lambda2 than at the largest",
        weight("lambda2", "lambda1", rising=False),
        ("grid",),
    ),
    "lambda1": (
        "for each lambda2, both are higher at the largest lambda1 than at the smallest",
        weight("lambda1", "lambda2", rising=True),
        ("grid",),
    ),
    "compromise": (
        "no other point fools as often at a smaller rMSE",
        compromise,
        ("grid",),
    ),
    "specific": (
        "each, at its strongest with a smaller rMSE than SCADA's compromise, fools less often",
        specific,
        ("grid", "specific"),
    ),
    "universal": (
        "at their strongest, UAP fools more often than each and is further away",
        universal,
        ("specific", "universal"),
    ),
    "tradeoff_universal": (
        "at no larger rMSE, SCADA's best fools more often than each UAP",
        tradeoff(lambda evidence: evidence.universal),
        ("grid", "universal"),
    ),
    "tradeoff_specific": (
        "at no larger rMSE, SCADA's best fools more often than each specific attack",
        tradeoff(lambda evidence: evidence.specific),
        ("grid", "specific"),
    ),
    "atoms": (
        "with the most atoms SCADA fools more often and is nearer than with one",
        atoms,
        ("sweep",),
    ),
}
"""For each claim its criterion, its judge, and the groups of attacks that it needs."""


def findings(evidence: Evidence) -> Iterable[tuple[str, str, Finding]]:
    """Each claim's name, its criterion, and what was found."""
    for name, (criterion, judge, needs) in JUDGES.items():
        if failed := evidence.failed(needs):
            reasons = "; ".join(dict.fromkeys(failed.values()))
            yield name, criterion, Finding(reasons, failed=tuple(failed))
        else:
            yield name, criterion, judge(evidence)
