"""The Square attack: random search with square patches, without gradients."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._climb import project_l1
from advsparse.attacks._confirm import at_rows, confirm
from advsparse.attacks._losses import margin
from advsparse.attacks._square_windows import (
    two_bumps,
    window_indices,
    window_share,
    window_side,
)
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveInt, settings
from advsparse.shapes import per_image

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


@settings
class Square(BudgetAttack):
    r"""Random search for the smallest margin, changing one square window at a time.

    .. math:: \min_{x'} m(x') \quad \text{subject to} \quad \|x' - x\|_p \le \epsilon,\;
              x' \in [0, 1]^P

    where m is the margin of the logits. A proposal that lowers it is kept, and all the others are
    forgotten. The share p of the pixels in a window
    starts at ``first_share`` and is halved on their schedule. linf: the window takes one of the
    colours x -+ eps, a sign for each channel; the start is vertical stripes. l2 and l1: the window
    gets the norm of a second window, which goes back to 0, and what the budget has left over, in
    the form of a positive and a negative bump; the start is a grid of bumps. For l1 both are
    projected onto what [0, 1] leaves of the ball, which makes them sparse. An image leaves once it
    is adversarial.

    Source: Andriushchenko et al. 2020; weitzner2023, supplement; for l1 Croce and Hein 2021, "Mind
    the box".

    Cost: no gradient, at most ``queries`` forward passes.

    Trace: ``margin`` (N), the smallest margin.
    """

    family = "black box"
    randomness = "the windows and their colours"

    norm: Literal["linf", "l2", "l1"] = "linf"
    queries: PositiveInt = 5000
    """Largest number of images that the model is asked about, for each image."""
    first_share: Fraction = 0.8
    """Share of the pixels that the first windows cover."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        start = _stripes if self.norm == "linf" else _grid
        propose = self._recolour if self.norm == "linf" else self._move_mass
        height, width = x.shape[2:]
        rows = torch.arange(len(x), device=x.device)
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        lowest = x.new_full((len(x),), torch.inf)
        now = self._into(x + start(x, self.threat.radius(x), rng), x)
        clean, margins = x, lowest
        draws = x.new_zeros(0)
        for query in range(self.queries):
            if query == 0:
                trial = now
            else:
                if (query - 1) % _BLOCK == 0:
                    shape = (_BLOCK, 5 + x.shape[1])
                    draws = rng.uniform_block(clean, shape, 1 + (query - 1) // _BLOCK)
                share = window_share(query, self.queries, self.first_share)
                side = window_side(
                    share, height * width, min(height, width), odd=self.norm != "linf"
                )
                trial = propose(now, clean, side, draws[:, (query - 1) % _BLOCK])
            logits = oracle.logits(trial, rows)
            value = margin(logits, y[rows], at_rows(target, rows))
            better = value < margins
            now = torch.where(per_image(better, trial), trial, now)
            margins = torch.where(better, value, margins)
            steps[rows] += 1
            won, settled = confirm(self.threat, oracle, trial, logits, x, y, target, rows)
            if won.any():
                best[rows[won]], lowest[rows[won]] = settled, value[won]
                keep = ~won
                rows, now, margins, clean = rows[keep], now[keep], margins[keep], clean[keep]
                draws = draws[keep] if query else draws
            if not len(rows):
                break
        best[rows], lowest[rows] = now, margins
        return Candidate(best, steps, {"margin": lowest})

    def _recolour(self, now, x, side, draw):
        """A window of each image set to x -+ eps, a sign for each channel."""
        channels, height, width = now.shape[1:]
        pixels = window_indices(_corner(draw, height, width, side), side, width)
        pixels = pixels[:, None].expand(-1, channels, -1)
        sign = torch.where(draw[:, 5:] < 0.5, -1.0, 1.0)[:, :, None].to(x.dtype)
        colour = x.flatten(2).gather(2, pixels) + sign * self.eps
        colour = colour.clamp(*self.threat.bounds)
        return now.flatten(2).scatter(2, pixels, colour).reshape(now.shape)

    def _move_mass(self, now, x, side, draw):
        """The norm of one window moved into another, in the form of bumps."""
        channels, height, width = now.shape[1:]
        # For l2 squares are what adds up.
        order, power = (2, 2) if self.norm == "l2" else (1, 1)

        def mass(d):
            return d.abs().pow(power).sum(2, keepdim=True)

        d = (now - x).flatten(2)
        spare = (self.eps**power - mass(d).sum(1, keepdim=True)).clamp(min=0)
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
        if self.norm == "l1":
            d = d.scatter(2, gain, _MORE * gained * new)
            return self._into(x + d.reshape(x.shape), x)
        d = d.scatter(2, gain, new * gained.sqrt())
        d = d * (self.eps / (d.flatten(1).norm(dim=1) + _TINY))[:, None, None]
        return (x + d.reshape(x.shape)).clamp(*self.threat.bounds)

    def _into(self, point, x):
        """A point moved into the ball and the box, exactly where that is another point."""
        if self.norm == "l1":
            return project_l1(point, x, self.threat)
        return self.threat.project(point, x)


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
