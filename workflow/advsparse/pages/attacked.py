"""Pictures of what attacks did to images: clean, perturbation and adversarial in one file each, and
what each defence makes of the adversarial ones in others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advsparse.artifacts import Slices, read_arrays
from advsparse.errors import ArtifactError
from advsparse.evaluate.samples import DEFENDED, SHOWN, of_samples_key, samples_key

_GAP = 2
"""Pixels between them."""


@dataclass(frozen=True)
class Behind:
    """What the defence in front of a classifier made of the adversarial images."""

    judge: str
    file: str
    width: int
    height: int
    right: int
    """How many of the images shown are classified rightly then."""
    shown: int


@dataclass(frozen=True)
class Picture:
    """What one attack did, at one point of its grid."""

    name: str
    job: str
    """The name of the job, for a link to its settings."""
    file: str
    """The picture, below the folder of pages."""
    width: int
    height: int
    images: tuple[str, ...]
    """What became of each image, in words."""
    scale: float
    """What the strongest colour of a perturbation stands for."""
    behind: tuple[Behind, ...]


@dataclass(frozen=True)
class Pictures:
    """The points of one attack, by which a slider moves."""

    paper: str
    attack: str
    dataset: str
    points: tuple[Picture, ...]


def pictures(results: Path, jobs: Iterable[Mapping[str, Any]], folder: Path) -> list[Pictures]:
    """Draw what each attack that is there did to its first images, into ``folder``.

    jobs: what the workflow says of its jobs. Of what is repeated, the first is shown.
    """
    grouped: dict[tuple[str, str, str], list[Picture]] = {}
    opened: dict[str, Slices] = {}
    jobs = list(jobs)
    seen = _defended(results, jobs)
    for job in jobs:
        if job["stage"] != "attack" or job["repetition"] or not (results / job["file"]).is_file():
            continue
        try:
            if job["dataset"] not in opened:
                opened[job["dataset"]] = Slices(results / job["dataset"])
            judged = seen.get((job["paper"], job["said"]), {})
            picture = _picture(results / job["file"], job, opened[job["dataset"]], judged, folder)
        except ArtifactError:  # who made it was told; here is no place to stop for it
            continue
        key = job["paper"], job["said"].split("/")[0], Path(job["dataset"]).stem
        grouped.setdefault(key, []).append(picture)
    return [Pictures(*key, tuple(points)) for key, points in grouped.items()]


Seen = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""For each classifier with a defence in front, what that made of images, and which are right."""


def _defended(results: Path, jobs: Iterable[Mapping[str, Any]]) -> Mapping[tuple[str, str], Seen]:
    """What was kept of defended images, by paper and attack."""
    found: dict[tuple[str, str], dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for job in jobs:
        if job["stage"] != "experiment" or job["repetition"]:
            continue
        try:
            samples, _ = read_arrays((results / job["file"]).with_suffix(".npz"), stage="rows")
        except ArtifactError:
            continue
        for key, images in samples.items():
            judge, attack, what = of_samples_key(key)
            if what == DEFENDED:
                right = samples[samples_key(judge, attack, "accuracy")][: len(images)]
                found.setdefault((job["paper"], attack), {})[judge] = images, right
    return found


def _picture(
    path: Path, job: Mapping[str, str], images: Slices, seen: Seen, folder: Path
) -> Picture:
    arrays, metadata = read_arrays(path, stage="attack")
    split = metadata.params["images"]["split"]
    index = arrays["index"][:SHOWN]
    clean = images[f"x_{split}"][index].astype(np.float64) / 255
    adversarial = arrays["x_adv"][: len(index)].astype(np.float64)
    difference = adversarial - clean
    scale = float(np.abs(difference).max()) or 1.0
    tiles = np.stack([clean, 0.5 + difference / (2 * scale), adversarial.clip(0, 1)])
    file = f"images/{job['name'].replace('/', '-')}.png"
    width, height = _save(tiles, folder / file)
    names = images.metadata.extra.get("classes")
    words = tuple(_words(number, arrays, names) for number in range(len(index)))
    behind = tuple(_behind(file, folder, judge, *of) for judge, of in seen.items())
    return Picture(job["said"], job["name"], file, width, height, words, scale, behind)


def _behind(file: str, folder: Path, judge: str, made: np.ndarray, right: np.ndarray) -> Behind:
    at = f"{file.removesuffix('.png')}-behind-{judge}.png"
    size = _save(made[None].astype(np.float64) / 255, folder / at)
    return Behind(judge, at, *size, int(right.sum()), len(right))


def _save(tiles: np.ndarray, path: Path) -> tuple[int, int]:
    """Draw tiles, rows x columns x C x H x W; returns the size of the picture."""
    from PIL import Image

    rows, columns, _, high, wide = tiles.shape
    size = (high + _GAP) * rows - _GAP, (wide + _GAP) * columns - _GAP
    canvas = np.full((*size, 3), 255, np.uint8)
    for row, column in np.ndindex(rows, columns):
        top, left = row * (high + _GAP), column * (wide + _GAP)
        pixels = np.round(255 * tiles[row, column].clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
        canvas[top : top + high, left : left + wide] = pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(canvas).save(path, optimize=True)
    return size[1], size[0]


def _words(number: int, arrays: Mapping[str, np.ndarray], names: Sequence[str] | None) -> str:
    """What became of an image, with the classes' names where there are any."""

    def called(array: str) -> str:
        label = int(arrays[array][number])
        return names[label] if names and 0 <= label < len(names) else f"class {label}"

    label, clean, now = map(called, ("label", "clean_prediction", "prediction"))
    said = label if clean == label else f"{label}, taken for {clean}"
    return f"{said}: unchanged" if now == clean else f"{said}: now {now}"
