"""ALMA: an augmented Lagrangian method for the nearest adversarial image."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._confirm import fooled
from advsparse.attacks._dlr import dlr
from advsparse.attacks._walking import WalkingAttack
from advsparse.attacks._walks import size
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image

_TOLERANCE = 1e-4
"""By how much the ratio is to be below 0 (the default of the authors' code)."""
_IMPROVEMENT, _GROWTH = 0.95, 1.2
"""tau and gamma of the paper: a ratio that has not fallen to this share raises rho so much."""
_BOUNDS = 1e-6, 1e12
"""The least and the largest multiplier."""
_SEARCHES = 40
"""Doublings and halvings of the first step."""


@settings
class ALMA(WalkingAttack):
    r"""Descent on the norm and on a penalty whose multiplier follows the constraint.

    With the margin ratio r (minus the loss DLR, and at most 0 where an image is adversarial),

    .. math:: \min_\delta \|\delta\|_p + P(r(x + \delta), \rho, \mu), \qquad
              P(r, \rho, \mu) = \begin{cases} \mu r + \mu \rho r^2 + \rho^2 r^3 / 6 & r \ge 0 \\
              \mu r / (1 - \rho r) & r < 0 \end{cases}, \qquad
              \mu \leftarrow \alpha \mu + (1 - \alpha)\, P'(r)

    Each step is RMSprop's with momentum alpha, clipped to [0, 1]. rho grows by 1.2 every
    ``check_steps`` while there is no success and r has not fallen by a twentieth. The first step
    goes ``first`` far in the norm; from the first success on steps fall geometrically, to
    ``last_share`` of it.

    Source: Rony et al. 2021, algorithm 1, with the penalty P2.

    Cost: ``steps`` gradients.
    """

    usual_steps = 1000

    norm: Literal["l2", "l1"] = "l2"
    first: PositiveFloat | None = None
    """How far the first step goes; none means 0.1 in l2 and 0.5 in l1."""
    last_share: Fraction = 0.01
    """The last step as a share of the first."""
    memory: Fraction | None = None
    """alpha; none means 0.9, or 0.5 for fewer than 200 steps, as in the paper."""
    check_steps: PositiveInt = 10
    """After how many steps rho may grow."""

    def walk(self, oracle, x, y, target, delta, steps):
        alpha = self.memory or (0.9 if steps >= 200 else 0.5)
        square, momentum = torch.ones_like(x), torch.zeros_like(x)
        mu, rho = x.new_ones(len(x)), x.new_ones(len(x))
        success = torch.full_like(mu, torch.inf)
        rate = before = mu
        for k in range(steps):

            def penalty(logits, k=k, mu=mu, rho=rho):
                ratio = _ratio(logits, y, target)
                return _penalty(ratio, rho, _followed(mu, ratio.detach(), rho, alpha, k))

            _, logits, gradient = oracle.gradient(x + delta, penalty)
            ratio = _ratio(logits, y, target)
            won = fooled(logits, y, target)
            mu = _followed(mu, ratio, rho, alpha, k)
            success = torch.where(won & success.isinf(), float(k), success)
            if k == 0:
                before = ratio
                rate = _first_rate(x + delta, gradient, self.norm, self._first)
            elif (k + 1) % self.check_steps == 0:
                grows = success.isinf() & (ratio >= _IMPROVEMENT * before)
                rho, before = torch.where(grows, _GROWTH * rho, rho), ratio
            if k:
                gradient = gradient + _slope(delta, self.norm)
            # From the first success on.
            part = ((k - success) / (steps - success)).nan_to_num(0.0).clamp(0, 1)
            square.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
            momentum.mul_(alpha).addcdiv_(gradient, square.sqrt().add_(1e-8))
            delta.sub_(momentum * per_image(rate * self.last_share**part, x))
            delta.add_(x).clamp_(0, 1).sub_(x)
        return delta

    @property
    def _first(self) -> float:
        return self.first or {"l2": 0.1, "l1": 0.5}[self.norm]


def _ratio(logits, y, target):
    return _TOLERANCE - dlr(logits, y, target)


def _penalty(ratio, rho, mu):
    inside = ratio.clamp(max=0)
    beyond = ratio.clamp(min=0)
    return (
        mu * inside / (1 - rho * inside)
        + mu * beyond * (1 + rho * beyond)
        + (rho.square() * beyond.pow(3) / 6)
    )


def _followed(mu, ratio, rho, alpha, k):
    """The multiplier, moved towards the derivative of the penalty."""
    if k == 0:
        return mu
    inside, beyond = ratio.clamp(max=0), ratio.clamp(min=0)
    rising = mu * (1 + 2 * rho * beyond) + (rho * beyond).square() / 2
    slope = torch.where(ratio >= 0, rising, mu / (1 - rho * inside).square())
    return (alpha * mu + (1 - alpha) * slope).clamp(*_BOUNDS)


def _slope(delta, norm):
    """The gradient of the norm, 0 where there is none."""
    if norm == "l1":
        return delta.sign()
    return delta / per_image(size(delta, "l2").clamp(min=torch.finfo(delta.dtype).tiny), delta)


def _first_rate(x, gradient, norm, goal):
    """By how much of the gradient a step from ``x`` goes ``goal`` far, or as near to that as the
    box allows."""

    def further(rate):
        moved = (x - per_image(rate, x) * gradient).clamp_(0, 1).sub_(x)
        return size(moved, norm) > goal

    low, high = x.new_zeros(len(x)), x.new_ones(len(x))
    for _ in range(_SEARCHES):
        far = further(high)
        low, high = torch.where(far, low, high), torch.where(far, high, 2 * high)
    for _ in range(_SEARCHES // 2):
        middle = (low + high) / 2
        far = further(middle)
        low, high = torch.where(far, low, middle), torch.where(far, middle, high)
    return (low + high) / 2
