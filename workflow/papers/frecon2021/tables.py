"""The tables of frecon2021: its claims beside what was rebuilt, and the cost of learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.figures.origin import data_used
from papers.frecon2021.points import experiment_table

SPECIFIC = ("fgsm", "pgd", "deepfool")
COMPROMISE = {"lambda1": 0.1, "lambda2": 0.001}


def cost(inputs, settings):
    """Seconds per iteration of learning and per attacked image, beside the paper's."""
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    learned, fit = read_arrays(inputs["fit"], stage="fit")
    attacked, attack = read_arrays(inputs["attack"], stage="attack")
    iterations, images = max(len(learned["step"]), 1), len(attacked["x_adv"])
    frame = pd.DataFrame(
        [
            _timed(values, "learning time", fit.extra["seconds"] / iterations),
            _timed(values, "attack time", attack.extra["seconds"] / images),
        ]
    )
    note = (
        f"Learning {len(learned['atoms'])} atoms from {len(learned['codes'])} images took "
        f"{iterations} iterations; {images} unseen images were attacked together. Measured on "
        f"{data_used(settings['origin'])}, device {fit.device}, while other jobs ran beside it. "
        "The paper measured on another machine: the ratio is no claim about its code."
    )
    return {"frame": frame, "title": "Cost of SCADA", "note": note}


def _timed(values, quantity: str, seconds: float) -> dict:
    paper = values.at[quantity, "value"]
    return {
        "quantity": quantity,
        "unit": values.at[quantity, "unit"],
        "paper": paper,
        "reproduced": seconds,
        "paper / reproduced": paper / seconds,
        "paper's machine": values.at[quantity, "where"],
    }


def claims(inputs, settings):
    """What the paper states, what was found, the difference, and whether the claim holds."""
    rows, _ = read_rows(inputs["tradeoff"], stage="rows")
    sweep, _ = read_rows(inputs["atoms"], stage="rows")
    table = experiment_table(rows, settings["points"])
    atoms = experiment_table(sweep, settings["atoms"])
    stated = pd.read_csv(inputs["claims"]).set_index("claim")
    where = data_used(settings["origin"])
    records = [_accuracy(inputs, rows, settings["origin"])]
    for name, judge in JUDGES.items():
        found = judge(Evidence(table, atoms, settings["shown"], pd.read_csv(inputs["codes"])))
        records.append(
            {
                "claim": name,
                "where": stated.at[name, "where"],
                "paper": stated.at[name, "statement"],
                "reproduced": found.text,
                "difference": found.difference,
                "verdict": found.verdict,
            }
        )
    frame = pd.DataFrame(records).assign(data=where)
    note = (
        f"Rebuilt on {where} with preset {settings['origin']['preset']}. A claim that compares "
        "several pairs holds if all of them agree, holds in part if most do. "
    )
    if settings["origin"]["stand_in"]:
        note += "On a stand-in only orderings and trends can be judged, never absolute numbers."
    return {"frame": frame, "title": "frecon2021: paper beside reproduced", "note": note}


def _accuracy(inputs, rows, origin) -> dict:
    stated = pd.read_csv(inputs["values"]).set_index("quantity")
    quantity = "test accuracy of LeNet on CIFAR-10"
    paper = stated.at[quantity, "value"]
    row = rows[(rows["attack"] == "none") & (rows["metric"] == "accuracy")].iloc[0]
    if origin["stand_in"]:
        difference, verdict = "", "not comparable: built on a stand-in"
    else:
        difference = f"{row['value'] - paper:+.3f}"
        inside = row["ci_low"] <= paper <= row["ci_high"]
        verdict = "within the interval" if inside else "outside the interval"
    interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
    return {
        "claim": "accuracy",
        "where": stated.at[quantity, "where"],
        "paper": f"{paper:.1%} test accuracy",
        "reproduced": f"{row['value']:.3f} ({interval}, n = {int(row['n'])})",
        "difference": difference,
        "verdict": verdict,
    }


class Evidence:
    """What claims are judged on."""

    def __init__(self, table, atoms, shown: str, codes) -> None:
        self.shown = table[table["id"] == shown].iloc[0]
        self.grid = table[table["name"] == "scada"]
        self.alive = self.grid[self.grid["dead_start"] == 0]
        self.dead = len(self.grid) - len(self.alive)
        self.specific = table[table["kind"].isin(SPECIFIC)]
        self.universal = table[table["kind"] == "uap"]
        self.atoms = atoms.sort_values("atoms")
        self.codes = codes.filter(regex=r"^v\d+$").to_numpy()

    @property
    def compromise(self):
        """The point of the grid nearest to the paper's (0.1, 0.001)."""
        distance = sum(
            np.abs(np.log(self.grid[name].clip(lower=1e-12) / value))
            for name, value in COMPROMISE.items()
        )
        return self.grid.loc[distance.idxmin()]

    def best_within(self, rmse: float) -> float:
        """The highest fooling rate of the grid at an rMSE of at most ``rmse``."""
        within = self.grid[self.grid["rmse"] <= rmse]
        return within["fooling_rate"].max() if len(within) else 0.0


class Finding:
    """What was found of a claim: in words, as a difference, and the verdict on it."""

    def __init__(self, agreeing: int, pairs: int, text: str, difference: str = "") -> None:
        self.text, self.difference = text, difference
        if pairs == 0:
            self.verdict = "can't be judged: nothing to compare"
        elif agreeing == pairs:
            self.verdict = "holds"
        else:
            part = "holds in part" if agreeing > pairs / 2 else "does not hold"
            self.verdict = f"{part} ({agreeing} of {pairs})" if pairs > 1 else part


def _sparse_codes(evidence: Evidence) -> Finding:
    mean, count = evidence.shown["active_atoms"], evidence.codes.shape[1]
    stated = np.count_nonzero(evidence.codes, axis=1).mean()
    text = f"{mean:.2f} active atoms on average at {evidence.shown['id']}"
    return Finding(int(mean <= count / 2), 1, text, f"{mean - stated:+.2f} atoms")


def _weight(evidence: Evidence, varied: str, other: str, rises: bool) -> Finding:
    """Whether fooling rate and rMSE both follow a weight, for each value of the other one."""
    changes = list(_changes(evidence.alive, varied, other, rises))
    agreeing = sum(rate > 0 for rate, _ in changes) + sum(ratio > 1 for _, ratio in changes)
    if not changes:
        return Finding(0, 0, "no two points of the grid left v = 0")
    rate, ratio = np.mean([c[0] for c in changes]), np.exp(np.mean([np.log(c[1]) for c in changes]))
    end = "largest" if rises else "smallest"
    text = (
        f"towards the {end} {varied}, over {len(changes)} values of {other}: fooling rate "
        f"{rate:+.3f}, rMSE x {ratio:.2f}"
    )
    if evidence.dead:
        text += f"; {evidence.dead} dead starts left out"
    return Finding(agreeing, 2 * len(changes), text)


def _changes(grid, varied: str, other: str, rises: bool) -> Iterator[tuple[float, float]]:
    """Change of the fooling rate and ratio of the rMSE from one end of a weight to the other."""
    for _, line in grid.groupby(other):
        line = line.sort_values(varied, ascending=rises)
        if len(line) > 1 and line["rmse"].min() > 0:
            first, last = line.iloc[0], line.iloc[-1]
            yield last["fooling_rate"] - first["fooling_rate"], last["rmse"] / first["rmse"]


def _compromise(evidence: Evidence) -> Finding:
    point = evidence.compromise
    better = (evidence.grid["fooling_rate"] >= point["fooling_rate"]) & (
        evidence.grid["rmse"] < point["rmse"]
    )
    text = (
        f"{point['id']}: fooling rate {point['fooling_rate']:.3f} at rMSE {point['rmse']:.4f}; "
        f"{int(better.sum())} of the grid fool as often at a smaller rMSE"
    )
    return Finding(int(not better.any()), 1, text)


def _specific(evidence: Evidence) -> Finding:
    point, specific = evidence.compromise, evidence.specific
    smaller = specific[specific["rmse"] < point["rmse"]]
    if not len(smaller):
        return Finding(0, 0, f"none has an rMSE below SCADA's {point['rmse']:.4f}")
    best = smaller.loc[smaller["fooling_rate"].idxmax()]
    text = (
        f"up to {best['fooling_rate']:.3f} at rMSE {best['rmse']:.4f} ({best['id']}); SCADA "
        f"{point['fooling_rate']:.3f} at {point['rmse']:.4f}"
    )
    return Finding(int((smaller["fooling_rate"] < point["fooling_rate"]).sum()), len(smaller), text)


def _universal(evidence: Evidence) -> Finding:
    strongest = evidence.universal.loc[evidence.universal["fooling_rate"].idxmax()]
    lower = evidence.specific["fooling_rate"] < strongest["fooling_rate"]
    nearer = evidence.specific["rmse"] < strongest["rmse"]
    text = f"UAP: {strongest['fooling_rate']:.3f} at rMSE {strongest['rmse']:.4f}"
    return Finding(int((lower & nearer).sum()), len(evidence.specific), text)


def _tradeoff(evidence: Evidence, others) -> Finding:
    gains = [evidence.best_within(row.rmse) - row.fooling_rate for row in others.itertuples()]
    text = f"SCADA's best at no larger rMSE: {min(gains):+.3f} to {max(gains):+.3f}"
    return Finding(sum(gain > 0 for gain in gains), len(gains), text, f"{np.mean(gains):+.3f}")


def _atoms(evidence: Evidence) -> Finding:
    steps = evidence.atoms[["fooling_rate", "rmse"]].diff().iloc[1:]
    first, last = evidence.atoms.iloc[0], evidence.atoms.iloc[-1]
    text = (
        f"M = {int(first['atoms'])}: {first['fooling_rate']:.3f} at rMSE {first['rmse']:.4f}; "
        f"M = {int(last['atoms'])}: {last['fooling_rate']:.3f} at {last['rmse']:.4f}"
    )
    agreeing = int((steps["fooling_rate"] >= 0).sum() + (steps["rmse"] <= 0).sum())
    return Finding(agreeing, 2 * len(steps), text)


JUDGES: dict[str, Callable[[Evidence], Finding]] = {
    "sparse_codes": _sparse_codes,
    "lambda2": lambda e: _weight(e, "lambda2", "lambda1", rises=False),
    "lambda1": lambda e: _weight(e, "lambda1", "lambda2", rises=True),
    "compromise": _compromise,
    "specific": _specific,
    "universal": _universal,
    "tradeoff_universal": lambda e: _tradeoff(e, e.universal),
    "tradeoff_specific": lambda e: _tradeoff(e, e.specific),
    "atoms": _atoms,
}
