"""Every attack on every network, in every norm, at every budget, by every seed."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from benchmarks.equal_cost import packages
from benchmarks.equal_cost.contender import Contender, Task
from benchmarks.equal_cost.counter import Counted, Spent
from benchmarks.equal_cost.networks import Network
from benchmarks.equal_cost.own import own
from benchmarks.equal_cost.published import published

NORMS = ("l2", "linf", "l1", "l0")
BUDGETS = (100, 1000)
SEEDS, IMAGES = 3, 64

RADII = {
    "plain": {"l2": 1.0, "linf": 0.03, "l1": 14.0, "l0": 20.0},
    "pgd": {"l2": 3.7, "linf": 0.45, "l1": 15.0, "l0": 16.0},
}
"""About twice the median distances, for those of the published attacks that need a first radius."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What one attack did to the images of one seed."""

    network: str
    norm: str
    budget: int
    seed: int
    library: str
    name: str
    distances: list[float]
    """Of the nearest adversarial image that was asked about, infinite where there was none."""
    passes: float
    """For an image, on average."""
    seconds: float
    """CPU time of the process, without what counting takes."""


def contenders(norm: str) -> list[Contender]:
    """All attacks for a norm, ours first."""
    return [one for one in own() + published() if norm in one.norms]


def runs(
    network: Network, norm: str, images: int, seed: int, libraries: list[str] | None = None
) -> Iterator[dict]:
    """Each attack, or those of some libraries, on the images of a seed, at each budget."""
    x, y = network.drawn(images, seed)
    for budget in BUDGETS:
        task = Task(x, y, norm, budget, RADII[network.name][norm], seed)
        for one in contenders(norm):
            if libraries is not None and one.library not in libraries:
                continue
            found = measured(one, network, task)
            logger.info(
                "%s, %s, %d passes, seed %d: %s %s, %.1f s",
                *(network.name, norm, budget, seed, one.library, one.name, found.seconds),
            )
            yield asdict(found)


def measured(one: Contender, network: Network, task: Task) -> Run:
    """One attack."""
    counted = Counted(network.model, task.x, task.y, task.norm, task.budget, repeats=one.repeats)
    packages.load()
    torch.manual_seed(task.seed)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            one.run(counted, task)
        except Spent:
            logger.debug("%s %s: all passes are spent", one.library, one.name)
    seconds = time.process_time() - began - counted.aside
    return Run(
        network.name,
        task.norm,
        task.budget,
        task.seed,
        one.library,
        one.name,
        counted.distance.tolist(),
        counted.passes.double().mean().item(),
        seconds,
    )
