"""DDN: gradient steps whose direction is decoupled from the norm of the perturbation."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._confirm import fooled
from advsparse.attacks._losses import cross_entropy, margin
from advsparse.attacks._walking import WalkingAttack
from advsparse.attacks._walks import advance, annealed, size
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveFloat, settings
from advsparse.shapes import per_image

_LAST = 1e-2
"""The last step as a share of the first (the default of the authors' code)."""


@settings
class DDN(WalkingAttack):
    r"""The nearest adversarial image, on a sphere that shrinks where one is found, or else grows.

    With the loss l that is ascended, and its gradient at x + delta_k,

    .. math:: u_k = \delta_k + \alpha_k \frac{\nabla l}{\|\nabla l\|_2}, \qquad
              \epsilon_{k+1} = (1 \mp \gamma)\, \epsilon_k, \qquad
              \delta_{k+1} = \mathrm{clip}\Big(x + \epsilon_{k+1} \frac{u_k}{\|u_k\|_2}\Big) - x

    where the radius becomes smaller if x + delta_k is adversarial. alpha falls from ``step`` to a
    hundredth of it along a cosine. The paper ascends the cross-entropy, whose gradient vanishes
    where the network is sure of itself, and rounds images to 256 levels on the way; here none are.

    Source: Rony et al. 2019, algorithm 1.

    Cost: ``steps`` gradients.
    """

    norm: Literal["l2"] = "l2"
    radius: PositiveFloat = 1.0
    """epsilon at first; where a walk begins elsewhere than at the clean image, how far that is."""
    step: PositiveFloat = 1.0
    """alpha at first."""
    rate: Fraction = 0.05
    """gamma, by how much the radius changes."""
    loss: Literal["margin", "cross_entropy"] = "margin"
    """l: minus the margin between the label and the best other class, or the cross-entropy
    (targeted: between the best other class and the target, or minus the one with the target)."""

    def walk(self, oracle, x, y, target, delta, steps):
        radius = size(delta, "l2")
        radius = torch.where(radius > 0, radius, self.radius)
        furthest = size(torch.maximum(x, 1 - x), "l2")
        tiny = torch.finfo(x.dtype).tiny

        def loss(logits):
            if self.loss == "cross_entropy":
                return cross_entropy(logits, y, target)
            return -margin(logits, y, target)

        for k in range(steps):
            _, logits, gradient = oracle.gradient(x + delta, loss)
            won = fooled(logits, y, target)
            advance(delta, gradient, annealed(self.step, _LAST * self.step, k, steps))
            radius = radius * torch.where(won, 1 - self.rate, 1 + self.rate)
            radius = torch.minimum(radius, furthest)
            delta.mul_(per_image(radius / size(delta, "l2").clamp(min=tiny), x))
            delta.add_(x).clamp_(0, 1).sub_(x)
        return delta
