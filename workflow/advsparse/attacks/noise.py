"""Random noise of a given size: the control that every attack must beat."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import AdditiveAttack, Candidate
from advsparse.attacks._losses import direction
from advsparse.lazy import torch
from advsparse.settings import settings
from advsparse.shapes import per_image


@settings
class Noise(AdditiveAttack):
    r"""A perturbation drawn blindly and scaled to the budget.

    .. math:: x' = x + \epsilon\, n / \|n\|_p

    Its norm is exactly eps, unless the clamp to [0, 1] shortens it.

    Source: the control of weitzner2023, section 4.

    Cost: no gradient.
    """

    family = "control"
    randomness = "the perturbation"
    aims = False

    norm: Literal["linf", "l2", "relative_l2"] = "l2"
    law: Literal["gaussian", "uniform", "sign"] = "gaussian"
    """Law of the entries of n: standard normal, uniform in [-1, 1], or -1 and 1 with equal odds."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        if self.law == "gaussian":
            noise = rng.normal_like(x)
        else:
            noise = 2 * rng.uniform_like(x) - 1
            noise = noise.sign() if self.law == "sign" else noise
        if self.norm == "linf":
            noise = noise / per_image(noise.flatten(1).abs().amax(1), noise)
        else:
            noise = direction(noise, "l2")
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return Candidate(x + self.threat.radius(x) * noise, steps)
