"""The attack of Carlini and Wagner in the l2 norm."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate, MinimumNormAttack
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image

_SQUEEZE = 1 - 1e-6
"""Keeps atanh finite at pixels that are exactly 0 or 1."""


@settings
class CW(MinimumNormAttack):
    r"""A small perturbation found by weighing its length against a margin.

    .. math:: \min_{x' \in [0,1]^P} \|x' - x\|_2^2 + c\, \max(m(x') + \kappa, 0)

    where m(x') = z_y - max_{k != y} z_k (untargeted) or max_{k != t} z_k - z_t (targeted), and c is
    searched by bisection for each image: lowered after a success, raised after a failure. The
    descent is Adam's, each image with its own. The nearest adversarial iterate of all searches is
    returned; where there is none, the last iterate, which matters to an attack that is cut off.

    Source: Carlini and Wagner 2017; frecon2021, section 4; sun2019, section 4.

    Cost: at most search_steps x iterations gradients.
    """

    scales = 1e-5, 1e6

    norm: Literal["l2"] = "l2"
    confidence: NonNegativeFloat = 0.0
    """kappa: by how many logits the image must be adversarial."""
    search_steps: PositiveInt = 9
    """Number of values of c that are tried."""
    iterations: PositiveInt = 1000
    """Descent steps for each value of c."""
    learning_rate: PositiveFloat = 0.01
    """Adam's step size."""
    initial_weight: PositiveFloat = 0.01
    """First value of c."""
    box: Literal["tanh", "clip"] = "tanh"
    """How pixels stay in [0, 1]: x' = (1 + tanh w) / 2, as the paper chose, or clipping after each
    step. A pixel that is 0 or 1 hardly moves through tanh: clip suits images that are mostly so."""
    abort_early: bool = True
    """Whether the descent of an image ends once a tenth of the iterations brought no decrease."""

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        best = x.clone()
        nearest = x.new_full((len(x),), torch.inf)
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        weight = x.new_full((len(x),), self.initial_weight)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.search_steps):
            found = self._descend(oracle, x, y, target, weight, best, nearest, steps)
            high = torch.where(found, torch.minimum(high, weight), high)
            low = torch.where(found, low, torch.maximum(low, weight))
            weight = torch.where(high.isinf(), 10 * weight, (low + high) / 2)
        return Candidate(best, steps)

    def _descend(self, oracle, x, y, target, weight, best, nearest, steps):
        """One search; ``best``, ``nearest`` and ``steps`` are brought up to date in place."""
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        rows = torch.arange(len(x), device=x.device)
        descent = _Adam(self._variable(x), self.learning_rate)
        previous = x.new_full((len(x),), torch.inf)
        patience = max(1, self.iterations // 10)
        for iteration in range(self.iterations):
            x_adv, slope = self._image(descent.value)
            clean, goal = x[rows], at_rows(target, rows)
            value, _, gradient = oracle.gradient(
                x_adv, lambda z, own=y[rows], goal=goal: self._hinge(z, own, goal), rows
            )
            d = x_adv - clean
            square = d.flatten(1).square().sum(1)
            won = value <= 0
            closer = won & (square.sqrt() < nearest[rows])
            best[rows[closer]], nearest[rows[closer]] = x_adv[closer], square[closer].sqrt()
            found[rows] |= won
            if self.cutoff is not None:
                never = nearest[rows].isinf()
                best[rows[never]] = x_adv[never]
            steps[rows] += 1
            c = per_image(weight[rows], d)
            descent.step((2 * d + c * gradient) * slope)
            if self.box == "clip":
                descent.value.clamp_(*self.threat.bounds)
            if self.abort_early and (iteration + 1) % patience == 0:
                objective = square + weight[rows] * value
                falling = objective < 0.9999 * previous[rows]
                previous[rows] = objective
                rows = rows[falling]
                descent.keep(falling)
                if not len(rows):
                    break
        return found

    def _hinge(self, logits, y, target):
        """max(m + kappa, 0), made positive where a tie of logits still gives the label."""
        value = margin(logits, y, target) + self.confidence
        tie = torch.finfo(logits.dtype).tiny
        return torch.where(fooled(logits, y, target), value.clamp(min=0), value.clamp(min=tie))

    def _variable(self, x):
        return torch.atanh((2 * x - 1) * _SQUEEZE) if self.box == "tanh" else x.clone()

    def _image(self, variable):
        """The image, and the derivative of its pixels in the variable."""
        if self.box == "clip":
            return variable.clone(), 1.0
        t = torch.tanh(variable)
        return (t + 1) / 2, (1 - t.square()) / 2


class _Adam:
    """Adam (Kingma and Ba 2015) on a batch from which images can leave."""

    def __init__(self, value: torch.Tensor, rate: float) -> None:
        self.value, self.rate, self.count = value, rate, 0
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)

    def step(self, gradient: torch.Tensor) -> None:
        self.count += 1
        self.mean.mul_(0.9).add_(gradient, alpha=0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        size = (self.square / (1 - 0.999**self.count)).sqrt_().add_(1e-8)
        self.value.addcdiv_(self.mean, size, value=-self.rate / (1 - 0.9**self.count))

    def keep(self, chosen: torch.Tensor) -> None:
        if not chosen.all():
            self.value, self.mean = self.value[chosen], self.mean[chosen]
            self.square = self.square[chosen]
