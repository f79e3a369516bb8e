"""What a run found, as tables: a row for each network, dataset, attack and kind of image, with what
each image did."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays

NETWORKS = {
    "mlp": "MLP",
    "convnet": "ConvNet",
    "autoencoder": "AutoEnc",
    "resnet": "ResNet",
    "hrnn": "HRNN",
}
DATASETS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
ATTACKS: dict[str, dict[str, Any]] = {
    "FGSM": {"kind": "fgsm", "eps": 0.3, "clamp": False},
    "JSMA": {"kind": "jsma", "space": "probabilities"},
}
"""The points of the attacks that the paper's tables show."""
DENOISER, FROM_PERTURBED = "denoiser", "perturbed"
IMAGES = {
    "clean": (True, "none"),
    "clean, denoised": (True, DENOISER),
    "perturbed": (False, "none"),
    "denoised": (False, DENOISER),
    "denoised by perturbed patches": (False, FROM_PERTURBED),
}
"""Kinds of images: whether they are clean, and the defence in front."""
SURE = "confidence where right"


class Seen:
    """The analysis of one network and dataset: what was predicted of each image, and how."""

    def __init__(self, path: str, points: list[Mapping[str, Any]], name: str) -> None:
        self.network, self.dataset = name.split("_")
        self.arrays, _ = read_arrays(path, stage="analysis")
        self._points = points
        self.transforms = list(map(str, self.arrays["transforms"]))

    def source(self, attack: Mapping[str, Any]) -> str | None:
        """The id of an attack's point by its kind and settings, ``clean`` for none; None if it is
        not there."""
        if not attack:
            return "clean"
        return next((point["id"] for point in self._points if matches(point, attack)), None)

    def transform(self, kind: str) -> str:
        """The name of a defence by how it begins, such as ``denoiser``; ``none`` is none."""
        return next(name for name in self.transforms if name == kind or name.startswith(f"{kind}_"))

    def has(self, kind: str) -> bool:
        """Whether a defence whose name begins so is there."""
        return any(name.startswith(f"{kind}_") for name in self.transforms)

    def of(self, what: str, source: str, transform: str = "none") -> np.ndarray:
        """``prediction``, ``confidence``, ``psnr`` or ``ssim`` of each image of a source."""
        return self.arrays[f"{what}:{source}:{transform}"]

    def right(self, source: str, transform: str = "none") -> np.ndarray:
        """Whether each image of a source is classified right."""
        return self.of("prediction", source, transform) == self.arrays["label"]


def matches(point: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a point of an attack is of a kind and has some settings."""
    told = {"kind": point["kind"], **point["settings"]}
    return all(_same(told.get(key), value) for key, value in wanted.items())


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=1e-6)
    return found == wanted


def tables(seen: list[Seen], failed: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The tables that claims read, of one run.

    failed: why analyses are not there, by their names.
    """
    rows: dict[str, list[dict[str, Any]]] = {"accuracy": [], "quality": [], "shift": []}
    for one in seen:
        place = {"network": NETWORKS[one.network], "dataset": DATASETS[one.dataset], "failed": None}
        place["called"] = f"{one.network}_{one.dataset}"
        for attack, wanted in ATTACKS.items():
            source = one.source(wanted)
            if source is not None:
                of = place | {"attack": attack}
                rows["accuracy"] += [of | row for row in _accuracy(one, source)]
                rows["quality"] += [of | row for row in _quality(one, source)]
                mean = np.array([one.arrays[f"shift:{source}"].mean()])
                rows["shift"].append(of | {"of": "pixels", "samples": mean})
    for name, why in failed.items():
        network, dataset = name.split("_")
        gap = {"network": NETWORKS[network], "dataset": DATASETS[dataset], "failed": why}
        gap["called"] = name
        for attack in ATTACKS:
            of = gap | {"attack": attack}
            rows["accuracy"] += [
                of | {"images": images, "measure": "accuracy"} for images in IMAGES
            ]
            rows["accuracy"].append(of | {"images": "denoised", "measure": SURE})
            rows["quality"] += [
                of | {"images": images, "measure": measure.upper()}
                for images in ("perturbed", "denoised")
                for measure in ("psnr", "ssim")
            ]
            rows["shift"].append(of | {"of": "pixels"})
    return {name: pd.DataFrame(found) for name, found in rows.items()}


def _accuracy(one: Seen, source: str) -> Iterator[dict[str, Any]]:
    for name, (clean, kind) in IMAGES.items():
        right = one.right("clean" if clean else source, one.transform(kind))
        yield {"images": name, "measure": "accuracy", "samples": right}
    denoiser = one.transform(DENOISER)
    sure = np.where(one.right(source, denoiser), one.of("confidence", source, denoiser), np.nan)
    yield {"images": "denoised", "measure": SURE, "samples": sure}


def _quality(one: Seen, source: str) -> Iterator[dict[str, Any]]:
    for images, transform in (("perturbed", "none"), ("denoised", one.transform(DENOISER))):
        for measure in ("psnr", "ssim"):
            found = one.of(measure, source, transform)
            # Of an image that the attack has left as it is, nothing is infinitely far away.
            found = np.where(np.isfinite(one.of("psnr", source)), found, np.nan)
            yield {"images": images, "measure": measure.upper(), "samples": found}
