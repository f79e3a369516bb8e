"""What the sources have in common that read a folder of ImageNet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from advsparse.data._base import Source, Splits
from advsparse.data._containers import Files
from advsparse.data._files import located, reading, splits
from advsparse.data._images import Pictures, image_names
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings

_WNID = re.compile("n[0-9]{8}")

Images = Mapping[str, list[str]]
"""Class -> images, each as <split>/<wnid>/<file>."""


@settings
class ImageNetFolder(Source):
    """Images of a folder with train/<wnid>/<file> and val/<wnid>/<file>, as ImageNet unpacks.

    Read are files named as images; hidden ones, such as ._n01440764_18.JPEG, are passed over.
    What is inside is taken not to change: of a million files not even the names are looked at.
    """

    path: Annotated[str, Field(min_length=1)] = "imagenet"
    """The folder with train and val; a relative path starts at the data directory."""

    size: PositiveInt = 224
    """Height and width of the images, in pixels: the central square, resized by bicubic
    interpolation."""

    def files(self, directory: Path) -> list[Path]:
        return [located(self.path, directory)]

    def absent(self, directory: Path) -> str | None:
        (folder,) = self.files(directory)
        if all((folder / split).is_dir() for split in ("train", "val")):
            return None
        return (
            f"there is no ImageNet with train/<wnid> and val/<wnid> in {folder}; it can't be "
            "downloaded without an account: put it there, or give the dataset's path"
        )

    def _folder(self, directory: Path) -> Path:
        absent = self.absent(directory)
        if absent:
            raise DataError(absent)
        return self.files(directory)[0]

    def _splits(self, folder: Path, train: Images, test: Images) -> Splits:
        """The images of each class, which are the keys of ``train``."""
        arrays: dict[str, Any] = {}
        for split, images in (("train", train), ("test", test)):
            entries = [entry for some in images.values() for entry in some]
            if not entries:
                raise DataError(f"{folder}: holds no {split} image of the classes")
            container = Files(folder, {entry: folder / entry for entry in entries})
            counts = [len(some) for some in images.values()]
            arrays[f"x_{split}"] = Pictures(container, entries, size=self.size)
            arrays[f"y_{split}"] = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        return splits(folder, **arrays, classes=tuple(train))


def wnids(folder: Path, split: str) -> list[str]:
    """The WordNet ids that ``split`` has a folder of, sorted."""
    with reading(folder, split):
        names = [path.name for path in (folder / split).iterdir()]
    return sorted(name for name in names if _WNID.fullmatch(name))


def images_of(folder: Path, split: str, wnid: str) -> list[str]:
    """The images of a WordNet id, sorted by name."""
    if not (folder / split / wnid).is_dir():
        raise DataError(f"{folder}: there is no folder {split}/{wnid}")
    with reading(folder, f"{split}/{wnid}"):
        names = [path.name for path in (folder / split / wnid).iterdir()]
    return image_names(folder, [f"{split}/{wnid}/{name}" for name in names])


def in_turns(lists: Iterable[list[str]]) -> list[str]:
    """The first of each list, the second of each, and so on."""
    lists = list(lists)
    longest = max(map(len, lists), default=0)
    return [some[i] for i in range(longest) for some in lists if i < len(some)]
