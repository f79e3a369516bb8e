"""What the Square attack proposes: windows of one colour, and bumps that move from place to place
(Andriushchenko et al. 2020; for l1 Croce and Hein 2021, "Mind the box").

Each image has a radius of its own, N x 1 x 1 x 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from advsparse.attacks._square_windows import (
    two_bumps,
    window_indices,
    window_share,
    window_side,
)
from advsparse.lazy import torch
from advsparse.seeding import Random

_BLOCK = 250
"""Queries whose random numbers are drawn at once for an image."""

_TILES = 5
"""Bumps along each side of the image that the l2 attack starts from."""

_MORE = 10.0
"""How many times the norm that is to be had the window gets in l1, before the projection brings all
of it back into the ball: else the box would cut most of a bump off. With 1 a fourth as many images
of the benchmark's network are fooled."""

_TINY = 1e-12
"""Keeps the norm of an empty window from being divided by."""

if TYPE_CHECKING:
    from collections.abc import Callable

    Into = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Moves:
    """The proposals of one search.

    into: brings points into the balls of a radius around the images and into the box, exactly
    where that is another point than first the one and then the other; queries: how many there will
    be; first_share: of the pixels, those that the first windows cover.
    """

    def __init__(
        self, norm: str, rng: Random, queries: int, first_share: float, into: Into
    ) -> None:
        self._norm, self._rng, self._into = norm, rng, into
        self._queries, self._share = queries, first_share
        self._draws = torch.zeros(0)  # until the first query

    def start(self, x: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
        """Stripes in linf, else a grid of bumps."""
        pattern = _stripes if self._norm == "linf" else _grid
        return self._into(x + pattern(x, radius, self._rng), x, radius)

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these images alone."""
        if len(self._draws):
            self._draws = self._draws[rows]

    def propose(
        self, query: int, now: torch.Tensor, x: torch.Tensor, radius: torch.Tensor
    ) -> torch.Tensor:
        """What is asked about in a query, from 1, given where the search is."""
        at = (query - 1) % _BLOCK
        if at == 0:
            shape = (_BLOCK, 5 + x.shape[1])
            self._draws = self._rng.uniform_block(x, shape, 1 + (query - 1) // _BLOCK)
        share = window_share(query, self._queries, self._share)
        height, width = x.shape[2:]
        least = min(height, width)
        side = window_side(share, height * width, least, odd=self._norm != "linf")
        move = self._recolour if self._norm == "linf" else self._move_mass
        return move(now, x, radius, side, self._draws[:, at])

    def _recolour(self, now, x, radius, side, draw):
        """A window of each image set to x -+ eps, a sign for each channel."""
        channels, height, width = now.shape[1:]
        pixels = window_indices(_corner(draw, height, width, side), side, width)
        pixels = pixels[:, None].expand(-1, channels, -1)
        sign = torch.where(draw[:, 5:] < 0.5, -1.0, 1.0)[:, :, None].to(x.dtype)
        colour = x.flatten(2).gather(2, pixels) + sign * radius.flatten(2)
        return now.flatten(2).scatter(2, pixels, colour.clamp_(0, 1)).reshape(now.shape)

    def _move_mass(self, now, x, radius, side, draw):
        """The norm of one window moved into another, in the form of bumps."""
        channels, height, width = now.shape[1:]
        # For l2 squares are what adds up.
        order, power = (2, 2) if self._norm == "l2" else (1, 1)
        eps = radius.flatten(2)

        def mass(d):
            return d.abs().pow(power).sum(2, keepdim=True)

        d = (now - x).flatten(2)
        spare = (eps**power - mass(d).sum(1, keepdim=True)).clamp(min=0)
        gain, drain = (
            window_indices(_corner(two, height, width, side), side, width)[:, None].expand(
                -1, channels, -1
            )
            for two in (draw[:, :2], draw[:, 2:4])
        )
        drained, old = mass(d.gather(2, drain)), d.gather(2, gain)
        d = d.scatter(2, drain, 0.0)
        # Drained first, so that pixels of both windows count once.
        gained = drained + mass(d.gather(2, gain)) + spare / channels
        pattern = _turned(two_bumps(side).to(x), draw[:, 4])[:, None].flatten(2)
        sign = torch.where(draw[:, 5:] < 0.5, -1.0, 1.0)[:, :, None].to(x.dtype)
        new = sign * pattern + old / (old.norm(order, dim=2, keepdim=True) + _TINY)
        new = new / (new.norm(order, dim=2, keepdim=True) + _TINY)
        if self._norm == "l1":
            d = d.scatter(2, gain, _MORE * gained * new)
            return self._into(x + d.reshape(x.shape), x, radius)
        d = d.scatter(2, gain, new * gained.sqrt())
        d = d * (eps / (d.flatten(1).norm(dim=1)[:, None, None] + _TINY))
        return (x + d.reshape(x.shape)).clamp(0, 1)


def _corner(draw, height, width, side):
    """The upper left corner of a window, uniform over those that fit, N x 2."""
    room = torch.tensor([height - side + 1, width - side + 1], device=draw.device)
    return torch.minimum((draw[:, :2] * room).long(), room - 1)


def _turned(pattern, coin):
    """The pattern, or its transpose, for each image, N x side x side."""
    return torch.where((coin < 0.5)[:, None, None], pattern, pattern.T)


def _stripes(x, radius, rng):
    """Vertical stripes of +-eps, a sign for each column and channel."""
    coins = rng.uniform_block(x, (x.shape[1], 1, x.shape[3]))
    return torch.where(coins < 0.5, -radius, radius).expand(x.shape)


def _grid(x, radius, rng):
    """A grid of bumps, each with random signs, of norm eps altogether."""
    channels, height, width = x.shape[1:]
    side = max(1, min(height, width) // _TILES)
    down, across = min(_TILES, height // side), min(_TILES, width // side)
    draw = rng.uniform_block(x, (down, across, 1 + channels))
    d = torch.zeros_like(x)
    top, left = (height - down * side) // 2, (width - across * side) // 2
    for i in range(down):
        for j in range(across):
            bumps = _turned(two_bumps(side).to(x), draw[:, i, j, 0])[:, None]
            sign = torch.where(draw[:, i, j, 1:] < 0.5, -1.0, 1.0).to(x.dtype)[:, :, None, None]
            r, c = top + i * side, left + j * side
            d[:, :, r : r + side, c : c + side] = sign * bumps
    return d * radius / d.flatten(1).norm(dim=1).reshape(radius.shape)
