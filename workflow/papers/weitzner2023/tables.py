"""The tables of weitzner2023: its claims beside what was rebuilt, every test, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import Claim, read_claims
from advsparse.evaluate.judging import Judgement, Tables, judge_all
from advsparse.evaluate.repeated import repeated
from advsparse.evaluate.statistics import Estimate, mean
from advsparse.evaluate.verdict_table import NOTE as VERDICTS
from advsparse.evaluate.verdict_table import claims_table, effects_table
from advsparse.figures.origin import ROLES, comparable, data_used, origins
from papers.weitzner2023.found import accuracies, tables

_SYNTHETIC = "synthetic signals"
_OF = {"changes": "change", "crossed": "budgets", "codes": "signals", "errors": "signals"}
"""The analyses that tables are made of, by the tables' names; the rest are of correlations."""


def tests(inputs, settings):
    """Every effect that claims speak of, with its interval, and p for the claim and against it."""
    note = (
        "Effects are positive as claimed; those of ratios are logarithms. n is the number of "
        "images or signals of a run, or 1 where a run gives one number, of which fewer than three "
        "tell nothing."
    )
    return {
        "frame": effects_table(_judged(inputs, settings), lambda claim: _data(claim, settings)),
        "title": "weitzner2023: effects and tests",
        "note": note,
    }


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    frame = claims_table(_judged(inputs, settings), lambda claim: _data(claim, settings))
    note = (
        f"Built with preset {settings['preset']}. A verdict is of the data named in the last "
        f"column, and of networks as that preset trains them. {VERDICTS}"
    )
    title = "weitzner2023: paper beside reproduced"
    return {"frame": frame, "title": title, "note": note}


def _judged(inputs, settings) -> list[Judgement]:
    read = {name: repeated(inputs, settings, name) for name in _analyses(settings)}

    def runs(claim: Claim) -> list[Tables | str]:
        # Together, as each is made from the same networks in a run.
        names = _analyses_of(claim)
        found: list[Tables | str] = []
        for run in zip(*(read[name] for name in names), strict=False):
            failed = [name for name, one in zip(names, run, strict=True) if one.path is None]
            paths = {name: one.path for name, one in zip(names, run, strict=True)}
            found.append(", ".join(failed) or found_in(paths))
        return found

    known: dict[tuple[tuple[str, str], ...], Tables] = {}

    def found_in(paths: dict[str, Any]) -> Tables:
        key = tuple(sorted(paths.items()))
        if key not in known:
            known[key] = tables(paths)
        return known[key]

    data = origins(settings)
    of_paper = {name: comparable(origin) for name, origin in data.items()}
    return judge_all(
        read_claims(inputs["claims"]), runs, lambda claim: of_paper.get(_analysis(claim), True)
    )


def _analyses(settings) -> list[str]:
    """The names of the inputs that are analyses of each repetition."""
    return [name for name, told in settings["reads"].items() if isinstance(told, list)]


def _analyses_of(claim: Claim) -> list[str]:
    """The analyses that a claim is judged by."""
    names = []
    for part in claim.parts:
        if part.reads == "drops":
            cost = isinstance(part.a["what"], str) and part.a["what"].startswith("cost")
            names += ["budgets_cifar10", "budgets_mnist"] if cost else ["signals"]
            continue
        kind = _OF.get(part.reads, "correlation")
        data, role = part.rows.get("data"), part.rows.get("role")
        names.append(str(data) if data else f"{kind}_{role}" if role else kind)
    return list(dict.fromkeys(names))


def _analysis(claim: Claim) -> str:
    return _analyses_of(claim)[0]


def numbers(inputs, settings):
    """Every number that the paper gives of its figures 5 and 7, beside the reproduced one."""
    records = list(_energies(inputs, settings))
    names = [name for name in _analyses(settings) if name.startswith("budgets_")]
    found = {
        name: [
            accuracies(one.path, name)
            for one in repeated(inputs, settings, name)
            if one.path is not None
        ]
        for name in names
    }
    for printed in pd.read_csv(inputs["accuracies"]).itertuples():
        same = {"attack": printed.attack, "budget": printed.budget, "clamped": False}
        name = f"budgets_{printed.role}"
        rows = [row for table in found.get(name, []) for row in _having(table, same)]
        if not rows:
            continue
        quantity = f"accuracy on {ROLES[printed.role]} under {printed.attack} at {printed.budget:g}"
        ours = [Estimate(row.value, row.n, row.low, row.high) for row in rows]
        origin = origins(settings)[name]
        records.append(beside(quantity, "figure 7", printed.accuracy, ours, origin))
    title = "weitzner2023: the paper's numbers beside the reproduced ones"
    return {"frame": pd.DataFrame(records), "title": title, "note": NOTE}


def _having(table: pd.DataFrame, values: dict[str, Any]) -> Iterator[Any]:
    for column, value in values.items():
        table = table[table[column] == value] if len(table) else table
    yield from table.itertuples()


def _energies(inputs, settings) -> Iterator[dict[str, Any]]:
    values = pd.read_csv(inputs["values"]).set_index("quantity")
    origin = {"stand_in": False, "data": _SYNTHETIC, "preset": settings["preset"]}
    read = [one.path for one in repeated(inputs, settings, "signals") if one.path is not None]
    runs = [read_arrays(path, stage="analysis") for path in read]
    for name in ("pgd", "noise") if runs else ():
        found = [
            mean((arrays[f"code_{name}"].astype("float64") ** 2).sum(1), metadata.seed)
            for arrays, metadata in runs
        ]
        value, where = values.loc[f"energy {name}", ["value", "where"]]
        yield beside(f"mean energy of the code of {name}", where, value, found, origin)


def _data(claim: Claim, settings) -> str:
    data = origins(settings)
    used = [data_used(data[name]) for name in _analyses_of(claim) if name in data]
    return "; ".join(dict.fromkeys(used)) or _SYNTHETIC
