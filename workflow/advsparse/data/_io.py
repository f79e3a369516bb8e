"""Datasets as artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from advsparse.artifacts import Metadata, Slices, reading, write_slices
from advsparse.data._base import Splits

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def save_dataset(path: str | Path, splits: Splits, metadata: Metadata) -> None:
    """Write a dataset artifact; images are asked for some at a time."""
    described = dataclasses.replace(
        metadata, extra=metadata.extra | {"classes": list(splits.classes)}
    )
    write_slices(path, {name: getattr(splits, name) for name in _ARRAYS}, described)


def load_dataset(path: str | Path) -> Splits:
    """The dataset of an artifact, whose images are read when some are asked for.

    Raises ArtifactError; so does reading images that are not as written.
    """
    return load_described(path)[0]


def load_described(path: str | Path) -> tuple[Splits, Metadata]:
    """A dataset, and the metadata of its artifact."""
    path = Path(path)
    with reading(path):
        slices = Slices(path, stage="dataset")
        arrays = {name: slices[name] for name in _ARRAYS}
        labels = {name: arrays[name][:] for name in ("y_train", "y_test")}
        classes = tuple(slices.metadata.extra["classes"])
        return Splits(**arrays | labels, classes=classes), slices.metadata
