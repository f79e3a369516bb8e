"""Which images of a split a stage works on."""

from __future__ import annotations

import numpy as np

from advsparse.errors import DataError


def choose(size: int, *, split: str, start: int, count: int, order: int) -> np.ndarray:
    """Indices ``start`` to ``start + count`` of the permutation of ``size`` images by ``order``.

    Slices that don't overlap share no image. A ``count`` beyond the last image takes what is left;
    raises DataError where nothing is.
    """
    if start >= size:
        raise DataError(f"images from {start} on were asked for: the {split} split has {size}")
    return np.random.default_rng(order).permutation(size)[start : start + count]
