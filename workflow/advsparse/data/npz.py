"""A dataset in one NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from advsparse.data._base import Splits
from advsparse.data._files import reading, splits
from advsparse.data._local import LocalFile
from advsparse.errors import DataError
from advsparse.settings import settings

_CHUNK = 1024  # images converted at a time, to bound the memory that floats take


@settings
class Npz(LocalFile):
    """An .npz file with the arrays x_train, y_train, x_test and y_test.

    Images are N x H x W, N x H x W x C or N x C x H x W with C = 1 or 3, either ``uint8`` or floats
    in [0, 1]; floats are rounded to eight bits (the nearest of k / 255). Labels are integers of
    any size, N of them, counted from 0. An optional array of strings, ``classes``, names the
    classes; nothing that needs pickle is read.
    """

    classes: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of the classes, in the order of their labels, before those in the file. If neither
    names them, they are called "0", "1" and so on up to the largest label in y_train."""

    def load(self, directory: Path) -> Splits:
        path = self._checked(directory)
        if path.is_dir() or not zipfile.is_zipfile(path):
            raise DataError(f"{path}: no .npz file (it is not a zip archive), or one cut short")
        with reading(path):
            archive = np.load(path, allow_pickle=False)
        with archive:
            y = {split: _labels(path, archive, f"y_{split}") for split in ("train", "test")}
            names = self.classes or _names(path, archive) or _numbers(path, y["train"])
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise DataError(f"{path}: classes: {twice!r} is there twice")
            x = {split: _images(path, archive, f"x_{split}") for split in ("train", "test")}
        for split in ("train", "test"):
            if len(x[split]) != len(y[split]):
                raise DataError(
                    f"{path}: x_{split} holds {len(x[split])} images, "
                    f"y_{split} {len(y[split])} labels"
                )
        return splits(
            path,
            x_train=x["train"],
            y_train=y["train"],
            x_test=x["test"],
            y_test=y["test"],
            classes=tuple(names),
        )


def _array(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    if name not in archive.files:
        held = ", ".join(archive.files) or "no array"
        raise DataError(f"{path}: {name} is missing; the file holds {held}")
    with reading(path, name):
        array = archive[name]
    if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what is no .npy
        raise DataError(f"{path}: {name} is no NumPy array")
    return array


def _labels(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    y = _array(path, archive, name)
    if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
        raise DataError(
            f"{path}: {name}: expected integers of shape N, got {y.dtype} of shape {y.shape}"
        )
    # Before the conversion, which would wrap what is too large.
    outside = np.flatnonzero((y < 0) | (y > np.iinfo(np.int64).max))
    if outside.size:
        raise DataError(
            f"{path}: {name}[{outside[0]}] is {y[outside[0]]}, but labels are 0, 1, 2, ..."
        )
    return y.astype(np.int64)


def _names(path: Path, archive: np.lib.npyio.NpzFile) -> list[str] | None:
    if "classes" not in archive.files:
        return None
    names = _array(path, archive, "classes")
    if names.dtype.kind != "U" or names.ndim != 1 or not names.size:
        raise DataError(
            f"{path}: classes: expected strings of shape K, got {names.dtype} of "
            f"shape {names.shape}"
        )
    return names.tolist()


def _numbers(path: Path, y_train: np.ndarray) -> list[str]:
    present = np.unique(y_train)
    # Asked of the labels that are there: one stray label of 2**40 must not make a list so long.
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if gaps.size:
        stray = present[gaps[0]]
        index = np.flatnonzero(y_train == stray)[0]
        raise DataError(
            f"{path}: y_train[{index}] is {stray}, but no training image has label {gaps[0]}"
        )
    return [str(label) for label in present]


def _images(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    x = _array(path, archive, name)
    floating = x.dtype.kind == "f"
    if (x.dtype != np.uint8 and not floating) or x.ndim not in (3, 4) or not x.size:
        raise DataError(
            f"{path}: {name}: expected uint8, or floats in [0, 1], of shape N x H x W, "
            f"N x H x W x C or N x C x H x W, got {x.dtype} of shape {x.shape}"
        )
    if x.ndim == 3:
        x = x[:, None]
    else:
        first, last = x.shape[1] in (1, 3), x.shape[3] in (1, 3)
        if first == last:
            raise DataError(
                f"{path}: {name}: shape {x.shape} has {'both' if first else 'neither'} axis 1 and "
                "axis 3 of length 1 or 3, so its channels cannot be told"
            )
        if last:
            x = x.transpose(0, 3, 1, 2)
    return _eight_bits(path, name, x) if floating else np.ascontiguousarray(x)


def _eight_bits(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    out = np.empty(x.shape, np.uint8)
    for start in range(0, len(x), _CHUNK):
        part = x[start : start + _CHUNK]
        wrong = np.argwhere(~((part >= 0) & (part <= 1)))  # so that NaN is wrong too
        if len(wrong):
            index = start + wrong[0, 0]
            raise DataError(
                f"{path}: {name}[{index}] holds {part[tuple(wrong[0])]!s}, outside [0, 1]"
            )
        # Half precision is too coarse for the products.
        out[start : start + _CHUNK] = np.rint(np.multiply(part, 255, dtype=np.float64))
    return out
