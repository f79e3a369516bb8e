"""How large datasets are, be they there or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from advsparse import registry
from advsparse.errors import DataError


class Size(NamedTuple):
    """Of a dataset."""

    shape: tuple[int, int, int]
    classes: int
    train: int
    test: int

    def of(self, split: str) -> int:
        """Images of a split."""
        return self.train if split == "train" else self.test


def _per_class(classes: int, limit: int | None, every: int) -> int:
    return every if limit is None else min(every, classes * limit)


def _imagenet(source: Any) -> Size:
    side, classes = source.size, len(source.classes) if getattr(source, "classes", None) else 1000
    whole = round(1281167 * classes / 1000), 50 * classes
    train, test = (
        _per_class(classes, limit, every)
        for limit, every in zip((source.train_per_class, source.test_per_class), whole, strict=True)
    )
    return Size((3, side, side), classes, train, test)


def _tiny_imagenet(source: Any) -> Size:
    classes = len(source.classes) if source.classes else 200
    train = _per_class(classes, source.train_per_class, 500 * classes)
    return Size(
        (3, 64, 64), classes, train, _per_class(classes, source.test_per_class, 50 * classes)
    )


PUBLISHED: dict[str, Callable[[Any], Size]] = {
    "mnist": lambda source: Size((1, 28, 28), 10, 60000, 10000),
    "cifar10": lambda source: Size((3, 32, 32), 10, 50000, 10000),
    "tiny_imagenet": _tiny_imagenet,
    "imagenet10": lambda source: Size(
        (3, source.size, source.size), 10, 10 * source.train_per_class, 10 * source.test_per_class
    ),
    "imagenet": _imagenet,
}
"""The sizes that their publishers give, so that nothing has to be fetched for an estimate."""


def size_of(source: Any, directory: Path) -> Size:
    """The size of a dataset, of its source; read or made where it is none of the published.

    Raises DataError where it can be neither.
    """
    kind = registry.kind_of(source)
    return PUBLISHED[kind](source) if kind in PUBLISHED else _loaded(source, directory)


@cache
def _loaded(source: Any, directory: Path) -> Size:
    try:
        splits = source.load(directory)
    except OSError as error:
        raise DataError(f"the size of {registry.kind_of(source)} is not known: {error}") from error
    counts = len(splits.y_train), len(splits.y_test)
    return Size(tuple(splits.x_train.shape[1:]), len(splits.classes), *counts)
