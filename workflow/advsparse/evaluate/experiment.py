"""The evaluation rows of an experiment: several attacks, judged by one or more classifiers."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import ROW_COLUMNS, Chosen, read_arrays
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.evaluate.attacked import (
    Metric,
    attack_metrics,
    clean_metrics,
    predictions,
    transfer_metrics,
)
from advsparse.evaluate.samples import DEFENDED, samples_key
from advsparse.evaluate.shown import predicted_and_defended
from advsparse.evaluate.statistics import number
from advsparse.models._io import classes_of, load_classifier

logger = logging.getLogger(__name__)

Evaluated = tuple[Mapping[str, str], str, Iterable[Metric], np.ndarray, np.ndarray | None]
"""An attack, what it warned of, its metrics, the places of its images in their split, and what the
judge's transformation makes of the first, where it has one."""

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
    """A frame of evaluation rows with the columns ROW_COLUMNS, what each image did, and how many
    seconds each classifier took for a clean image, with what defends it.

    What each image did is an array for each row but those of failures, and ``image`` for each
    attack: the places of its images in their split, in whose order the others are; and, where the
    judge has a transformation in front, ``defended``: what it makes of the first of them. Their
    names are :func:`~advsparse.evaluate.samples.samples_key`'s.

    ``settings["attacks"]`` names id, model and dataset of each attack, ``settings["judges"]`` the
    classifiers that judge the images of each; without any, the attacked one does;
    ``settings["defenses"]`` the defences of those that have one. ``attacks`` holds
    a file for each attack that has not failed, in order; ``classifiers`` and ``datasets`` hold a
    file for each name, called after it, of those that are there. ``failures`` says, under
    ``attacks`` and ``classifiers``, why the others are not.

    Each classifier first gets a row for the attack "none": its accuracy on the whole clean test
    set, or on those images of it that ``settings["clean"]`` chooses for its dataset. An attack that
    failed, be it for want of its classifier or of the one that is to judge it, has one row, of the
    metric "failed".
    """
    import pandas as pd

    entries, judges, failures = settings["attacks"], settings["judges"], failures or {}
    failed, absent = (failures.get(name, {}) for name in ("attacks", "classifiers"))
    models = {Path(path).stem: path for path in classifiers}
    data = {Path(path).stem: path for path in datasets}
    ids = [entry["id"] for entry in entries if entry["id"] not in failed]
    paths = dict(zip(ids, attacks, strict=True))
    rows, samples, seconds = [], {}, {}
    for judge in judges or dict.fromkeys(entry["model"] for entry in entries):
        judged = [entry for entry in entries if judges or entry["model"] == judge]
        dataset = judged[0]["dataset"]
        common = {"paper": paper, "experiment": experiment, "dataset": dataset, "model": judge}
        common |= {"defense": settings["defenses"].get(judge, "none")}
        common |= {key: settings[key] for key in ("seed", "repetition")}
        evaluated: Iterable[Evaluated] = ()
        if judge in models:
            done = [(entry, paths[entry["id"]]) for entry in judged if entry["id"] in paths]
            model, _ = load_classifier(models[judge], device)
            clean = settings.get("clean", {}).get(dataset)
            evaluated = _evaluated(judge, model, data[dataset], done, clean, settings["seed"])
        for entry, note, metrics, images, transformed in evaluated:
            began = time.perf_counter()
            samples[samples_key(judge, entry["id"], "image")] = images
            if transformed is not None:
                samples[samples_key(judge, entry["id"], DEFENDED)] = transformed
            for metric in metrics:
                rows.append(common | _row(entry, note, metric))
                samples[samples_key(judge, entry["id"], metric.name)] = metric.samples
            if entry is _CLEAN:
                seconds[judge] = (time.perf_counter() - began) / len(images)
        for entry in judged:
            if why := failed.get(entry["id"]) or absent.get(judge):
                rows.append(common | _failed(entry, why))
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS)), samples, seconds


def _evaluated(judge, model, dataset, entries, clean, seed) -> Iterator[Evaluated]:
    splits = load_dataset(dataset)
    y, pixels = splits.labels("test"), splits.pixels("test")
    index = np.arange(len(y))
    if clean is not None:
        index = choose(len(y), **clean)
        y, pixels = y[index], Chosen(pixels, index)
    # What it says of clean images is asked once, as a defence in front of it may take long.
    of_tested = functools.cache(lambda: classes_of(model, pixels))
    yield _CLEAN, "", clean_metrics(model, pixels, y, of_tested), index, None
    place = {int(image): i for i, image in enumerate(index)}
    said: dict[tuple[str, bytes], np.ndarray] = {}
    for entry, path in entries:
        attacked, metadata = read_arrays(path, stage="attack")
        split = metadata.params["images"]["split"]
        images = splits.images(split, attacked["index"])
        logger.info("%s on %s: %d images", entry["id"], judge, len(images))
        warned = metadata.extra["warnings"]
        predicted, transformed = predicted_and_defended(model, attacked["x_adv"])
        if entry["model"] == judge:
            metrics = attack_metrics(model, images, attacked, seed, predicted)
        else:
            key = split, attacked["index"].tobytes()
            if key not in said and split == "test" and place.keys() >= set(attacked["index"]):
                said[key] = of_tested()[[place[image] for image in attacked["index"]]]
            elif key not in said:
                said[key] = predictions(model, images)
            metrics = transfer_metrics(model, images, attacked, seed, said[key], predicted)
        count = Metric("warnings", number(len(warned)), np.array(len(warned)))
        yield entry, "; ".join(warned), [*metrics, count], attacked["index"], transformed


def _row(entry, note: str, metric: Metric) -> dict[str, Any]:
    estimate = metric.estimate
    values = {"metric": metric.name, "value": estimate.value, "n": estimate.n}
    interval = {"ci_low": estimate.low, "ci_high": estimate.high}
    words = {"note": note if metric.name == "warnings" else ""}
    return _attack(entry) | values | interval | words


def _failed(entry, why: str) -> dict[str, Any]:
    # Without an interval: the frame has NaN for what a row lacks.
    return _attack(entry) | {"metric": "failed", "value": 1.0, "n": 0, "note": why}


def _attack(entry) -> dict[str, str]:
    return {"attacked": entry["model"], "attack": entry["id"]}
