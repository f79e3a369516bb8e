"""Local optimality (Cinà et al. 2025, AttackBench): one number for the distances of an attack."""

from __future__ import annotations

import numpy as np


def optimality(distances: np.ndarray, best: np.ndarray) -> float:
    """LO = (eps0 - A) / (eps0 - A*) of an attack's ``distances``, infinite where it failed.

    A is the area under the robust accuracy as a function of eps, from 0 to eps0, of images that are
    all classified correctly; A* is that of the ``best`` distance that is known for each image, and
    eps0 the largest finite one of these. It is 1 where no image could be nearer.
    """
    radius = best[np.isfinite(best)].max()
    return float((radius - _area(distances, radius)) / (radius - _area(best, radius)))


def _area(distances: np.ndarray, radius: float) -> float:
    """The integral of the share of images that are further than eps: their mean distance, cut."""
    return float(np.minimum(distances, radius).mean())


def robust_accuracy(distances: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """Share of the images that are further than each ``eps``."""
    return (distances[None] > eps[:, None]).mean(1)
