"""The claims of sun2019 judged, and its numbers beside the reproduced ones, over repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import Claim, read_claims
from advsparse.evaluate.judging import judge_all
from advsparse.evaluate.repeated import Read, repeated
from advsparse.evaluate.statistics import proportion
from advsparse.evaluate.verdict_table import NOTE as VERDICTS
from advsparse.evaluate.verdict_table import claims_table, number_of
from advsparse.figures.origin import comparable, data_used, origins
from papers.sun2019 import found
from papers.sun2019.found import DATASETS, DEFENSES, Behind, Judged

_PLACES = {"static": "retrained", "adapted": "adapted", "transformations": "behind"}


def claims(inputs, settings):
    """The table of claims."""
    runs, origin = _runs(inputs, settings), _origins(settings)
    judgements = judge_all(
        read_claims(inputs["claims"]),
        lambda claim: runs,
        lambda claim: all(comparable(origin[name]) for name in _named(claim)),
    )
    frame = claims_table(judgements, lambda claim: _data(claim, origin))
    note = f"Built with preset {settings['preset']}, in {number_of(len(runs))}. {VERDICTS}"
    return {"frame": frame, "title": "sun2019: paper beside reproduced", "note": note}


def numbers(inputs, settings):
    """The table of numbers."""
    paper = pd.read_csv(inputs["accuracies"])
    runs, origin = _runs(inputs, settings), _origins(settings)
    lines = []
    for row in paper.itertuples():
        same = {"place": row.place, "dataset": DATASETS[row.dataset], "attack": row.attack}
        same |= {"defense": DEFENSES[row.defense]}
        estimates = []
        for run in runs:
            table = run["accuracy"]
            for column, value in same.items():
                table = table[table[column] == value]
            estimates += [proportion(right) for right in table["samples"].dropna()]
        said = f"{row.where}: {DEFENSES[row.defense]}, {row.attack}"
        lines.append(beside(said, row.where, row.value, estimates, origin[DATASETS[row.dataset]]))
    title = "sun2019: the paper's numbers beside the reproduced ones"
    return {"frame": pd.DataFrame(lines), "title": title, "note": NOTE}


def _runs(inputs, settings) -> list[dict[str, pd.DataFrame]]:
    """The tables that claims read, of each repetition."""
    names = [name for name in settings["reads"] if isinstance(settings["reads"][name], list)]
    every = {name: repeated(inputs, settings, name) for name in names}
    count = len(next(iter(every.values())))
    return [
        _tables({name: reads[number] for name, reads in every.items()}) for number in range(count)
    ]


def _tables(run: Mapping[str, Read]) -> dict[str, pd.DataFrame]:
    """The tables of one repetition."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("accuracy", "nearness", "penalties", "filters")
    }
    of_filters: list[Judged] = []
    for name, read in run.items():
        kind, _, dataset = name.partition("_")
        if kind in _PLACES and read.path is None:
            rows["accuracy"] += found.gaps(_PLACES[kind], dataset, read.failed or "")
        if read.path is None:
            continue
        if kind == "transformations":
            seen = Behind(read.path, read.told, dataset)
            rows["accuracy"] += found.accuracies("behind", dataset, seen)
            rows["nearness"] += found.nearness(dataset, seen)
        elif kind == "penalties":
            rows["penalties"] += found.penalties(Behind(read.path, read.told, dataset))
        else:
            judged = Judged(read.path, read.told, dataset)
            if kind == "static":
                rows["accuracy"] += found.accuracies("retrained", dataset, judged)
            if kind == "adapted":
                rows["accuracy"] += found.adapted(dataset, judged)
            if dataset == "imagenet10" and kind in ("static", "filters"):
                of_filters.append(judged)
    rows["filters"] += found.filters(of_filters)
    return {name: found.frame(those) for name, those in rows.items()}


def _origins(settings) -> dict[str, Any]:
    """Where the data comes from, by the words for the datasets."""
    return {
        DATASETS[name.partition("_")[2]]: origin
        for name, origin in origins(settings).items()
        if name.partition("_")[2] in DATASETS
    }


def _named(claim: Claim) -> list[str]:
    """The datasets that a claim speaks of; those of figures 5 and 7 are of ImageNet-10."""
    rows = [part.rows | part.a for part in claim.parts]
    named: list[str] = []
    for row, part in zip(rows, claim.parts, strict=True):
        given = row.get("dataset", list(DATASETS.values()))
        if part.reads in ("penalties", "filters"):
            given = DATASETS["imagenet10"]
        named += given if isinstance(given, list) else [given]
    return list(dict.fromkeys(map(str, named)))


def _data(claim: Claim, origin: Mapping[str, Any]) -> str:
    return "; ".join(dict.fromkeys(data_used(origin[name]) for name in _named(claim)))
