"""What a run found, as tables: a row for each defence and attack, with what each image did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.samples import of_samples_key

DATASETS = {
    "cifar10": "CIFAR-10",
    "imagenet10": "ImageNet-10, 64",
    "imagenet10_128": "ImageNet-10, 128",
    "imagenet": "ImageNet",
}
DEFENSES = {
    "none": "No Defense",
    "again": "trained again, no defence",
    "blur": "3x3 mean",
    "magnet": "MagNet",
    "pixel_defend": "PixelDefend",
    "tvm": "TVM",
    "quilting": "Quilting",
    "tvm_quilting": "TVM+Quilting",
    "crop_ens": "Crop-Ens",
    "d3_40k_5": "D3 (40K-5)",
    "d3_10k_5": "D3 (10K-5)",
    "d3_10k_4": "D3 (10K-4)",
    "pd_ens": "PD-Ens",
    "stl": "STL",
    "stl_cluster": "STL (cluster)",
    "stl_equation": "STL, eq. 2 as printed",
    "sap": "SAP",
    "thermometer": "TE",
    "lid": "LID",
    "resizing": "random resizing",
    "adversarial": "Adv Training",
}
"""What tables call each defence; those that a paper's table has not are controls."""
VARIANTS = {
    "number": ("filters_16", "stl", "filters_128"),
    "size": ("size_4", "stl", "size_12"),
}
"""Defences with ever more and ever larger filters."""
ADAPTIVE = "adaptive"
"""What claims call the strongest of the attacks that are made for a defence, image by image."""

_NAMES = {"fgsm": "FGSM", "bim": "BIM", "deepfool": "DeepFool", "cw": "CW", "uap": "UAP"}


def attack_of(point: Mapping[str, Any]) -> str:
    """An attack by its kind and relative size: ``FGSM-0.08``, ``CW-0.03, extended``."""
    settings, kind = point["settings"], point["kind"]
    if kind == "adaptive":
        return _adapted(settings)
    called = _NAMES[kind]
    if settings["norm"] == "linf":
        return f"{called}, {255 * settings['eps']:.0f} of 255"
    size = settings["cutoff"] if "cutoff" in settings else settings["eps"]
    return f"{called}-{size:.2f}" + (", extended" if settings.get("extended") else "")


def _adapted(settings: Mapping[str, Any]) -> str:
    said = {"declared": "", "exact": ", exact", "identity": ", identity"}[settings["backward"]]
    return f"{ADAPTIVE}{said}, {settings['samples']} draws"


def _draws(adapted: str) -> int:
    """The number of draws of an attack that :func:`attack_of` calls adaptive."""
    return int(adapted.split()[-2])


def defense_of(model: str, dataset: str) -> str:
    """The defence that a classifier has, by its name: that of ``stl_cifar10`` is ``stl``."""
    name = model.removesuffix(f"_{dataset}").removeprefix("behind_")
    return "none" if name in ("vgg", "resnet") else name


class Judged:
    """What an experiment says of each image, by defence and attack."""

    def __init__(self, path: str, told: Mapping[str, Any], dataset: str) -> None:
        samples, _ = read_arrays(Path(path).with_suffix(".npz"), stage="rows")
        attacks = {point["id"]: attack_of(point) for point in told["points"]}
        self.right: dict[tuple[str, str], np.ndarray] = {}
        self.refused: dict[tuple[str, str], np.ndarray] = {}
        for key, values in samples.items():
            model, id, metric = of_samples_key(key)
            place = defense_of(model, dataset), attacks.get(id, "clean")
            if metric == "accuracy":
                self.right[place] = values
            elif metric == "refused":
                self.refused[place] = values

    @property
    def defenses(self) -> list[str]:
        """The defences, in the order of DEFENSES."""
        there = {defense for defense, _ in self.right}
        return [name for name in DEFENSES if name in there]

    def adapted(self, defense: str) -> dict[str, np.ndarray]:
        """Of each attack that is made for a defence, whether each image is right."""
        return {
            attack: right
            for (name, attack), right in self.right.items()
            if name == defense and attack.startswith(ADAPTIVE)
        }

    def strongest(self, defense: str) -> np.ndarray | None:
        """Whether each image withstands all attacks made for a defence that have the most draws.

        What is random is judged once for each attack, by numbers of its own: to take the worst over
        numbers of draws would be to pick the numbers for which the defence is unlucky.
        """
        found = self.adapted(defense)
        most = max(map(_draws, found), default=0)
        kept = [right for attack, right in found.items() if _draws(attack) == most]
        return np.all(kept, axis=0) if kept else None


class Behind:
    """What the analysis ``transformations`` found: the undefended network behind each defence."""

    def __init__(self, path: str, told: Mapping[str, Any], dataset: str) -> None:
        self.arrays, _ = read_arrays(path, stage="analysis")
        points = told.get("points", [])
        self.called = {"clean": "clean"} | {point["id"]: attack_of(point) for point in points}
        self.ids = {called: id for id, called in self.called.items()}
        self.transforms = {
            defense_of(str(name), dataset): str(name) for name in self.arrays["transforms"]
        }

    @property
    def defenses(self) -> list[str]:
        """The defences, in the order of DEFENSES."""
        return [name for name in DEFENSES if name in self.transforms]

    def of(self, what: str, attack: str, defense: str) -> np.ndarray | None:
        """``prediction``, ``psnr``, ``distance``, ``feature_distance`` of each image, or the images
        ``shown``; None where it is not there."""
        key = f"{what}:{self.ids.get(attack)}:{self.transforms.get(defense)}"
        return self.arrays.get(key)

    def near(self, what: str, attack: str, defense: str) -> np.ndarray | None:
        """:meth:`of` those images that the attack has perturbed, NaN for others: one that the
        network gets wrong anyway is left as it is, and tells nothing."""
        found, moved = self.of(what, attack, defense), self.of("distance", attack, "none")
        if found is None or moved is None:
            return None
        return np.where(moved > 0, found.astype(np.float64), np.nan)

    def right(self, attack: str, defense: str) -> np.ndarray | None:
        """Whether each image is classified right."""
        found = self.of("prediction", attack, defense)
        return None if found is None else found == self.arrays["label"]


def known(values: np.ndarray | None) -> np.ndarray:
    """Those that are no NaN; none where there are no values."""
    return np.empty(0) if values is None else values[~np.isnan(values)]


def accuracies(place: str, dataset: str, seen: Judged | Behind) -> Iterator[dict[str, Any]]:
    """Rows of a network that is ``retrained``, or the same ``behind`` a transformation."""
    of = {"place": place, "dataset": DATASETS[dataset], "failed": None}
    of["called"] = f"{place}_{dataset}"
    if isinstance(seen, Judged):
        for (defense, attack), right in seen.right.items():
            if not attack.startswith(ADAPTIVE):
                yield of | {"defense": DEFENSES[defense], "attack": attack, "samples": right}
        return
    for defense in seen.defenses:
        for attack in seen.ids:
            right = seen.right(attack, defense)
            yield of | {"defense": DEFENSES[defense], "attack": attack, "samples": right}


def adapted(dataset: str, seen: Judged) -> Iterator[dict[str, Any]]:
    """Rows of attacks that are made for each defence, and of the strongest of them."""
    of = {"place": "adapted", "dataset": DATASETS[dataset], "failed": None}
    of["called"] = f"adapted_{dataset}"
    for defense in seen.defenses:
        name = of | {"defense": DEFENSES[defense]}
        for attack, right in seen.adapted(defense).items():
            yield name | {"attack": attack, "samples": right}
            if attack.startswith((f"{ADAPTIVE}, exact", f"{ADAPTIVE}, identity")):
                yield name | {"attack": attack.rpartition(", ")[0], "samples": right}
        strongest, clean = seen.strongest(defense), seen.right.get((defense, "clean"))
        for attack, right in ((ADAPTIVE, strongest), ("clean", clean)):
            if right is not None:
                yield name | {"attack": attack, "samples": right}


def nearness(dataset: str, seen: Behind) -> Iterator[dict[str, Any]]:
    """Rows of how near images and features come: PSNR, relative distances."""
    of = {"dataset": DATASETS[dataset], "failed": None, "called": f"behind_{dataset}"}
    for defense in seen.defenses:
        for attack in seen.ids:
            for what in ("psnr", "distance", "feature_distance"):
                found = seen.near(what, attack, defense)
                if found is not None and attack != "clean":
                    name = {"defense": DEFENSES[defense], "attack": attack, "measure": what}
                    yield of | name | {"samples": found}


def penalties(seen: Behind) -> Iterator[dict[str, Any]]:
    """Rows of the weights of the penalty: accuracy on clean and attacked images, and the gap."""
    attack = next(name for name in seen.ids if name != "clean")
    for name in map(str, seen.arrays["transforms"]):
        if name == "none":
            continue
        right = {
            called: seen.arrays[f"prediction:{id}:{name}"] == seen.arrays["label"]
            for called, id in (("clean", "clean"), ("attacked", seen.ids[attack]))
        }
        of = {"weight": float(name), "failed": None, "called": "penalties_imagenet10"}
        for called, samples in right.items():
            yield of | {"measure": called, "samples": samples}
        gap = right["clean"].astype(float) - right["attacked"].astype(float)
        yield of | {"measure": "gap", "samples": gap}


def filters(judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """Rows of networks retrained behind STL with fewer and more, smaller and larger filters."""
    for seen in judged:
        for varied, names in VARIANTS.items():
            for rank, defense in enumerate(names, 1):
                for attack in ("clean", "FGSM-0.08"):
                    right = seen.right.get((defense, attack))
                    if right is not None:
                        of = {"varied": varied, "rank": rank, "attack": attack, "failed": None}
                        yield of | {"samples": right, "called": "filters_imagenet10"}


def gaps(place: str, dataset: str, why: str) -> Iterator[dict[str, Any]]:
    """Rows of what has failed, for each defence that claims may ask for."""
    of = {"place": place, "dataset": DATASETS[dataset], "failed": why, "samples": None}
    for defense in DEFENSES.values():
        yield of | {"defense": defense, "called": f"{place}_{dataset}"}


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a table."""
    return pd.DataFrame(list(rows))
