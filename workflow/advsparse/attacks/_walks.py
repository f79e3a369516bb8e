"""What walks around the boundary share: where they start, how many steps they take, how long these
are, and sizes."""

from __future__ import annotations

import math

from advsparse.attacks._losses import direction
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.shapes import per_image
from advsparse.threat import Norm, Threat

_SMALL = 1e-15
"""Norms from this to its inverse are taken as they come, in any precision."""

_ORDER = {"linf": math.inf, "l2": 2.0, "l1": 1.0, "l0": 0.0}
_DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}


def steps_within(oracle, steps: int | None, otherwise: int, passes: int = 2) -> int:
    """The steps that were asked for, or as many as the limit leaves room for, or ``otherwise``.

    passes: what each of them takes.
    """
    if steps is not None:
        return steps
    room = oracle.affords(passes)
    return otherwise if room is None else max(1, room)


def divided(steps: int, parts: int) -> list[int]:
    """So many steps in parts as alike as possible, the longer ones first; none of them is 0."""
    return [count for k in range(parts) if (count := (steps + parts - 1 - k) // parts)]


def scattered(x, norm: Norm, radius: torch.Tensor, rng: Random, stream: int) -> torch.Tensor:
    """A point of the box for each image, from uniform in the ball of ``radius`` (N) around it, or
    of that which just holds the box, where a radius is larger."""
    radius = torch.minimum(radius, size(torch.maximum(x, 1 - x), norm))
    ball = Threat(norm=norm, eps=1.0, bounds=(-math.inf, math.inf))
    unit = ball.random_start(x, rng, stream) - x
    return (x + unit * per_image(radius, x)).clamp(0, 1)


def annealed(first: float, last: float, k: int, steps: int) -> float:
    """What falls from ``first`` to ``last`` along half a cosine, at step ``k`` of ``steps``."""
    return last + (first - last) * (1 + math.cos(math.pi * k / steps)) / 2


def size(d: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of each perturbation, N; of l0 the number of entries that are not 0."""
    return _norm(d, _ORDER[norm])


def _norm(d, order):
    flat = d.flatten(1)
    if order == 2:
        return torch.linalg.vector_norm(flat, dim=1)
    # Several times as fast as torch's counts and norms.
    if order == 0:
        return flat.sign().abs_().sum(1)
    return flat.abs().amax(1) if order == math.inf else flat.abs().sum(1)


def dual_size(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of each gradient that is dual to that of perturbations, above 0."""
    found = _norm(gradient, _DUAL[norm])
    return found.clamp(min=torch.finfo(gradient.dtype).tiny)


def advance(delta: torch.Tensor, gradient: torch.Tensor, step: float) -> None:
    """Add ``step`` times the gradient of unit length in l2 to each perturbation, in place."""
    length = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    if bool(((length > _SMALL) & (length < 1 / _SMALL)).all()):
        delta.addcmul_(gradient, per_image(step / length, gradient))
    else:  # squares that underflow or overflow take more care
        delta.add_(direction(gradient, "l2"), alpha=step)


class Adam:
    """The directions of Adam (Kingma and Ba 2015), each image with its own."""

    def __init__(self, like: torch.Tensor) -> None:
        self._mean, self._square, self._count = torch.zeros_like(like), torch.zeros_like(like), 0

    def step(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean gradient and what it is divided by, both without their bias."""
        self._count += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        scale = (self._square / (1 - 0.999**self._count)).sqrt_().add_(1e-8)
        return self._mean / (1 - 0.9**self._count), scale
