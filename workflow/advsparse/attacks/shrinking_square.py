"""Shrinking Square: the Square attack in a ball that shrinks with each adversarial image."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._ball_in_box import project
from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._square_moves import Moves
from advsparse.attacks._walks import annealed, size, steps_within
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveInt, settings
from advsparse.shapes import per_image


@settings
class ShrinkingSquare(MinimumNormAttack):
    r"""The nearest adversarial image, by random search in a ball that each success makes smaller.

    With the margin m of an image, at most 0 where it is adversarial, and a proposal x'' of the
    Square attack within the ball of radius epsilon,

    .. math:: \min_{x'} \|x' - x\|_p : \qquad
              x' \leftarrow x'' \text{ if } m(x'') < m(x'), \qquad
              \epsilon \leftarrow (1 - \gamma_k)\, \|x' - x\|_p \text{ if } m(x') \le 0

    after which x' is projected onto what [0, 1] leaves of the new ball, and asked about anew. The
    first radius is the largest that the box leaves room for, or, within an ensemble, that of the
    nearest image that others have found. gamma falls from ``rate`` to ``last_rate`` along a cosine.

    No gradient is asked for: where a network masks its gradients, it comes nearer than what follows
    them.

    Source: the proposals are those of Andriushchenko et al. 2020; that the ball shrinks is our own.

    Cost: at most ``queries`` forward passes.
    """

    family = "black box"
    randomness = "the windows and their colours"
    records = True

    norm: Literal["linf", "l2", "l1"] = "linf"
    queries: PositiveInt | None = None
    """Number of images that the model is asked about, for each image; none means as many as
    ``passes`` allow, or 5000."""
    first_share: Fraction = 0.8
    """Share of the pixels that the first windows cover."""
    rate: Fraction = 0.1
    """gamma at first."""
    last_rate: Fraction = 0.01
    """gamma at the end."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        queries = steps_within(oracle, self.queries, 5000, passes=1)
        moves = Moves(self.norm, rng, queries, self.first_share, self._into)
        radius = torch.minimum(
            size(torch.maximum(x, 1 - x), self.norm),
            (1 - self.rate) * oracle.nearest.to(x.dtype),
        )
        now = moves.start(x, per_image(radius, x))
        # Of a point that has been brought into a smaller ball nothing is known yet.
        known = torch.full_like(radius, torch.inf)
        for k in range(queries):
            trial = now
            if k:
                moved = moves.propose(k, now, x, per_image(radius, x))
                trial = torch.where(per_image(known.isinf(), now), now, moved)
            logits = oracle.logits(trial)
            value = margin(logits, y, target)
            better = value < known
            now = torch.where(per_image(better, trial), trial, now)
            known = torch.where(better, value, known)
            won = fooled(logits, y, target)
            if won.any():
                rate = annealed(self.rate, self.last_rate, k, queries)
                shorter = (1 - rate) * size(trial - x, self.norm)
                radius = torch.where(won, torch.minimum(radius, shorter), radius)
                now[won] = self._into(trial[won], x[won], radius[won])
                known = torch.where(won, torch.inf, known)
        count = torch.full((len(x),), queries, dtype=torch.int64, device=x.device)
        return Candidate(now, count)

    def _into(self, point, x, radius):
        return x + project(point - x, x, self.norm, radius.flatten())
