"""Universal adversarial perturbations."""

from __future__ import annotations

import logging
from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate, Fit, UniversalAttack
from advsparse.attacks.deepfool import cross_boundary
from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import NonNegativeFloat, PositiveInt, Share, settings
from advsparse.threat import Threat

logger = logging.getLogger(__name__)


@settings
class UAP(UniversalAttack, BudgetAttack):
    r"""One perturbation v, the same for every image.

    .. math:: \|v\|_p \le \epsilon, \qquad \Pr_x(C_f(x + v) \ne C_f(x)) \ge \text{fooling\_rate}

    Passing over the images in random order, each that x + v does not fool yet adds its own DeepFool
    step from x + v, and v is projected onto the ball (Moosavi-Dezfooli et al. 2017, algorithm 1;
    frecon2021, section 4). The v of the pass that fooled most is kept. Cost of learning: at most
    passes x images DeepFool runs; of the attack: none.
    """

    norm: Literal["l2", "linf"] = "l2"
    fooling_rate: Share = 0.8
    """Share of the images that learning is to fool; it stops there."""
    passes: PositiveInt = 5
    """Largest number of passes over the images."""
    inner_steps: PositiveInt = 10
    """Largest number of linearisations in one DeepFool run."""
    overshoot: NonNegativeFloat = 0.02
    """Share by which an image's own step is lengthened to cross the boundary."""

    def learn(self, oracle, x, y, target, rng: Random) -> Fit:
        # No box: what leaves [0, 1] is cut image by image, when v is added to one.
        ball = Threat(norm=self.norm, eps=self.eps, bounds=(-torch.inf, torch.inf))
        origin = torch.zeros_like(x[:1])
        v, best, best_rate, rates = origin, origin, -1.0, []
        order = rng.generator("order")
        for number in range(1, self.passes + 1):
            for i in torch.randperm(len(x), generator=order).tolist():
                row = torch.tensor([i])
                goal = None if target is None else target[i : i + 1]
                v = v + self._own_step(oracle, x[i : i + 1] + v, y[i : i + 1], goal, row)
                v = ball.project(v, origin)
            prediction = oracle.logits((x + v).clamp(0, 1)).argmax(1)
            fooled = prediction != y if target is None else prediction == target
            rates.append(fooled.float().mean().item())
            logger.info("pass %d of %d: fooling rate %.3f", number, self.passes, rates[-1])
            if rates[-1] > best_rate:
                best, best_rate = v, rates[-1]
            if best_rate >= self.fooling_rate:
                break
        return Fit({"perturbation": best, "fooling_rate": torch.tensor(rates)})

    def _own_step(self, oracle, x, y, target, row):
        total, _ = cross_boundary(
            oracle.restrict(row),
            x,
            y,
            target,
            self.norm,
            self.inner_steps,
            lambda total, rows: x[rows] + (1 + self.overshoot) * total,
        )
        return (1 + self.overshoot) * total

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        v = fit.arrays["perturbation"].to(x)
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        size = v.double().norm().expand(len(x))
        return Candidate(x + v, steps, {"unclipped_l2": size})
