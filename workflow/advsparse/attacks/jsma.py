"""The Jacobian-based saliency map attack."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._checks import not_zero
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._pairs import best_pairs, largest_pairs
from advsparse.attacks._prune import take_back
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveInt, Share, settings


@settings
class JSMA(BudgetAttack):
    r"""Pairs of features changed by theta, most salient first, until the image is adversarial.

    With the target t, x' -> x' + theta (e_p + e_q), cut off at [0, 1], for the pair

    .. math:: \arg\max_{p < q} -\alpha_{pq} \beta_{pq}, \qquad
              \alpha_{pq} = \sum_{i \in \{p, q\}} \frac{\partial f_t}{\partial x_i}, \quad
              \beta_{pq} = \sum_{i \in \{p, q\}} \sum_{k \ne t} \frac{\partial f_k}{\partial x_i}

    among those with alpha > 0 > beta, or alpha < 0 < beta where theta is negative. A feature is one
    entry of the array, whatever its channel. The maximum is over all pairs, exactly, of equal ones
    the first. A feature that theta would not move any more, as it is 0 or 1, leaves the search. The
    steps end with the first success, with an empty map (no pair qualifies), or with the budget of m
    = floor(gamma P) of P features, at most floor(eps).

    Untargeted, t runs through the ``targets`` most probable wrong classes of the clean image, one
    after the other; each run ends as soon as the prediction is wrong, whichever class it is. The
    adversarial image with the fewest changed features is returned, of equal ones that of the more
    probable class; without any, the run towards the most probable class is.

    Source: Papernot et al. 2016, algorithms 2 and 3; mitro2018.

    Cost: two gradients a step (one for probabilities), at most m/2 x targets steps, more where
    ``limit`` is features.

    Trace: ``empty_map`` (N, bool), whether an empty map ended the run.
    """

    family = "sparse"

    norm: Literal["l0"] = "l0"
    eps: NonNegativeFloat | None = None  # type: ignore[assignment] # wider, by intent
    """Largest number of changed features, a bound beside gamma; none leaves it to gamma."""
    theta: Annotated[float, Field(ge=-1, le=1), AfterValidator(not_zero)] = 1.0
    """Change of a feature in one step; negative to decrease features."""
    gamma: Share = 0.145
    """Largest share of the features that may be changed: 0.145 is Papernot's."""
    limit: Literal["steps", "features"] = "steps"
    """What gamma bounds: steps, m/2 of them (Papernot's algorithm 2), or changed features, of which
    each may take many steps (as ART counts): the steps end when m are changed. Where theta is 1 or
    -1, a feature takes one step and both are the same."""
    space: Literal["logits", "probabilities"] = "logits"
    """What f is. Papernot et al. differentiate the layer before the softmax, whose saturation makes
    extreme derivatives; Carlini and Wagner 2017 call these JSMA-Z and JSMA-F. Probabilities sum
    to 1, thus beta = -alpha, and the pair is just that of the two largest gradients."""
    targets: PositiveInt = 1
    """Wrong classes that an untargeted attack tries, at most K - 1. One, the runner-up, costs least
    and is what SCADA aims at; K - 1 is the full evaluation of Papernot et al."""

    prune: bool = False
    """Whether features that an adversarial image does not need are put back at the end, for at most
    two forward passes each. Papernot et al. leave them."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        n = len(x)
        best, fewest = x.clone(), x.new_full((n,), torch.inf, dtype=torch.float64)
        steps = torch.zeros(n, dtype=torch.int64, device=x.device)
        empty = torch.zeros(n, dtype=torch.bool, device=x.device)
        if target is None:
            logits = oracle.logits(x).scatter(1, y[:, None], -torch.inf)
            classes = logits.sort(dim=1, descending=True, stable=True).indices[:, :-1]
            aims = classes[:, : self.targets].T
        else:
            aims = target[None]
        for run, aim in enumerate(aims):
            goal = y if target is None else None
            found, success, taken, stuck = self._descend(oracle, x, goal, aim, fewest)
            changed = (found != x).flatten(1).sum(1).double()
            kept = success & (changed < fewest)
            fewest = torch.where(kept, changed, fewest)
            if run == 0:
                kept = torch.ones_like(kept)
            best[kept], empty[kept] = found[kept], stuck[kept]
            steps += taken
        if self.prune:
            best = take_back(oracle, x, best, y, target, fewest.isfinite().nonzero().flatten())
        return Candidate(best, steps, {"empty_map": empty})

    def _descend(self, oracle, x, y, aim, fewest):
        """One run towards ``aim``, of which only fewer than ``fewest`` changed features are of use.

        y: the labels to be left, or none where the target is to be reached. Returns the images,
        whether they succeeded, their steps, and whether an empty saliency map ended the run.
        """
        # As floor(0.29 * 100) is 28, but not floor(29 + 1e-9).
        budget = math.floor(self.gamma * x[0].numel() + 1e-9)
        if self.eps is not None:
            budget = min(budget, math.floor(self.eps))
        limit = budget // 2 if self.limit == "steps" else math.inf
        found, rows = x.clone(), torch.arange(len(x), device=x.device)
        success, stuck = (torch.zeros_like(rows, dtype=torch.bool) for _ in range(2))
        taken = torch.zeros_like(rows)
        point, clean, room, slope = x, x.flatten(1), fewest - 1, None
        for step in itertools.count():
            won, a, c = self._saliency(oracle, point, y, aim, rows)
            flat = point.flatten(1)
            moved = (flat + self.theta).clamp(*self.threat.bounds)
            changed = flat != clean
            used = changed.sum(1)
            spent = (used > room) | (step >= limit)
            if self.limit == "features":
                spent |= used > budget - 2
            movable = moved != flat
            pairs = largest_pairs(a, movable) if c is None else best_pairs(a, c, movable, slope)
            going = ~won & ~spent & pairs.found
            ended = ~going
            found[rows[ended]], taken[rows[ended]] = point[ended], step
            # Where it is the budget that ended the run, it does not matter what the map looks like.
            success[rows], stuck[rows] = won, ~won & ~spent & ~pairs.found
            pair = torch.stack([pairs.first, pairs.second], dim=1)
            flat, slope = flat.scatter(1, pair, moved.gather(1, pair)), pairs.slope
            if ended.any():
                y, aim = at_rows(y, going), aim[going]
                rows, room, flat, clean, slope = (
                    v[going] for v in (rows, room, flat, clean, slope)
                )
                if not len(rows):
                    return found, success, taken, stuck
            point = flat.reshape(-1, *x.shape[1:])

    def _saliency(self, oracle, point, y, aim, rows):
        """Whether the images are adversarial, and what is to be large: the derivative of the target
        and minus that of the other classes, each N x P, both of the sign of theta. The second is
        none where it is the same."""

        def objectives(logits):
            if self.space == "probabilities":
                return [logits.softmax(1).gather(1, aim[:, None])]
            own = logits.gather(1, aim[:, None]).squeeze(1)
            return [own, own - logits.sum(1)]

        logits, gradients = oracle.gradients(point, objectives, rows)
        won = fooled(logits, y, aim if y is None else None)
        sign = math.copysign(1.0, self.theta)
        a, *others = (sign * gradient.flatten(1) for gradient in gradients)
        # Probabilities sum to 1: what the target gains the others lose.
        return won, a, *(others or [None])
