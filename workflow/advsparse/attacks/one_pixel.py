"""The one-pixel attack: differential evolution of a few pixels, without gradients."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings

_TOGETHER = 32
"""Candidates of an image that the network is asked about at once."""

_MEAN, _SPREAD = 128 / 255, 127 / 255
"""Of the normal law of the first colours (Su et al. 2019, section III.C)."""


@settings
class OnePixel(BudgetAttack):
    r"""One pixel or a few, all their channels, evolved until the image is adversarial.

    .. math:: \min_{x'} p_y(x') \quad \text{or} \quad \max_{x'} p_t(x') \quad
              \text{subject to} \quad |\{i : x'_i \ne x_i\}| \le k

    with the probabilities p of the label y or of the target t, and pixels i; they are compared by
    their odds, as many are 1 but for rounding. A candidate is the
    place and the colour of k pixels. The first generation has uniform places and normal colours;
    then each candidate c_j is challenged by

    .. math:: c_{r_1} + F\, (c_{r_2} - c_{r_3}),

    clipped to the image and to [0, 1], with three different others drawn at random, and gives way
    to what is better. There is no crossover. An image leaves once a candidate is adversarial.

    Source: Su et al. 2019, "One pixel attack".

    Cost: no gradient, at most (generations + 1) x population forward passes.
    """

    family = "black box"
    randomness = "the first generation, and who challenges whom"

    norm: Literal["l0"] = "l0"
    eps: NonNegativeFloat | None = None  # type: ignore[assignment] # wider, by intent
    """Largest number of changed entries, of which a pixel has one for each channel: a bound beside
    ``pixels``; none leaves it to them."""
    pixels: PositiveInt = 1
    """k, the number of pixels."""
    population: Annotated[int, Field(ge=4)] = 400
    """Number of candidates."""
    generations: PositiveInt = 100
    """Largest number of generations after the first."""
    factor: PositiveFloat = 0.5
    """F, what is made of the difference of two candidates."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def _copies(self, classes, size):
        # The candidates that are painted at once.
        return 28 + 4 * min(_TOGETHER, self.population)

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        found, steps = x.clone(), torch.zeros(len(x), dtype=torch.int64, device=x.device)
        count = self._count(x)
        rows = torch.arange(len(x), device=x.device)
        if not count:
            return Candidate(found, steps)
        genes = self._first(x, count, rng)
        fitness = x.new_full((len(x), self.population), torch.inf)
        clean, trial = x, genes
        for generation in range(self.generations + 1):
            if generation:
                trial = self._challengers(genes, clean, rng, generation)
            value, won = self._weighed_up(oracle, clean, trial, y, target, rows)
            better = value < fitness
            genes = torch.where(better[:, :, None, None], trial, genes)
            fitness = torch.where(better, value, fitness)
            steps[rows] += 1
            # Of those that are adversarial the best; else the best of all, for want of another.
            best = torch.where(won, value, torch.inf).argmin(1)
            ended = won.any(1)
            best = torch.where(ended, best, fitness.argmin(1))
            shown = torch.where(ended[:, None, None, None], trial, genes)
            chosen = shown[torch.arange(len(rows), device=rows.device), best]
            found[rows] = painted(clean, chosen[:, None])[:, 0]
            going = ~ended
            rows, clean = rows[going], clean[going]
            genes, fitness = genes[going], fitness[going]
            if not len(rows):
                break
        return Candidate(found, steps)

    def _count(self, x) -> int:
        """How many pixels may change."""
        channels, height, width = x.shape[1:]
        most = min(self.pixels, height * width)
        return most if self.eps is None else min(most, math.floor(self.eps) // channels)

    def _first(self, x, count, rng):
        """N x population x pixels x (2 + channels): places as shares of the sides, and colours."""
        shape = (self.population, count, 2 + x.shape[1])
        genes = rng.uniform_block(x, shape)
        normal = torch.special.ndtri(genes[..., 2:].clamp(1e-6, 1 - 1e-6))
        genes[..., 2:] = _MEAN + _SPREAD * normal
        return genes.clamp(0, 1)

    def _challengers(self, genes, x, rng, generation):
        draw = rng.uniform_block(x, (self.population, 3), generation)
        one, two, three = (
            genes.gather(1, at[:, :, None, None].expand_as(genes))
            for at in three_others(draw, self.population)
        )
        return (one + self.factor * (two - three)).clamp(0, 1)

    def _weighed_up(self, oracle, x, genes, y, target, rows):
        """What is to be small of each candidate, and which of them are adversarial, N x M each."""
        label, goal = y[rows], at_rows(target, rows)
        values, won = [], []
        for some in genes.split(_TOGETHER, dim=1):
            logits = oracle.several(painted(x, some), rows)
            for one in logits.unbind(1):
                won.append(fooled(one, label, goal))
                value = _odds(one, label if goal is None else goal)
                values.append((value if goal is None else -value).nan_to_num(torch.inf))
        return torch.stack(values, 1), torch.stack(won, 1)


def _odds(logits, classes):
    """log(p / (1 - p)) of the probability of each image's class."""
    own = logits.gather(1, classes[:, None])
    return own[:, 0] - logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1)


def three_others(draw: torch.Tensor, count: int) -> list[torch.Tensor]:
    """From uniform numbers, N x M x 3, three different ones of ``count`` candidates, with equal
    odds."""
    first = (draw[..., 0] * count).long().clamp(max=count - 1)
    second = (draw[..., 1] * (count - 1)).long().clamp(max=count - 2)
    second = second + (second >= first)
    third = (draw[..., 2] * (count - 2)).long().clamp(max=count - 3)
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    third = third + (third >= low)
    return [first, second, third + (third >= high)]


def painted(x: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
    """The images that candidates stand for, N x M x C x H x W; of two pixels at the same place the
    later one is seen."""
    channels, height, width = x.shape[1:]
    found = x[:, None].repeat(1, genes.shape[1], 1, 1, 1).flatten(3)
    row, column = (
        (genes[..., i] * side).long().clamp(max=side - 1) for i, side in enumerate((height, width))
    )
    for pixel in range(genes.shape[2]):
        at = (row * width + column)[:, :, pixel, None, None].expand(-1, -1, channels, 1)
        found = found.scatter(3, at, genes[:, :, pixel, 2:, None])
    return found.reshape(*found.shape[:3], height, width)
