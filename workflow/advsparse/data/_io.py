"""Datasets as artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from advsparse.artifacts import Metadata, read_arrays, reading, write_arrays
from advsparse.data._base import Splits


def save_dataset(path: str | Path, splits: Splits, metadata: Metadata) -> None:
    """Write a dataset artifact."""
    arrays = {field.name: getattr(splits, field.name) for field in dataclasses.fields(Splits)}
    write_arrays(path, arrays | {"classes": np.array(splits.classes)}, metadata)


def load_dataset(path: str | Path) -> Splits:
    """Read a dataset artifact; raises ArtifactError."""
    path = Path(path)
    with reading(path):
        arrays, _ = read_arrays(path, stage="dataset")
        classes = tuple(arrays.pop("classes").tolist())
        return Splits(**arrays, classes=classes)
