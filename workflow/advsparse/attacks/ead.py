"""EAD: the elastic-net attack, whose perturbations are sparse by a soft threshold."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import Candidate
from advsparse.attacks._carlini_wagner import Bisection, Patience, WeighedMargin
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, PositiveFloat, PositiveInt, settings
from advsparse.shapes import per_image


@settings
class EAD(WeighedMargin):
    r"""A perturbation that is small in l1 and l2 at once, weighed against a margin.

    .. math:: \min_{x' \in [0,1]^P} c\, f(x') + \beta \|x' - x\|_1 + \|x' - x\|_2^2, \qquad
              f(x') = \max(m(x') + \kappa, 0) \text{ by default}

    with m as of ``cw``, by accelerated shrinkage and thresholding (FISTA): with g the sum without
    its l1 norm, z_0 = x_0 = x and K iterations,

    .. math:: x_{k+1} = S_\beta\big(z_k - \alpha_k \nabla g(z_k)\big), \qquad
              z_{k+1} = x_{k+1} + \frac{k}{k + 3} (x_{k+1} - x_k), \qquad
              \alpha_k = \alpha \sqrt{1 - k / K}

    where S takes what differs from x by at most beta back to x, moves the rest by beta towards it,
    and keeps to [0, 1]; so is z kept here. c is searched by bisection for each image, lowered after
    a success, raised after a failure. Of all adversarial iterates the nearest one is returned, in
    l1, or by the elastic net beta ||.||_1 + ||.||_2^2.

    Source: Chen et al. 2018, "EAD", algorithm 1.

    Cost: at most search_steps x iterations gradients, and as many forward passes.
    """

    scales = 1e-5, 1e6

    norm: Literal["l1"] = "l1"
    decision: Literal["l1", "elastic_net"] = "l1"
    """By which distance an adversarial image is the nearest."""
    beta: NonNegativeFloat = 1e-3
    """Weight of the l1 norm, and threshold of a step."""
    learning_rate: PositiveFloat = 0.01
    """alpha, the first step size."""
    search_steps: PositiveInt = 9
    """Number of values of c that are tried."""
    initial_weight: PositiveFloat = 1e-3
    """First value of c."""

    @property
    def _weighed(self) -> bool:
        # The nearest in l1 is not what the other rule is after.
        return self.decision == "elastic_net"

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        return _Search(self, oracle, x, y, target).run()


class _Search(Bisection):
    """And FISTA for one weight of each image."""

    def descend(self) -> torch.Tensor:
        """Whether each image came to be adversarial, by a descent from where it is clean."""
        attack, x = self._settings, self._x
        found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        going = torch.arange(len(x), device=x.device)
        patience = Patience(attack, x)
        point, ahead = x.clone(), x.clone()
        for k in range(attack.iterations):
            clean, weight = x[going], self.weight[going]
            value, gradient, _ = self._asked(ahead, going)
            gradient = 2 * (ahead - clean) + per_image(weight, clean) * gradient
            step = attack.learning_rate * (1 - k / attack.iterations) ** 0.5
            moved = shrink(ahead - step * gradient, clean, attack.beta)
            won = self._looked_at(moved, going)
            found[going] |= won
            ahead = (moved + k / (k + 3) * (moved - point)).clamp_(0, 1)
            point = moved
            on = patience.falling(weight * value + self._length(moved, clean, elastic=True))
            if not on.all():
                going, point, ahead = going[on], point[on], ahead[on]
                patience.keep(on)
            if not len(going):
                break
        return found

    def _looked_at(self, x_adv, at) -> torch.Tensor:
        """Which of the images are adversarial enough; the nearest ones are kept."""
        y, target = self._y[at], at_rows(self._target, at)
        logits = self._oracle.logits(x_adv, at)
        won = fooled(logits, y, target)
        won &= margin(logits, y, target) + self._settings.confidence <= 0
        elastic = self._settings.decision == "elastic_net"
        length = self._length(x_adv[won], self._x[at[won]], elastic=elastic)
        self._improve(at[won], x_adv[won], length)
        return won

    def _length(self, x_adv, x, *, elastic) -> torch.Tensor:
        d = (x_adv - x).flatten(1)
        length = d.abs().sum(1)
        return self._settings.beta * length + d.square().sum(1) if elastic else length


def shrink(z: torch.Tensor, x: torch.Tensor, threshold: float) -> torch.Tensor:
    """S of the formula: images ``z`` as much nearer to ``x``, within [0, 1]."""
    d = z - x
    moved = (z - threshold * d.sign()).clamp(0, 1)
    return torch.where(d.abs() <= threshold, x, moved)
