"""Minimal APGD: the smallest ball in which APGD succeeds, by bisection for each image."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._climb import Climb
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._walks import scattered, size, steps_within
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, Share, settings
from advsparse.shapes import per_image

_CLOSE, _BACK = 0.01, 0.1
"""Share of the nearest distance at which radii have closed in on it, and by which the largest that
counts as failed is then below it again: of a ball in which there is something, runs may miss it."""


@settings
class MinimalAPGD(MinimumNormAttack):
    r"""The smallest radius at which an ascent of the loss within the ball leaves the label.

    .. math:: \min \epsilon \quad \text{subject to} \quad \exists k:\; C_f(x_k) \ne y, \qquad
              \epsilon_{j+1} = \tfrac{1}{2} (a_j + b_j)

    with x_k the points of a run of :class:`APGD` within the ball of radius epsilon_j, the first
    from the clean image and each other from a random point of it; a_j the largest radius at which a
    run found nothing, 0 at first, and b_j the distance of the nearest adversarial image so far, at
    first the largest that the box leaves room for. An image leaves a run once it is adversarial:
    what that has left goes into the next. Where a_j has come within 1 % of b_j it falls back to
    0.9 b_j.

    Source: bisection over the radius of APGD (Croce and Hein 2020a), as AttackBench compares it
    (Cinà et al. 2025).

    Cost: as many gradients as ``steps``, and at most those of one run more; one forward pass for
    each run that finds nothing.
    """

    randomness = "the starting points of all runs but the first"
    records = True

    norm: Literal["linf"] = "linf"
    steps: PositiveInt | None = None
    """Number of gradients; none means as many as ``passes`` allow, or 1000."""
    runs: PositiveInt = 8
    """How many runs there are if none succeeds; what those leave that do goes into further ones."""
    loss: Literal["ce", "dlr"] = "ce"
    """What is ascended. dlr needs at least 3 classes."""
    rho: Share = 0.75
    """Share of rising steps below which the step size is halved."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        steps = steps_within(oracle, self.steps, 1000)
        length = max(1, steps // self.runs)
        largest = size(torch.maximum(x, 1 - x), self.norm)
        failed = torch.zeros_like(largest)
        asked = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        run = 0
        while len(rows := (asked < steps).nonzero().flatten()):
            part, clean, goal = oracle.restrict(rows), x[rows], at_rows(target, rows)
            nearest = torch.minimum(part.nearest.to(x.dtype), largest[rows])
            missed = nearest - failed[rows] < _CLOSE * nearest
            below = torch.where(missed, (1 - _BACK) * nearest, failed[rows])
            radius = (below + nearest) / 2
            start = scattered(clean, self.norm, radius, rng, 2 * run) if run else clean.clone()
            ways, each = (self.loss, self.rho), per_image(radius, clean)
            climb = _Climb(self.threat, part, clean, start, *ways, radius=each)
            climb.run(length, y[rows], goal, goal)
            failed[rows] = torch.where(climb.found, below, radius)
            # Where a run ends with what it looks for, a gradient was asked that led to no step.
            asked[rows] += climb.steps + climb.found
            run += 1
        return Candidate(oracle.effort, asked)


class _Climb(Climb):
    """One run, in which an image ends at its first adversarial point."""

    def _won(self, point, logits, y, target, rows):
        won = fooled(logits, y[rows], at_rows(target, rows))
        self.best[rows[won]], self.found[rows[won]] = point[won], True
        return won
