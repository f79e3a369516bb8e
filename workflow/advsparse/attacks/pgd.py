"""Projected gradient descent."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._losses import cross_entropy, direction
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, settings


@settings
class PGD(BudgetAttack):
    r"""Steps of fixed size along the gradient of the cross-entropy H, projected after each.

    .. math:: x_{k+1} = \mathrm{Proj}(x_k + \alpha\, u(\nabla_x H(f(x_k), y)))

    where Proj leads into the ball around the clean image and into [0, 1], and u(g) is sign(g) for
    linf and g / ||g||_2 for l2 (Madry et al. 2018; frecon2021, section 4). The last iterate is
    returned. Cost: ``steps`` gradients per image and restart.
    """

    norm: Literal["linf", "l2", "relative_l2"] = "linf"
    steps: PositiveInt = 40
    """Number of gradient steps."""
    relative_step: PositiveFloat | None = None
    """Step size as a share of eps; 2.5 / steps where none is given, as by Madry et al."""
    random_start: bool = True
    """Whether to start from a point drawn uniformly from the ball instead of the clean image."""
    restarts: PositiveInt = 1
    """Runs from different random starts; each attacks only the images that still stand."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        stand = torch.arange(len(x), device=x.device)
        runs = self.restarts if self.random_start else 1
        for run in range(runs):
            goal = None if target is None else target[stand]
            ours = (x[stand], y[stand], goal, stand)
            best[stand] = self._descend(oracle, *ours, rng, run)
            steps[stand] += self.steps
            if run + 1 < runs:
                prediction = oracle.logits(self.threat.settle(best[stand], x[stand]), stand)
                label = prediction.argmax(1)
                stand = stand[label == y[stand] if goal is None else label != goal]
                if not len(stand):
                    break
        return Candidate(best, steps)

    def _descend(self, oracle, x, y, target, rows, rng, run):
        threat = self.threat
        length = threat.radius(x) * (self.relative_step or 2.5 / self.steps)
        # Two streams a run: the l2 ball draws a direction and a radius.
        x_adv = threat.random_start(x, rng, 2 * run) if self.random_start else x
        for _ in range(self.steps):
            _, _, gradient = oracle.gradient(x_adv, lambda z: cross_entropy(z, y, target), rows)
            x_adv = threat.project(x_adv + length * direction(gradient, self.norm), x)
        return x_adv
