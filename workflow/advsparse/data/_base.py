"""What every dataset source must give."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from advsparse.artifacts import Rows
from advsparse.errors import DataError
from advsparse.settings import settings


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: not what stands for bytes that are something else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Splits:
    """A dataset: images as ``uint8`` arrays N x C x H x W, labels as ``int64`` arrays of length N.

    Images stay in eight bits, and where they come from, until some of them are asked for: they may
    be arrays, or be read by slice. :meth:`images` gives the ``float32`` in [0, 1] that models and
    attacks work on.
    """

    x_train: Rows
    y_train: np.ndarray
    x_test: Rows
    y_test: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            self._check(split)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"training images have shape {self.x_train.shape[1:]}, "
                f"test images {self.x_test.shape[1:]}"
            )

    def _check(self, split: str) -> None:
        x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
        if x.dtype != np.uint8 or len(x.shape) != 4 or x.shape[1] not in (1, 3) or 0 in x.shape:
            raise DataError(
                f"x_{split}: expected uint8 of shape N x (1 or 3) x H x W, "
                f"got {x.dtype} of shape {x.shape}"
            )
        if y.dtype != np.int64 or y.shape != x.shape[:1]:
            raise DataError(
                f"y_{split}: expected int64 of shape {x.shape[:1]}, "
                f"got {y.dtype} of shape {y.shape}"
            )
        outside = np.flatnonzero((y < 0) | (y >= len(self.classes)))
        if outside.size:
            raise DataError(
                f"y_{split}[{outside[0]}] is {y[outside[0]]}, outside 0..{len(self.classes) - 1}"
            )
        for name in self.classes:
            if not is_utf8(name):
                raise DataError(f"the class name {name!r} cannot be written as UTF-8")
        if len(self.classes) < 2:
            raise DataError(f"a dataset needs two classes or more, found {list(self.classes)}")
        missing = np.flatnonzero(np.bincount(y, minlength=len(self.classes)) == 0)
        if missing.size:
            raise DataError(f"y_{split}: no image of class {self.classes[missing[0]]!r}")

    def pixels(self, split: str) -> Rows:
        """All images of ``split`` ("train" or "test"), in eight bits and wherever they are."""
        return getattr(self, f"x_{split}")

    def images(self, split: str, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The images ``index`` of ``split`` as ``float32`` in [0, 1]; all of them take four times
        what they take on disk."""
        return self.pixels(split)[index].astype(np.float32) / np.float32(255)

    def labels(self, split: str, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The labels of ``split``."""
        return getattr(self, f"y_{split}")[index]


@settings
class Source(ABC):
    """A dataset source: its settings, and how to make its images from them."""

    stand_in: ClassVar[bool] = False
    """Whether this source only stands in for a dataset that a paper used."""

    note: ClassVar[str] = ""
    """What tables and figures say of the data besides its name."""

    @abstractmethod
    def load(self, directory: Path) -> Splits:
        """Read or make the dataset; relative paths start at ``directory``.

        Raises DataError, naming the file and the entry.
        """

    def files(self, directory: Path) -> list[Path]:
        """The files or folders that :meth:`load` reads; none for a source that makes its images."""
        return []

    def contents(self, directory: Path) -> str | None:
        """A digest that tells whether what is behind :meth:`files` has changed, which their times
        may not tell; None if they are pinned, or not there."""
        return None

    def absent(self, directory: Path) -> str | None:
        """Which of :meth:`files` are not there, and what to do about it; None if all are."""
        for path in self.files(directory):
            if not os.path.exists(path):  # noqa: PTH110 - the method raises for some paths
                return f"there is no {path}"
        return None
