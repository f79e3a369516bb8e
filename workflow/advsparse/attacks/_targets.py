"""The classes that attacks are led to."""

from __future__ import annotations

from advsparse.lazy import torch
from advsparse.seeding import Random


def runner_up(logits: torch.Tensor) -> torch.Tensor:
    """The second most probable class of each row of ``logits``."""
    return logits.topk(2, dim=1).indices[:, 1]


def nearest_wrong(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The runner-up of each row of ``logits``, or the first choice where the runner-up is ``y``.

    For a row whose first choice is y that is the target of weitzner2023, equation 5.
    """
    first, second = logits.topk(2, dim=1).indices.T
    return torch.where(second == y, first, second)


def random_wrong(x: torch.Tensor, y: torch.Tensor, classes: int, rng: Random) -> torch.Tensor:
    """For each image of ``x`` one of the ``classes`` but its label ``y``, with equal odds."""
    drawn = rng.part("target").uniform(x).flatten() * (classes - 1)
    others = drawn.long().clamp(max=classes - 2)
    return others + (others >= y)
