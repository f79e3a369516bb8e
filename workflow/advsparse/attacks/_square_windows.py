"""The random patterns and window sizes of the Square attack (Andriushchenko et al. 2020)."""

from __future__ import annotations

import math

from advsparse.lazy import torch

_DROPS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries, those after which the share of a window is halved."""


def window_share(query: int, queries: int, first: float) -> float:
    """p, the share of the pixels that the window of a query covers: ``first``, then halved again
    and again, after the queries that the paper lists for a budget of 10,000, scaled to ``queries``.
    """
    scaled = int(query / queries * 10_000)
    return first / 2 ** sum(scaled > drop for drop in _DROPS)


def window_side(share: float, pixels: int, largest: int, *, odd: bool = False) -> int:
    """The side of a square window that covers ``share`` of ``pixels``, 1 to ``largest``.

    ``odd``: the l2 attack's windows, which have a centre and are at least 3 wide where that fits.
    """
    side = max(round(math.sqrt(share * pixels)), 3 if odd else 1)
    if odd and side % 2 == 0:
        side += 1
    return min(side, largest)


def bump(height: int, width: int) -> torch.Tensor:
    r"""A pyramid-like pattern of unit l2 norm, ``height`` x ``width``.

    .. math:: \eta_{r,s} = \sum_{k=0}^{M(r,s)} \frac{1}{(n + 1 - k)^2}, \qquad
              M(r,s) = n - \max(|r - n_1 - 1|, |s - n_2 - 1|)

    with n = max(floor(height/2), floor(width/2)) and n_1 = floor(height/2), n_2 = floor(width/2),
    r and s from 1 (the paper writes it for height >= width).
    """
    rows = torch.arange(height).sub(height // 2).abs()[:, None]
    columns = torch.arange(width).sub(width // 2).abs()[None, :]
    ring = torch.maximum(rows, columns)
    n = max(height, width) // 2
    terms = 1 / torch.arange(n + 1, 0, -1, dtype=torch.float64).square()
    pattern = terms.cumsum(0)[n - ring]
    return pattern / pattern.norm()


def two_bumps(side: int) -> torch.Tensor:
    """A positive bump above a negative one, ``side`` x ``side``, of unit l2 norm."""
    if side == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    upper = side // 2
    pattern = torch.cat([bump(upper, side), -bump(side - upper, side)])
    return pattern / pattern.norm()


def window_indices(corner: torch.Tensor, side: int, width: int) -> torch.Tensor:
    """Flat pixel indices of square windows with upper left ``corner`` (N x 2), N x side^2."""
    step = torch.arange(side, device=corner.device)
    offsets = (width * step[:, None] + step[None, :]).flatten()
    return (width * corner[:, 0] + corner[:, 1])[:, None] + offsets
