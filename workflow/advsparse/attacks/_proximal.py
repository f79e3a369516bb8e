r"""Proximal operators of norms, in a metric that is a weight for each pixel.

The problem, for each image:

.. math:: \min_z \lambda\, \phi(z) + \frac{1}{2} \sum_j w_j (z_j - r_j)^2

with phi the l1, l2 or linf norm, or the sum of |z_j|^(2/3), which stands for l0. All are solved
exactly: those of l2 and linf have one unknown that is found by Newton's method.
"""

from __future__ import annotations

from advsparse.lazy import torch

_ROUNDS = 50
"""More than Newton's method takes."""

_CLOSE = 1e-6
"""Share of the norm below which a step is the last: the next would be its square."""


def proximal(
    r: torch.Tensor, weights: torch.Tensor, price: torch.Tensor, norm: str
) -> torch.Tensor:
    """The solution z for ``r`` and ``weights`` N x P, and lambda, the ``price``, N."""
    solve = {"l1": _l1, "l2": _l2, "linf": _linf, "l0": _two_thirds}[norm]
    return solve(r, weights, price[:, None])


def approached(
    r: torch.Tensor, weights: torch.Tensor, price: torch.Tensor, norm: str, steps: int
) -> torch.Tensor:
    """What so many proximal gradient steps from ``r`` come to, all pixels with the largest weight:
    those of small weights stay near ``r``."""
    largest = weights.amax(1, keepdim=True)
    even, z = torch.ones_like(weights), r
    for _ in range(steps):
        moved = z - (weights / largest) * (z - r)
        z = proximal(moved, even, price / largest[:, 0], norm)
    return z


def _l1(r, weights, price):
    return (r.abs() - price / weights).clamp_(min=0).copysign_(r)


def _l2(r, weights, price):
    """z_j = r_j w_j / (w_j + price / n), where n is the norm of z.

    It is the root of || r w / (n w + price) || = 1, whose inverse is nearly a line in n.
    """
    force = r * weights
    stays = torch.linalg.vector_norm(force, dim=1) > price[:, 0]
    n, going = torch.linalg.vector_norm(r, dim=1), stays
    for _ in range(_ROUNDS):
        below = n[:, None] * weights + price
        square = (force / below).square_()
        length = square.sum(1)
        slope = (square * weights / below).sum(1)
        # Each image ends by itself, or it would feel the others.
        step = torch.where(going, (1 - length.rsqrt()) * length.sqrt().pow(3) / slope, 0.0)
        n = (n + step).clamp(min=0)
        going = going & (step.abs() > _CLOSE * n)
        if not going.any():
            break
    found = force * n[:, None] / (n[:, None] * weights + price)
    return torch.where(stays[:, None], found, 0.0)


def _linf(r, weights, price):
    """What exceeds t is cut to t, where the sum of w (|r| - t) over it is the price."""
    size, t = r.abs(), torch.zeros_like(price)
    for _ in range(_ROUNDS):
        # A sum that falls ever more slowly: tangents never pass the root.
        held = torch.where(size > t, weights, 0.0)
        total = held.sum(1, keepdim=True).clamp(min=torch.finfo(r.dtype).tiny)
        root = (((held * size).sum(1, keepdim=True) - price) / total).clamp(min=0)
        if not (root > t).any():
            break
        t = torch.maximum(t, root)
    return r.clamp(-t, t)


def _two_thirds(r, weights, price):
    """The closed form of the real root (Cao, Sun and Xu 2013), 0 below the threshold."""
    scaled = 2 * price / weights
    size = r.abs()
    beyond = size > (2 / 3) * (3 * scaled.pow(3)).pow(0.25)
    # Where it is 0 anyway any size will do that has a root.
    size = torch.where(beyond, size, 1.0 + scaled)
    angle = torch.acosh((27 / 16) * size.square() * scaled.pow(-1.5))
    root = (2 / 3**0.5) * scaled.pow(0.25) * torch.cosh(angle / 3).sqrt()
    found = ((root + (2 * size / root - root.square()).clamp(min=0).sqrt()) / 2).pow(3)
    return torch.where(beyond, found, 0.0).copysign(r)
