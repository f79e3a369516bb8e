"""Seconds and memory of the whole Dict-Attack at CIFAR-10's size, and the dense way beside it.

Whole means D D^T, its spectrum, the universal direction and those of all pairs of ten classes. It
runs in a process of its own, whose peak memory is its own too. The dense way, an SVD of D itself,
is taken at a size that it can bear, where both must give the same.
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import statistics
import time
from typing import Any

import torch

from advsparse.attacks._dict_directions import between
from advsparse.attacks.dict_attack import DictAttack
from advsparse.coding._convolution_map import Convolution

TITLE = "Dict-Attack"
SETTINGS = (
    "weitzner2023's equations 3 and 4 for a random dictionary and a random classifier of ten "
    "classes: the universal direction and those of the 45 pairs of classes. Peak memory is that of "
    "the process, Python and torch included."
)
CLASSES = 10
PAIRS = torch.tensor(list(itertools.combinations(range(CLASSES), 2))).T
FULL = (64, 3, 7, 32)
SMALL = (8, 3, 5, 12)
"""Filters, channels, size of a filter, size of an image."""
SMALL_RUNS = 5


class Classifier(torch.nn.Module):
    """A random linear classifier of the correlations of images with random filters."""

    def __init__(self, filters: int, channels: int, size: int, image: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn((filters, channels, size, size), generator=generator)
        self.synthesis = Convolution(drawn / drawn[0].numel() ** 0.5, (image, image))
        self.weights = torch.nn.Parameter(
            torch.randn((CLASSES, filters, image, image), generator=generator)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.synthesis.adjoint(x).flatten(1) @ self.weights.flatten(1).T


def matrix_free(size: tuple[int, ...]) -> tuple[torch.Tensor, float]:
    """Universal direction and pairs, 46 x C x H x W, and the seconds they took."""
    model = Classifier(*size)
    x = torch.zeros(1, *model.synthesis.signal_shape)
    started = time.perf_counter()
    found = DictAttack(eps=1.0).fit(model, x, torch.zeros(1, dtype=torch.int64)).arrays
    directions = torch.cat([found["universal"], between(found["classes"], *PAIRS)])
    return directions, time.perf_counter() - started


def dense(size: tuple[int, ...]) -> tuple[torch.Tensor, float]:
    """The same from an SVD of D, whose columns are written out."""
    model = Classifier(*size)
    started = time.perf_counter()
    synthesis = model.synthesis.to(torch.float64)
    basis = torch.eye(synthesis.atoms, dtype=torch.float64)
    d = synthesis.forward(basis.reshape(-1, *synthesis.code_shape)).flatten(1).T
    u, s, vh = torch.linalg.svd(d, full_matrices=False)
    w = model.weights.detach().double().flatten(1)
    steps = (w[PAIRS[1]] - w[PAIRS[0]]) @ vh.T / s @ u.T
    universal = u[:, -1] * u[:, -1][u[:, -1].abs().argmax()].sign()
    directions = torch.cat([universal[None], steps / steps.norm(dim=1, keepdim=True)])
    directions = directions.reshape(-1, *synthesis.signal_shape)
    return directions, time.perf_counter() - started


def measure() -> dict[str, Any]:
    """A line for the full size, in a process of its own, and one for each way at the small size."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, peak = pool.apply(_alone, (torch.get_num_threads(),))
    ways = {"matrix-free": matrix_free, "dense SVD": dense}
    found = [way(SMALL)[0].flatten(1) for way in ways.values()]  # warms up too
    rows = [["matrix-free", _size(FULL), f"{seconds:.1f}", f"{peak / 2**30:.2f}", "60 s, 2 GiB"]]
    for name, way in ways.items():
        taken = statistics.median(way(SMALL)[1] for _ in range(SMALL_RUNS))
        rows.append([name, _size(SMALL), f"{taken:.2f}", "", ""])
    cosine = float((found[0] * found[1]).sum(1).min())
    return {
        "section": "alone",
        "title": TITLE,
        "settings": f"{SETTINGS} At the small size the least cosine between the two ways' "
        f"directions is 1 - {1 - cosine:.1g}.",
        "columns": ["way", "size", "seconds", "peak memory, GiB", "to reach"],
        "rows": rows,
    }


def _size(size: tuple[int, ...]) -> str:
    filters, channels, side, image = size
    return f"{filters} filters {channels}x{side}x{side}, images {image}x{image}"


def _alone(threads: int) -> tuple[float, int]:
    torch.set_num_threads(threads)
    _, seconds = matrix_free(FULL)
    return seconds, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
