"""The attack stages of the pipeline: artifacts in, arrays out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advsparse import lots, registry
from advsparse.artifacts import Metadata, read_arrays
from advsparse.attacks._checks import Signs
from advsparse.attacks._fitting import Fit
from advsparse.attacks._result import Result
from advsparse.attacks._targets import nearest_wrong, random_wrong
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.jobs import Job
from advsparse.lazy import torch
from advsparse.models._io import choices, load_classifier, logits, predict
from advsparse.prefixes import below, under
from advsparse.seeding import Random

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
Learned = tuple[Arrays, Metadata | None]
"""What a universal attack has learned, and its metadata; nothing and None of one on single images.
"""

_MEASURED = ("success", "distance", "queries", "steps")
_OF_IMAGES = ("index", "label", "clean_prediction", "target", "prediction")
"""Arrays with a number for each image, besides those that the attack has measured."""
_SIGNS, _TRACE = "signs", "trace."


class AttackStage:
    """An attack, the classifier, and the images, as a job's settings name them.

    With a ``surrogate``, another classifier, it is that which an attack learns on and whose choices
    its targets are; what is attacked is the classifier all the same. Of a job that is one part of
    several, the images are that part.
    """

    def __init__(
        self,
        job: Job,
        dataset: str | Path,
        classifier: str | Path,
        surrogate: str | Path | None = None,
    ) -> None:
        self.settings = settings = job.settings
        data = load_dataset(dataset)
        self.classes = len(data.classes)
        chosen = settings["images"]
        split = chosen["split"]
        index = choose(len(data.labels(split)), **chosen)
        if len(index) < chosen["count"]:
            logger.warning("%d images were asked for, %d are there", chosen["count"], len(index))
        self.index = index[lots.rows_of(len(index), lots.ATTACKED, settings.get("part"))]
        self.device, self.seed = job.device, settings["seed"]
        self.model, _ = load_classifier(classifier, self.device)
        self.source = self.model
        if surrogate is not None:
            self.source, _ = load_classifier(surrogate, self.device)
        self.x = torch.from_numpy(data.images(split, self.index)).to(self.device)
        self.label = torch.from_numpy(data.labels(split, self.index)).to(self.device)
        self.method = registry.from_spec("attacks", settings["method"])
        logger.info("%s, %d images", self.method, len(self.x))

    def fit(self) -> tuple[Arrays, dict[str, Any]]:
        """What the attack learns, with the indices of its images; and what to note of it."""
        y = self._against(predict(self.source, self.x))
        started = time.monotonic()
        fit = self.method.fit(self.source, self.x, y, rng=self.seed)
        noted = {"seconds": time.monotonic() - started, "warnings": fit.warnings}
        arrays = {name: value.cpu().numpy() for name, value in fit.arrays.items()}
        return arrays | {"index": self.index}, noted

    def attack(self, fit: str | Path | None) -> tuple[Arrays, dict[str, Any]]:
        """The attack's result, with indices, labels and clean predictions; and what to note of it.

        Noted are the ``seconds`` it took and its ``warnings``, those of its fit among them.
        """
        learned = _read_fit(fit)
        arrays, result, seconds = self._attacked(learned)
        return _with_fit(arrays, result, learned, seconds)

    def attack_part(self, fit: str | Path | None) -> tuple[Arrays, dict[str, Any]]:
        """What :func:`joined` needs of the attack's result; and the ``seconds`` it took.

        Fewer images than were asked for can leave a part without any.
        """
        if not len(self.index):
            return {"index": self.index}, {"seconds": 0.0}
        arrays, result, seconds = self._attacked(_read_fit(fit))
        signs = torch.stack(tuple(result.signs)).cpu().numpy()
        return arrays | _arrays(result) | {_SIGNS: signs}, {"seconds": seconds}

    def _attacked(self, learned: Learned) -> tuple[Arrays, Result, float]:
        options: dict[str, Any] = {}
        prediction = predict(self.model, self.x, lots.ATTACKED)
        y = self._against(prediction)
        arrays = {
            "index": self.index,
            "label": self.label.cpu().numpy(),
            "clean_prediction": prediction.cpu().numpy(),
        }
        if self.settings["target"] == "runner_up":
            of_source = logits(self.source, self.x, lots.ATTACKED)
            options["towards"] = nearest_wrong(of_source, y)
            arrays["target"] = options["towards"].cpu().numpy()
        elif self.settings["target"] == "random":
            options["target"] = random_wrong(self.x, y, self.classes, Random(self.seed))
            arrays["target"] = options["target"].cpu().numpy()
        if self.method.universal:
            tensors = {name: torch.from_numpy(value) for name, value in learned[0].items()}
            options["fit"] = Fit(tensors)
        started = time.monotonic()
        result = self.method(self.model, self.x, y, rng=self.seed, **options)
        seconds = time.monotonic() - started
        # An image that the attack has led astray has none, which it has warned of.
        arrays["prediction"] = choices(self.model, result.x, lots.ATTACKED).cpu().numpy()
        return arrays, result, seconds

    def _against(self, prediction: torch.Tensor) -> torch.Tensor:
        """What an untargeted attack leads away from."""
        return {"label": self.label, "prediction": prediction}[self.settings["against"]]


def joined(
    settings: Mapping[str, Any], parts: Sequence[str | Path], fit: str | Path | None
) -> tuple[Arrays, dict[str, Any]]:
    """What :meth:`AttackStage.attack` returns for all images, of the artifacts of their parts.

    settings: those of the attack's job.
    """
    read = [read_arrays(part, stage="attack_part") for part in parts]
    seconds = sum(metadata.extra["seconds"] for _, metadata in read)
    found = [arrays for arrays, _ in read if len(arrays["index"])]
    result = registry.from_spec("attacks", settings["method"]).joined([*map(_result, found)])
    names = [name for name in _OF_IMAGES if name in found[0]]
    arrays = {name: np.concatenate([part[name] for part in found]) for name in names}
    return _with_fit(arrays, result, _read_fit(fit), seconds)


def _arrays(result: Result) -> Arrays:
    """A result as an artifact has it."""
    arrays = {"x_adv": result.x.cpu().numpy()}
    arrays |= {name: getattr(result, name).cpu().numpy() for name in _MEASURED}
    trace = {name: value.cpu().numpy() for name, value in result.trace.items()}
    return arrays | under(trace, _TRACE)


def _result(arrays: Arrays) -> Result:
    """The result of which an artifact has the arrays, and the signs with them."""
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    measured = {name: tensors[name] for name in _MEASURED}
    return Result(
        tensors["x_adv"], **measured, signs=Signs(*tensors[_SIGNS]), trace=below(tensors, _TRACE)
    )


def _read_fit(fit: str | Path | None) -> Learned:
    return ({}, None) if fit is None else read_arrays(fit, stage="fit")


def _with_fit(
    arrays: Arrays, result: Result, learned: Learned, seconds: float
) -> tuple[Arrays, dict[str, Any]]:
    """With the result, what a universal attack has learned has to say; and what to note of both."""
    of_fit, metadata = learned
    warned = metadata.extra["warnings"] if metadata else []
    found = [f"while learning: {sentence}" for sentence in warned]
    started = {name: of_fit[name] for name in ("dead_start",) if name in of_fit}
    noted = {"seconds": seconds, "warnings": [*found, *result.warnings]}
    return arrays | _arrays(result) | started, noted
