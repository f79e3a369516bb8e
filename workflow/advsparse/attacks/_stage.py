"""The attack stages of the pipeline: artifacts in, arrays out."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from advsparse import registry
from advsparse.artifacts import read_arrays
from advsparse.attacks._fitting import Fit
from advsparse.attacks._targets import nearest_wrong
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.jobs import Job
from advsparse.lazy import torch
from advsparse.models._io import choices, load_classifier, logits, predict

logger = logging.getLogger(__name__)


class AttackStage:
    """An attack, the classifier, and the images, as a job's settings name them.

    With a ``surrogate``, another classifier, it is that which an attack learns on and whose choices
    its targets are; what is attacked is the classifier all the same.
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
        chosen = settings["images"]
        split = chosen["split"]
        self.index = choose(len(data.labels(split)), **chosen)
        if len(self.index) < chosen["count"]:
            logger.warning(
                "%d images were asked for, %d are there", chosen["count"], len(self.index)
            )
        self.device, self.seed = job.device, settings["seed"]
        self.model, _ = load_classifier(classifier, self.device)
        self.source = self.model
        if surrogate is not None:
            self.source, _ = load_classifier(surrogate, self.device)
        self.x = torch.from_numpy(data.images(split, self.index)).to(self.device)
        self.label = torch.from_numpy(data.labels(split, self.index)).to(self.device)
        self.method = registry.from_spec("attacks", settings["method"])
        logger.info("%s, %d images", self.method, len(self.x))

    def fit(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What the attack learns, with the indices of its images; and what to note of it."""
        y = self._against(predict(self.source, self.x))
        started = time.monotonic()
        fit = self.method.fit(self.source, self.x, y, rng=self.seed)
        noted = {"seconds": time.monotonic() - started, "warnings": fit.warnings}
        arrays = {name: value.cpu().numpy() for name, value in fit.arrays.items()}
        return arrays | {"index": self.index}, noted

    def attack(self, fit: str | Path | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The attack's result, with indices, labels and clean predictions; and what to note of it.

        Noted are the ``seconds`` it took and its ``warnings``, those of its fit among them.
        """
        options, warned = {}, []
        prediction = predict(self.model, self.x)
        y = self._against(prediction)
        arrays = {
            "index": self.index,
            "label": self.label.cpu().numpy(),
            "clean_prediction": prediction.cpu().numpy(),
        }
        if self.settings["target"] == "runner_up":
            options["towards"] = nearest_wrong(logits(self.source, self.x), y)
            arrays["target"] = options["towards"].cpu().numpy()
        if self.method.universal:
            learned, metadata = read_arrays(fit, stage="fit")
            tensors = {name: torch.from_numpy(value) for name, value in learned.items()}
            options["fit"] = Fit(tensors)
            warned = [f"while learning: {sentence}" for sentence in metadata.extra["warnings"]]
            if "dead_start" in learned:
                arrays["dead_start"] = learned["dead_start"]
        started = time.monotonic()
        result = self.method(self.model, self.x, y, rng=self.seed, **options)
        noted = {"seconds": time.monotonic() - started, "warnings": [*warned, *result.warnings]}
        arrays["x_adv"] = result.x.cpu().numpy()
        # An image that the attack has led astray has none, which it has warned of.
        arrays["prediction"] = choices(self.model, result.x).cpu().numpy()
        for name in ("success", "distance", "queries", "steps"):
            arrays[name] = getattr(result, name).cpu().numpy()
        for name, values in result.trace.items():
            arrays[f"trace.{name}"] = values.cpu().numpy()
        return arrays, noted

    def _against(self, prediction: torch.Tensor) -> torch.Tensor:
        """What an untargeted attack leads away from."""
        return {"label": self.label, "prediction": prediction}[self.settings["against"]]
