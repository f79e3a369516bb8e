"""The evaluation rows of an experiment: several attacks, on one or more classifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advsparse.artifacts import ROW_COLUMNS, read_arrays
from advsparse.data._io import load_dataset
from advsparse.evaluate.attacked import attack_metrics, clean_metrics
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
    device: str = "cpu",
):
    """A frame of evaluation rows with the columns ROW_COLUMNS.

    ``settings["attacks"]`` names id, model and dataset of each file of ``attacks``;
    ``classifiers`` and ``datasets`` hold a file for each name, called after it. Each classifier
    first gets a row for the attack "none": its accuracy on the whole clean test set.
    """
    import pandas as pd

    models = {Path(path).stem: path for path in classifiers}
    data = {Path(path).stem: path for path in datasets}
    rows = []
    for model in models:
        entries = [
            (entry, path)
            for entry, path in zip(settings["attacks"], attacks, strict=True)
            if entry["model"] == model
        ]
        dataset = entries[0][0]["dataset"]
        common = {"paper": paper, "experiment": experiment, "dataset": dataset, "model": model}
        common |= {"defence": "none", "seed": settings["seed"]}
        for attack, metrics in _evaluated(
            models[model], data[dataset], entries, settings["seed"], device
        ):
            for name, estimate in metrics:
                values = {"metric": name, "value": estimate.value, "n": estimate.n}
                interval = {"ci_low": estimate.low, "ci_high": estimate.high}
                rows.append(common | {"attack": attack} | values | interval)
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def _evaluated(classifier, dataset, entries, seed, device) -> Iterator[tuple]:
    model, _ = load_classifier(classifier, device)
    splits = load_dataset(dataset)
    yield "none", clean_metrics(model, splits.images("test"), splits.labels("test"))
    for entry, path in entries:
        attacked, metadata = read_arrays(path, stage="attack")
        split = metadata.params["images"]["split"]
        clean = splits.images(split, attacked["index"])
        logger.info("%s on %s: %d images", entry["id"], entry["model"], len(clean))
        yield entry["id"], attack_metrics(model, clean, attacked, seed)
