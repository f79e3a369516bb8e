"""The evaluation rows of an experiment: several attacks, judged by one or more classifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advsparse.artifacts import ROW_COLUMNS, read_arrays
from advsparse.data._io import load_dataset
from advsparse.evaluate.attacked import attack_metrics, clean_metrics, transfer_metrics
from advsparse.evaluate.statistics import Estimate, number
from advsparse.models._io import load_classifier

logger = logging.getLogger(__name__)

Evaluated = tuple[Mapping[str, str], str, Iterable[tuple[str, Estimate]]]
"""An attack, what it warned of, and its metrics."""

_CLEAN = {"id": "none", "model": ""}
"""No attack, made on no classifier."""


def experiment_rows(
    settings: Mapping[str, Any],
    *,
    paper: str,
    experiment: str,
    attacks: Sequence[str | Path],
    classifiers: Sequence[str | Path],
    datasets: Sequence[str | Path],
    failures: Mapping[str, Mapping[str, str]] | None = None,
    device: str = "cpu",
):
    """A frame of evaluation rows with the columns ROW_COLUMNS.

    ``settings["attacks"]`` names id, model and dataset of each attack, ``settings["judges"]`` the
    classifiers that judge the images of each; without any, the attacked one does. ``attacks`` holds
    a file for each attack that has not failed, in order; ``classifiers`` and ``datasets`` hold a
    file for each name, called after it, of those that are there. ``failures`` says, under
    ``attacks`` and ``classifiers``, why the others are not.

    Each classifier first gets a row for the attack "none": its accuracy on the whole clean test
    set. An attack that failed, be it for want of its classifier or of the one that is to judge it,
    has one row, of the metric "failed".
    """
    import pandas as pd

    entries, judges, failures = settings["attacks"], settings["judges"], failures or {}
    failed, absent = (failures.get(name, {}) for name in ("attacks", "classifiers"))
    models = {Path(path).stem: path for path in classifiers}
    data = {Path(path).stem: path for path in datasets}
    ids = [entry["id"] for entry in entries if entry["id"] not in failed]
    paths = dict(zip(ids, attacks, strict=True))
    rows = []
    for judge in judges or dict.fromkeys(entry["model"] for entry in entries):
        judged = [entry for entry in entries if judges or entry["model"] == judge]
        dataset = judged[0]["dataset"]
        common = {"paper": paper, "experiment": experiment, "dataset": dataset, "model": judge}
        common |= {"defence": "none", "seed": settings["seed"]}
        evaluated: Iterable[Evaluated] = ()
        if judge in models:
            done = [(entry, paths[entry["id"]]) for entry in judged if entry["id"] in paths]
            model, _ = load_classifier(models[judge], device)
            evaluated = _evaluated(judge, model, data[dataset], done, settings["seed"])
        for entry, note, metrics in evaluated:
            rows += [common | row for row in _rows(entry, note, metrics)]
        for entry in judged:
            if why := failed.get(entry["id"]) or absent.get(judge):
                rows.append(common | _failed(entry, why))
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def _evaluated(judge, model, dataset, entries, seed) -> Iterator[Evaluated]:
    splits = load_dataset(dataset)
    yield _CLEAN, "", clean_metrics(model, splits.images("test"), splits.labels("test"))
    for entry, path in entries:
        attacked, metadata = read_arrays(path, stage="attack")
        clean = splits.images(metadata.params["images"]["split"], attacked["index"])
        logger.info("%s on %s: %d images", entry["id"], judge, len(clean))
        warned = metadata.extra["warnings"]
        measured = attack_metrics if entry["model"] == judge else transfer_metrics
        metrics = measured(model, clean, attacked, seed)
        yield entry, "; ".join(warned), [*metrics, ("warnings", number(len(warned)))]


def _rows(entry, note: str, metrics) -> Iterator[dict[str, Any]]:
    for name, estimate in metrics:
        values = {"metric": name, "value": estimate.value, "n": estimate.n}
        interval = {"ci_low": estimate.low, "ci_high": estimate.high}
        words = {"note": note if name == "warnings" else ""}
        yield _attack(entry) | values | interval | words


def _failed(entry, why: str) -> dict[str, Any]:
    # Without an interval: the frame has NaN for what a row lacks.
    return _attack(entry) | {"metric": "failed", "value": 1.0, "n": 0, "note": why}


def _attack(entry) -> dict[str, str]:
    return {"attacked": entry["model"], "attack": entry["id"]}
