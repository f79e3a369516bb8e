"""Tiny ImageNet: 200 classes of ImageNet at 64 x 64 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from advsparse.data._base import Splits
from advsparse.data._containers import Container, opened
from advsparse.data._files import reading, splits
from advsparse.data._images import read_images
from advsparse.data._published import Published
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings

_TOP = "tiny-imagenet-200"


@settings
class TinyImageNet(Published):
    """Tiny ImageNet as published: 200 classes with 500 training images each, 64 x 64, colour.

    Read from its zip, in ``tiny_imagenet`` in the data directory. Its validation images, 50 a
    class, are the test images here: the published test images have no labels. A class is called by
    its WordNet id.
    """

    classes: Annotated[list[str], Field(min_length=2)] | None = None
    """WordNet ids of the classes to read, such as n01443537; all of them if not given."""

    train_per_class: PositiveInt | None = None
    """Read at most so many training images of each class, the first by name."""

    test_per_class: PositiveInt | None = None
    """Read at most so many test images of each class, the first by name."""

    def load(self, directory: Path) -> Splits:
        path = self._checked(directory, f"{_TOP}.zip")
        arrays = {}
        with opened(path) as archive:
            known = sorted(_lines(archive, "wnids.txt"))
            classes = self.classes or known
            unknown = sorted(set(classes) - set(known))
            if unknown:
                raise DataError(f"{path}: there is no class {unknown[0]!r}")
            twice = [wnid for i, wnid in enumerate(classes) if wnid in classes[:i]]
            if twice:
                raise DataError(f"{path}: class {twice[0]!r} is given twice")
            for split, images, count in (
                ("train", _train(archive), self.train_per_class),
                ("test", _val(archive), self.test_per_class),
            ):
                kept = [sorted(images.get(wnid, []))[:count] for wnid in classes]
                entries = [entry for some in kept for entry in some]
                if not entries:
                    raise DataError(f"{path}: holds no {split} image of the classes")
                labels = np.repeat(np.arange(len(classes)), [len(some) for some in kept])
                arrays[f"x_{split}"] = read_images(archive, entries, size=None)
                arrays[f"y_{split}"] = labels.astype(np.int64)
        return splits(path, **arrays, classes=tuple(classes))


def _train(archive: Container) -> dict[str, list[str]]:
    """Entries of the training images by class: train/<wnid>/images/<file>."""
    found: dict[str, list[str]] = {}
    for entry in archive.entries:
        parts = entry.split("/")
        if len(parts) == 5 and parts[1] == "train" and parts[3] == "images":
            found.setdefault(parts[2], []).append(entry)
    return found


def _val(archive: Container) -> dict[str, list[str]]:
    """Entries of the validation images by class: lines of file, wnid and a box, tabs between."""
    found: dict[str, list[str]] = {}
    for line in _lines(archive, "val/val_annotations.txt"):
        name, _, rest = line.partition("\t")
        entry = f"{_TOP}/val/images/{name}"
        if entry not in archive.entries:
            raise DataError(f"{archive.path}: val_annotations.txt names {name}, which is missing")
        found.setdefault(rest.partition("\t")[0], []).append(entry)
    return found


def _lines(archive: Container, name: str) -> list[str]:
    entry = f"{_TOP}/{name}"
    if entry not in archive.entries:
        raise DataError(f"{archive.path}: {entry} is missing")
    ((_, data),) = archive.read([entry])
    with reading(archive.path, entry):
        return data.decode("ascii").splitlines()
