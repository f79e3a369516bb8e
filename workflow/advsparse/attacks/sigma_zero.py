"""Sigma-zero: few changed entries, by a smooth stand-in for their number and a threshold."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._walks import Adam, annealed, size, steps_within
from advsparse.lazy import torch
from advsparse.settings import PositiveFloat, PositiveInt, Share, settings
from advsparse.shapes import per_image

_LAST = 0.1
"""The last step as a share of the first (section 2 of the paper)."""


@settings
class SigmaZero(MinimumNormAttack):
    r"""Descent on a margin and a smooth l0 norm, with entries below a threshold set to 0.

    With the margin m of an image, P entries, and u the division by the largest entry,

    .. math:: \min_\delta \max(m(x + \delta), 0)
              + \frac{1}{P} \sum_j \frac{\delta_j^2}{\delta_j^2 + \sigma}, \qquad
              \delta_{k+1} = T_{\tau_k}\big(\mathrm{clip}(x + \delta_k
              - \eta_k\, \mathrm{Adam}(u(\nabla))) - x\big)

    where T sets to 0 what is smaller than tau. The threshold rises by ``threshold_rate`` x eta
    after an adversarial image, and else falls by as much, within [0, 1]. eta falls from ``step`` to
    a tenth of it along a cosine.

    Source: Cinà et al. 2025 (sigma-zero), algorithm 1.

    Cost: ``steps`` gradients.
    """

    records = True

    norm: Literal["l0"] = "l0"
    steps: PositiveInt | None = None
    """Number of gradients; none means as many as ``passes`` allow, or 1000."""
    step: PositiveFloat = 1.0
    """eta at first."""
    smoothness: PositiveFloat = 1e-3
    """sigma, the square of what counts as half an entry."""
    threshold: Share = 0.3
    """tau at first."""
    threshold_rate: PositiveFloat = 0.01
    """How much the threshold changes in a step, as a share of eta."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        steps = steps_within(oracle, self.steps, 1000)
        delta, adam = torch.zeros_like(x), Adam(x)
        threshold = x.new_full((len(x),), self.threshold)
        for k in range(steps):
            _, logits, gradient = oracle.gradient(
                x + delta, lambda z: margin(z, y, target).clamp(min=0)
            )
            # The derivative of d^2 / (d^2 + sigma).
            rise = delta * (2 * self.smoothness / x[0].numel())
            gradient = gradient + rise / delta.square().add_(self.smoothness).square_()
            tiny = torch.finfo(x.dtype).tiny
            gradient = gradient / per_image(size(gradient, "linf").clamp(min=tiny), x)
            mean, scale = adam.step(gradient)
            eta = annealed(self.step, _LAST * self.step, k, steps)
            delta.addcdiv_(mean, scale, value=-eta).add_(x).clamp_(0, 1).sub_(x)
            change = self.threshold_rate * eta
            won = fooled(logits, y, target)
            threshold = (threshold + torch.where(won, change, -change)).clamp(0, 1)
            delta.masked_fill_(delta.abs() < per_image(threshold, x), 0.0)
        count = torch.full((len(x),), steps, dtype=torch.int64, device=x.device)
        return Candidate(x + delta, count)
