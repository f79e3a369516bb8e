"""The fast gradient sign method."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._losses import cross_entropy, direction
from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class FGSM(BudgetAttack):
    r"""One step of the size of the budget along the gradient of the cross-entropy H.

    .. math:: x' = x + \epsilon\, \mathrm{sign}\, \nabla_x H(f(x), y)

    and with the gradient divided by its l2 norm in place of its sign for l2 (Goodfellow et al.
    2015; frecon2021, section 4). Cost: one gradient.
    """

    norm: Literal["linf", "l2", "relative_l2"] = "linf"

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        _, _, gradient = oracle.gradient(x, lambda z: cross_entropy(z, y, target))
        step = self.threat.radius(x) * direction(gradient, self.norm)
        return Candidate(x + step, torch.ones(len(x), dtype=torch.int64, device=x.device))
