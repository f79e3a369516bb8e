"""Patches of ten photographs: a stand-in for CIFAR-10 and ImageNet-10 that needs no network."""

from __future__ import annotations

import math
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from advsparse.data._base import Source, Splits
from advsparse.errors import DataError
from advsparse.settings import NonNegativeFloat, NonNegativeInt, PositiveInt, settings

PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "immunohistochemistry": ("skimage", "data/ihc.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
"""Package and file of each photograph; the keys, in this order, are the classes."""

_TRAIN_END, _TEST_START = 0.70, 0.72
_TRIES_PER_PATCH = 100


@settings
class Photos(Source):
    """Square patches of ten colour photographs that ship inside scikit-learn and scikit-image.

    The class is the photograph. Training patches lie within the left 70 % of it, test patches
    within the right 28 %, so that no pixel is in both; patches of one split may overlap.
    """

    stand_in: ClassVar[bool] = True

    # The narrowest test region, of chelsea (300 x 451 pixels), is 126 pixels wide.
    size: Annotated[int, Field(ge=8, le=96)] = 32
    """Height and width of a patch, in pixels."""

    train_per_class: PositiveInt = 500
    """Training patches of each photograph; fewer are the first of more."""

    test_per_class: PositiveInt = 100
    """Test patches of each photograph; fewer are the first of more."""

    seed: NonNegativeInt = 0
    """Seed of the patches' positions."""

    minimum_deviation: NonNegativeFloat = 12.0
    """Patches that deviate less from their mean colour (root mean square over pixels and channels,
    of 255) are skipped: a flat patch says nothing of its photograph."""

    def load(self, directory: Path) -> Splits:
        patches: dict[str, list[np.ndarray]] = {"train": [], "test": []}
        counts = {"train": self.train_per_class, "test": self.test_per_class}
        for name in PHOTOGRAPHS:
            photo = photograph(name)
            for split, count in counts.items():
                corners = patch_corners(
                    photo,
                    name,
                    split,
                    size=self.size,
                    count=count,
                    seed=self.seed,
                    minimum_deviation=self.minimum_deviation,
                )
                patches[split] += [_patch(photo, corner, self.size) for corner in corners]
        x = {split: np.stack(found).transpose(0, 3, 1, 2) for split, found in patches.items()}
        labels = np.arange(len(PHOTOGRAPHS), dtype=np.int64)
        return Splits(
            x_train=np.ascontiguousarray(x["train"]),
            y_train=labels.repeat(self.train_per_class),
            x_test=np.ascontiguousarray(x["test"]),
            y_test=labels.repeat(self.test_per_class),
            classes=tuple(PHOTOGRAPHS),
        )


def photograph(name: str) -> np.ndarray:
    """One of PHOTOGRAPHS, ``uint8``, H x W x 3."""
    from PIL import Image

    # The packaged file is read directly: scikit-image's own functions may ask pooch, which may
    # ask the network, and importing either package takes longer than reading all ten.
    package, file = PHOTOGRAPHS[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"photos: {name} is read from the package {package}, not installed here")
    path = Path(spec.submodule_search_locations[0]) / file
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: photograph {name}: {error}; reinstall {package}") from error


def region(width: int, split: str) -> tuple[int, int]:
    """First column, and the column after the last, of ``split`` in a photograph ``width`` wide."""
    if split == "train":
        return 0, math.floor(_TRAIN_END * width)
    return math.ceil(_TEST_START * width), width


def patch_corners(
    photo: np.ndarray,
    name: str,
    split: str,
    *,
    size: int,
    count: int,
    seed: int = 0,
    minimum_deviation: float = 0.0,
) -> np.ndarray:
    """Row and column of the top left pixels of ``count`` distinct patches, ``count`` x 2.

    The positions depend on the photograph, the split, ``seed`` and ``size``, not on other classes.
    Raises DataError, naming the photograph, when too few patches deviate enough.
    """
    start, stop = region(photo.shape[1], split)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), int(split == "test")])
    # A dictionary, for it keeps the order in which its keys came.
    found: dict[tuple[int, int], None] = {}
    for _ in range(_TRIES_PER_PATCH * count):
        row = int(rng.integers(photo.shape[0] - size + 1))
        column = int(rng.integers(start, stop - size + 1))
        patch = _patch(photo, (row, column), size)
        # About the mean of each channel: a flat patch of a saturated colour is flat.
        if np.sqrt(patch.var(axis=(0, 1)).mean()) >= minimum_deviation:
            found[row, column] = None
        if len(found) == count:
            return np.array(list(found))
    raise DataError(
        f"photos: {name}: {len(found)} of {count} {split} patches of {size} x {size} pixels "
        f"found that deviate by {minimum_deviation:g} or more; lower minimum_deviation or "
        f"{split}_per_class"
    )


def _patch(photo: np.ndarray, corner: tuple[int, int] | np.ndarray, size: int) -> np.ndarray:
    row, column = corner
    return photo[row : row + size, column : column + size]
