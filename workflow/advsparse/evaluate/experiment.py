"""The evaluation rows of an experiment: several attacks, on one or more classifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from advsparse.artifacts import ROW_COLUMNS, read_arrays
from advsparse.data._io import load_dataset
from advsparse.evaluate.attacked import attack_metrics, clean_metrics, transfer_metrics
from advsparse.evaluate.statistics import number
from advsparse.models._io import load_classifier

logger = logging.getLogger(__name__)


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

    failures = failures or {}
    missing = {name: failures.get(name, {}) for name in ("attacks", "classifiers")}
    models = {Path(path).stem: path for path in classifiers}
    data = {Path(path).stem: path for path in datasets}
    ids = [entry["id"] for entry in settings["attacks"] if entry["id"] not in missing["attacks"]]
    paths = dict(zip(ids, attacks, strict=True))
    rows = []
    attacked = dict.fromkeys(entry["model"] for entry in settings["attacks"])
    for judge in settings["judges"] or attacked:
        entries = [
            entry for entry in settings["attacks"] if settings["judges"] or entry["model"] == judge
        ]
        dataset = entries[0]["dataset"]
        common = {"paper": paper, "experiment": experiment, "dataset": dataset, "model": judge}
        common |= {"defence": "none", "seed": settings["seed"]}
        evaluated = ()
        if judge in models:
            done = [(entry, paths[entry["id"]]) for entry in entries if entry["id"] in paths]
            evaluated = _evaluated(
                judge, models[judge], data[dataset], done, settings["seed"], device
            )
        for entry, note, metrics in evaluated:
            attack = {"attacked": entry["model"], "attack": entry["id"]}
            for name, estimate in metrics:
                values = {"metric": name, "value": estimate.value, "n": estimate.n}
                interval = {"ci_low": estimate.low, "ci_high": estimate.high}
                words = {"note": note if name == "warnings" else ""}
                rows.append(common | attack | values | interval | words)
        for entry in entries:
            why = missing["attacks"].get(entry["id"]) or missing["classifiers"].get(judge)
            if why:
                values = {"metric": "failed", "value": 1.0, "n": 0, "ci_low": nan, "ci_high": nan}
                attack = {"attacked": entry["model"], "attack": entry["id"]}
                rows.append(common | attack | values | {"note": why})
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def _evaluated(judge, classifier, dataset, entries, seed, device) -> Iterator[tuple]:
    model, _ = load_classifier(classifier, device)
    splits = load_dataset(dataset)
    clean = clean_metrics(model, splits.images("test"), splits.labels("test"))
    yield {"id": "none", "model": ""}, "", clean
    for entry, path in entries:
        attacked, metadata = read_arrays(path, stage="attack")
        split = metadata.params["images"]["split"]
        clean = splits.images(split, attacked["index"])
        logger.info("%s on %s: %d images", entry["id"], judge, len(clean))
        warned = metadata.extra["warnings"]
        measured = attack_metrics if entry["model"] == judge else transfer_metrics
        metrics = measured(model, clean, attacked, seed)
        yield entry, "; ".join(warned), [*metrics, ("warnings", number(len(warned)))]
