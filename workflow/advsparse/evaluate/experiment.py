"""The evaluation rows of an experiment: several attacks, on one or more classifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from advsparse.artifacts import ROW_COLUMNS, read_arrays
from advsparse.data._io import load_dataset
from advsparse.evaluate.attacked import attack_metrics, clean_metrics
from advsparse.evaluate.statistics import Estimate, number
from advsparse.failures import reason
from advsparse.models._io import load_classifier

logger = logging.getLogger(__name__)

Evaluated = tuple[str, str, Iterable[tuple[str, Estimate]]]
"""An attack's id, its warnings, and its metrics by name."""


def experiment_rows(
    settings: Mapping[str, Any],
    *,
    paper: str,
    experiment: str,
    attacks: Sequence[str | Path],
    classifiers: Sequence[str | Path],
    datasets: Sequence[str | Path],
    failures: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
):
    """A frame of evaluation rows with the columns ROW_COLUMNS.

    ``settings["attacks"]`` names id, model and dataset of each attack. ``failures`` holds the
    records of those that failed, by id, ``attacks`` a file for each of the others, in order;
    ``classifiers`` and ``datasets`` hold a file for each name, called after it, of those that are
    there. Each classifier first gets a row for the attack "none": its accuracy on the whole clean
    test set. An attack that failed, be it for want of its classifier, has one row, of the metric
    "failed".
    """
    import pandas as pd

    models = {Path(path).stem: path for path in classifiers}
    data = {Path(path).stem: path for path in datasets}
    failures = failures or {}
    ids = [entry["id"] for entry in settings["attacks"] if entry["id"] not in failures]
    paths = dict(zip(ids, attacks, strict=True))
    rows = []
    for model in dict.fromkeys(entry["model"] for entry in settings["attacks"]):
        entries = [entry for entry in settings["attacks"] if entry["model"] == model]
        dataset = entries[0]["dataset"]
        common = {"paper": paper, "experiment": experiment, "dataset": dataset, "model": model}
        common |= {"defence": "none", "seed": settings["seed"]}
        done = [(entry, paths[entry["id"]]) for entry in entries if entry["id"] in paths]
        evaluated: Iterable[Evaluated] = ()
        if model in models:
            evaluated = _evaluated(models[model], data[dataset], done, settings["seed"], device)
        for attack, note, metrics in evaluated:
            for name, estimate in metrics:
                values = {"metric": name, "value": estimate.value, "n": estimate.n}
                interval = {"ci_low": estimate.low, "ci_high": estimate.high}
                words = {"note": note if name == "warnings" else ""}
                rows.append(common | {"attack": attack} | values | interval | words)
        for entry in entries:
            if entry["id"] in failures:
                values = {"metric": "failed", "value": 1.0, "n": 0, "ci_low": nan, "ci_high": nan}
                words = {"note": reason(failures[entry["id"]])}
                rows.append(common | {"attack": entry["id"]} | values | words)
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def _evaluated(classifier, dataset, entries, seed, device) -> Iterator[Evaluated]:
    model, _ = load_classifier(classifier, device)
    splits = load_dataset(dataset)
    yield "none", "", clean_metrics(model, splits.images("test"), splits.labels("test"))
    for entry, path in entries:
        attacked, metadata = read_arrays(path, stage="attack")
        split = metadata.params["images"]["split"]
        clean = splits.images(split, attacked["index"])
        logger.info("%s on %s: %d images", entry["id"], entry["model"], len(clean))
        warned = metadata.extra["warnings"]
        metrics = attack_metrics(model, clean, attacked, seed)
        yield entry["id"], "; ".join(warned), [*metrics, ("warnings", number(len(warned)))]
