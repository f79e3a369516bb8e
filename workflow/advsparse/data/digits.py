"""Scikit-learn's handwritten digits: a stand-in for MNIST that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from advsparse.data._base import Source, Splits
from advsparse.errors import DataError
from advsparse.settings import PositiveInt, settings

_TEST_SHARE = 0.2
_SPLIT_SEED = 0  # part of the dataset, like its images: never a setting


@settings
class Digits(Source):
    """The 1797 handwritten digits that ship inside scikit-learn, 8 x 8 pixels in 17 grey levels.

    They are enlarged by bicubic interpolation, and split 80 : 20, stratified, always in the same
    way.
    """

    stand_in: ClassVar[bool] = True

    size: Annotated[int, Field(ge=8, le=64)] = 28
    """Height and width of the images, in pixels."""

    train_per_class: PositiveInt | None = None
    """Training images of each digit; all of them (139 or more) if not given."""

    test_per_class: PositiveInt | None = None
    """Test images of each digit; all of them (35 or more) if not given."""

    def load(self, directory: Path) -> Splits:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        labels = labels.astype(np.int64)
        train, test = train_test_split(
            np.arange(len(labels)),
            test_size=_TEST_SHARE,
            random_state=_SPLIT_SEED,
            stratify=labels,
        )
        train = _reduced("training", train, labels, self.train_per_class)
        test = _reduced("test", test, labels, self.test_per_class)
        images = images.reshape(-1, 8, 8)
        return Splits(
            x_train=_enlarged(images[train], self.size),
            y_train=labels[train],
            x_test=_enlarged(images[test], self.size),
            y_test=labels[test],
            classes=tuple(str(digit) for digit in range(10)),
        )


def _reduced(split: str, index: np.ndarray, labels: np.ndarray, count: int | None) -> np.ndarray:
    """The part of ``index`` that keeps the first ``count`` images of each digit, in its order."""
    if count is None:
        return index
    kept = []
    for digit in range(10):
        positions = np.flatnonzero(labels[index] == digit)
        if len(positions) < count:
            raise DataError(
                f"digits: {count} {split} images a class asked for, "
                f"but there are {len(positions)} of digit {digit}"
            )
        kept.append(positions[:count])
    return index[np.sort(np.concatenate(kept))]


def _enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """``images`` (N x 8 x 8, values 0..16) as ``uint8``, N x 1 x size x size."""
    from PIL import Image

    out = np.empty((len(images), 1, size, size), np.uint8)
    for i, image in enumerate(images):
        # Interpolated in floating point: the overshoot of the cubic is clipped, never wrapped, and
        # the levels between the 17 given ones are rounded once.
        grey = Image.fromarray((image * (255 / 16)).astype(np.float32))
        levels = np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC))
        out[i, 0] = np.rint(levels.clip(0, 255))
    return out
