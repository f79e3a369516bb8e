"""PDPGD: primal-dual proximal gradient descent towards the nearest adversarial image."""

from __future__ import annotations

import math
from typing import Literal

from advsparse.attacks._confirm import fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._proximal import approached, proximal
from advsparse.attacks._walking import WalkingAttack
from advsparse.attacks._walks import Adam, size
from advsparse.lazy import torch
from advsparse.settings import Fraction, NonNegativeInt, PositiveFloat, settings
from advsparse.shapes import per_image

_STEPS = {"l2": 0.03, "linf": 0.03, "l1": 0.1, "l0": 0.3}
"""The first step of Adam."""
_INNER = {"l2": 0, "linf": 0, "l1": 5, "l0": 5}
"""Inner steps: where a network masks gradients, the exact operator of l1 and l0 sets to 0 what Adam
has hardly seen move, and ends at more than twice the distance."""
_RATIO = 1e-6
"""The least ratio of the multipliers (the default of the authors' code)."""
_DUAL_LAST = 0.1
"""The last step of the multipliers as a share of the first."""
_MEMORY = 0.9
"""The share of the multipliers' mean that a step keeps."""


@settings
class PDPGD(WalkingAttack):
    r"""Descent on the norm and ascent on the multiplier of the constraint, both at once.

    With the margin m, at most 0 where an image is adversarial, and multipliers that sum to 1,

    .. math:: \min_\delta \max_\lambda \lambda_1 \|\delta\|_p
              + \lambda_2\, \log(1 + e^{m(x + \delta)}), \qquad
              \lambda = \mathrm{softmax}(0, s)

    the logarithm is descended by Adam, whose step is followed by the proximal operator of the norm
    in Adam's metric and by clipping to [0, 1]; s rises by ``dual_rate`` where m > 0 and else falls
    by as much. The step falls from ``step`` to ``last_share`` of it geometrically. For l0 the
    proximal operator is that of the sum of |delta_j|^(2/3), as the authors prefer.

    Without ``proximal``, for l2 alone, Adam descends the gradient of both terms (the paper's PDGD):
    pixels that the network tells nothing of then shrink as fast as the others, which gets nearer
    where it masks gradients.

    The proximal operators of l2 and linf are exact; those of l1 and l0 are approached by
    ``inner_steps``, as in published code, which also cuts m off at 0.

    Source: Matyasko and Chau 2021, "PDPGD" and "PDGD".

    Cost: ``steps`` gradients.
    """

    usual_steps = 500

    norm: Literal["l2", "linf", "l1", "l0"] = "l2"
    step: PositiveFloat | None = None
    """Step of Adam at first; none means 0.03 in l2 and linf, 0.1 in l1 and 0.3 in l0. It is about
    how far all pixels move at once, and needs some hundred steps to be made good."""
    last_share: Fraction = 0.01
    """The last step as a share of the first."""
    ratio: PositiveFloat = 0.01
    """lambda_1 / lambda_2 at first."""
    inner_steps: NonNegativeInt | None = None
    """Steps by which the proximal operator is approached; 0 solves it exactly, and none means 5 in
    l1 and l0 and 0 in l2 and linf."""
    proximal: bool = True
    """Whether the norm is descended by its proximal operator; if not, by its gradient."""
    dual_rate: PositiveFloat = 0.1
    """Step of s at first, which falls to a tenth of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.proximal and self.norm != "l2":
            raise ValueError(f"proximal: the gradient of {self.norm} is no way to go; l2 alone")

    def walk(self, oracle, x, y, target, delta, steps):
        adam = Adam(x)
        first = _STEPS[self.norm] if self.step is None else self.step
        inner = _INNER[self.norm] if self.inner_steps is None else self.inner_steps
        s = x.new_full((len(x),), -math.log(self.ratio))
        share, tiny = torch.sigmoid(s), torch.finfo(x.dtype).tiny
        for k in range(steps):
            _, logits, gradient = oracle.gradient(
                x + delta,
                lambda z: torch.nn.functional.softplus(margin(z, y, target)),
            )
            if not self.proximal:
                shrink = (1 - share) / size(delta, "l2").clamp(min=tiny)
                gradient = per_image(share, x) * gradient + per_image(shrink, x) * delta
            mean, scale = adam.step(gradient)
            step = first * self.last_share ** (k / steps)
            delta.addcdiv_(mean, scale, value=-step).add_(x).clamp_(0, 1).sub_(x)
            if self.proximal:
                price = (1 - share) / share
                metric = delta.flatten(1), scale.flatten(1) / step, price, self.norm
                flat = approached(*metric, inner) if inner else proximal(*metric)
                delta = flat.reshape(x.shape).add_(x).clamp_(0, 1).sub_(x)
            rise = self.dual_rate * (1 - (1 - _DUAL_LAST) * k / max(steps - 1, 1))
            s = s + torch.where(fooled(logits, y, target), -rise, rise)
            s = s.clamp(math.log(_RATIO), -math.log(_RATIO))
            share = _MEMORY * share + (1 - _MEMORY) * torch.sigmoid(s)
        return delta
