"""FMN: the fast minimum-norm attack, a gradient ascent within a ball that follows the boundary."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._ball_in_box import Balls
from advsparse.attacks._confirm import fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._walking import WalkingAttack
from advsparse.attacks._walks import advance, annealed, dual_size, size
from advsparse.lazy import torch
from advsparse.settings import Fraction, NonNegativeFloat, PositiveFloat, settings

_LAST = 1e-2
"""The last step as a share of the first (the default of the authors' code)."""


@settings
class FMN(WalkingAttack):
    r"""The nearest adversarial image, by ascent within a ball whose radius follows the boundary.

    With the margin m, at most 0 where an image is adversarial, and the radius epsilon of a ball,

    .. math:: \epsilon_k = \begin{cases}
              \min\big((1 - \gamma_k)\, \epsilon_{k-1}, \|\delta^*\|_p\big) & m(x + \delta_k) \le 0
              \\ (1 + \gamma_k)\, \epsilon_{k-1} & m(x + \delta_k) > 0 \text{ after a success} \\
              (1 + \sigma) \big(\|\delta_k\|_p + m(x + \delta_k) / \|\nabla m\|_q\big)
              & \text{before any} \end{cases}, \qquad
              \delta_{k+1} = \Pi\Big(\delta_k - \alpha_k \frac{\nabla m}{\|\nabla m\|_2}\Big)

    where delta* is the nearest success so far, 1/p + 1/q = 1, and Pi the projection onto what
    [0, 1] leaves of the ball of radius epsilon_k. alpha falls from ``step`` to a hundredth of it
    and gamma from ``rate`` to ``last_rate``, both along a cosine. For l0 radii are whole numbers
    that begin at 1 and change by 1 at least.

    Newton's radius, the third, comes to the boundary from within and may never cross it: hence
    sigma, the ``overshoot``, which the paper has not. The projection is exact, onto what the box
    leaves of the ball, where published code scales onto the sphere in l2, and cuts by the box what
    has been projected onto the ball in l1: there one image in six never crossed the boundary.

    Source: Pintor et al. 2021, algorithm 1.

    Cost: ``steps`` gradients.
    """

    norm: Literal["l2", "linf", "l1", "l0"] = "l2"
    step: PositiveFloat = 1.0
    """alpha at first, in l2 whatever the norm."""
    rate: Fraction = 0.05
    """gamma at first."""
    last_rate: Fraction = 0.001
    """gamma at the end."""
    overshoot: NonNegativeFloat = 0.02
    """sigma, by how much the first radii are longer than Newton's."""

    def walk(self, oracle, x, y, target, delta, steps):
        best = x.new_full((len(x),), torch.inf)
        radius = best if self.norm != "l0" else torch.ones_like(best)
        balls = Balls(x, self.norm)
        # Nothing in the box is further away.
        furthest = size(torch.maximum(x, 1 - x), self.norm)
        for k in range(steps):
            value, logits, gradient = oracle.gradient(x + delta, lambda z: -margin(z, y, target))
            won = fooled(logits, y, target)
            length = size(delta, self.norm)
            best = torch.where(won, torch.minimum(best, length), best)
            rate = annealed(self.rate, self.last_rate, k, steps)
            if self.norm == "l0":
                radius = _whole_radius(radius, best, won, rate)
            else:
                ahead = length + value.abs() / dual_size(gradient, self.norm)
                ahead = ahead * (1 + self.overshoot)
                missed = torch.where(best.isinf(), ahead, radius * (1 + rate))
                hit = torch.minimum(radius * (1 - rate), best)
                radius = torch.where(won, hit, missed)
            radius = torch.minimum(radius, furthest)
            step = annealed(self.step, _LAST * self.step, k, steps)
            advance(delta, gradient, step)
            delta = balls.project(delta, radius)
        return delta


def _whole_radius(radius, best, won, rate):
    """How many entries may change: one less or more at least."""
    less = torch.minimum(radius - 1, (radius * (1 - rate)).floor())
    more = torch.maximum(radius + 1, (radius * (1 + rate)).floor())
    return torch.where(won, torch.minimum(less, best), more).clamp(min=0)
