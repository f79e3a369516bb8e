"""What experiments say of each attack, as each classifier judges its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import read_arrays, read_rows
from advsparse.evaluate.samples import samples_key


@dataclass(frozen=True)
class Judged:
    """One attack, at one budget if it has one, as one classifier judges its images."""

    model: str
    """The classifier."""
    attacked: str
    """The one that it was made on."""
    id: str
    kind: str
    """Of an attack that adapts, the kind of the one that it wraps."""
    norm: str
    eps: float | None
    """None for one that minimises the norm."""
    right: np.ndarray
    """For each image (N), whether the classifier is right about what was made of it, or refuses
    it."""
    distance: np.ndarray | None
    """How far it was led, of the images that were fooled; None on another network."""
    warning: str
    """What the attack warned of."""
    images: np.ndarray
    """The places of its images among the test images (N)."""
    clean: np.ndarray
    """For each image (N), whether the classifier is right about it as it is, as far as it was
    asked: what an attack on predictions leaves alone need not be right."""

    @property
    def own(self) -> bool:
        """Whether it was made for the classifier."""
        return self.model == self.attacked

    def withstood(self, eps: float) -> np.ndarray:
        """For each image, whether the classifier withstands the attack within a budget."""
        if self.eps is not None or self.distance is None:
            return self.clean & self.right
        return self.clean & (self.right | (self.distance > eps))


@dataclass(frozen=True)
class Found:
    """What experiments have found."""

    attacks: tuple[Judged, ...]
    clean: Mapping[str, np.ndarray]
    """For each classifier, whether it is right about clean images."""
    seconds: Mapping[str, float]
    """For each classifier, those that it took for a clean image, with what defends it."""
    failed: Mapping[str, Sequence[str]]
    """For each classifier, the attacks that failed and why."""

    def of(self, model: str) -> list[Judged]:
        """All attacks as a classifier judges them."""
        return [one for one in self.attacks if one.model == model]


def found(paths: Sequence[str], told: Sequence[Mapping[str, Any]]) -> Found:
    """What the experiments at ``paths`` say, of which the points are ``told``; of what is repeated,
    the first."""
    attacks: list[Judged] = []
    clean: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    failed: dict[str, list[str]] = {}
    for path, about in zip(paths, told, strict=True):
        if about.get("repetition", 0):
            continue
        rows, _ = read_rows(path, stage="rows")
        samples, metadata = read_arrays(Path(path).with_suffix(".npz"), stage="rows")
        seconds |= metadata.extra["seconds_per_image"]
        points = {point["id"]: point for point in about["points"]}
        for row in rows[rows["metric"] == "failed"].itertuples():
            failed.setdefault(row.model, []).append(f"{row.attack} ({row.note})")
        attacks += _attacks(rows, samples, points)
        for model in rows["model"].unique():
            key = samples_key(model, "none", "accuracy")
            if key in samples:
                clean[model] = samples[key]
    return Found(tuple(attacks), clean, seconds, failed)


def _attacks(rows, samples, points) -> Iterator[Judged]:
    measured = rows[(rows["metric"] == "accuracy") & (rows["attack"] != "none")]
    warned = rows[(rows["metric"] == "warnings") & (rows["value"] > 0)]
    words = {(row.model, row.attack): row.note for row in warned.itertuples()}
    for row in measured.itertuples():
        settings = points[row.attack]["settings"]
        images = samples[samples_key(row.model, row.attack, "image")]
        yield Judged(
            row.model,
            row.attacked,
            row.attack,
            settings.get("attack", {}).get("kind", points[row.attack]["kind"]),
            settings["norm"],
            settings.get("eps"),
            samples[samples_key(row.model, row.attack, "accuracy")],
            samples.get(samples_key(row.model, row.attack, "distance")),
            words.get((row.model, row.attack), ""),
            images,
            _clean(row.model, images, samples),
        )


def _clean(model: str, images: np.ndarray, samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """For each image, whether a classifier is right about it, or was not asked."""
    asked, right = (samples.get(samples_key(model, "none", name)) for name in ("image", "accuracy"))
    known = {} if asked is None or right is None else dict(zip(asked, right, strict=True))
    return np.array([known.get(image, True) for image in images], dtype=bool)
